"""What a method declares to need and to cost is what it does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from adding_blocks import TRAP, Sum, request

from tinylab.errors import BadRequest
from tinylab.pruning.criteria import CRITERIA

METHODS = {row.name: row for row in CRITERIA.rows()}
USES_DATA = {row.name for row in CRITERIA.rows() if row.uses_data}
PASSES = [name for name in CRITERIA.names() if name not in ("indices", "oracle")]


def declared(method: str, n: int, k: int, draws: int) -> float:
    """The declared number of forwards."""
    formula = METHODS[method].forwards.removeprefix("up to ").replace(")(", ")*(").replace("2(", "2*(")
    return eval(formula, {}, {"n": n, "k": k, "R": draws})


@pytest.mark.parametrize("pattern", [3, "1:2"])
@pytest.mark.parametrize("method", PASSES)
def test_a_method_makes_as_many_forwards_as_it_declares(method: str, pattern: str | int) -> None:
    model = Sum(*TRAP, 1.5, 6.0)
    CRITERIA.get(method)(request(model, pattern, draws=1))  # the samples are one batch
    most = declared(method, n=6, k=3, draws=1)
    assert model.asked <= most
    if not METHODS[method].forwards.startswith("up to"):
        assert model.asked == most


def test_greedy_with_one_budget_makes_all_forwards_that_it_may() -> None:
    model = Sum(*TRAP, 1.5, 6.0)
    CRITERIA.get("greedy")(request(model, 3))
    assert model.asked == 6 + 5 + 4 == declared("greedy", 6, 3, 0)


def test_draws_cost_a_forward_each_but_none_twice() -> None:
    model = Sum(*TRAP)
    CRITERIA.get("best-random")(request(model, 2, draws=200))
    assert model.asked == 6  # two of four


@pytest.mark.parametrize("method", sorted(USES_DATA))
def test_methods_that_look_at_data_ask_for_it(method: str) -> None:
    with pytest.raises(BadRequest, match="--data"):
        CRITERIA.get(method)(request(Sum(*TRAP), data=None))


def test_the_others_do_without() -> None:
    for method in set(PASSES) - USES_DATA:
        assert len(CRITERIA.get(method)(request(Sum(*TRAP), data=None)).kept["blocks"]) == 2


def test_every_method_is_described_in_words_and_in_columns() -> None:
    for name, method in METHODS.items():
        summary = CRITERIA.entry(name).summary
        assert summary.startswith(method.rule)
        assert (method.forwards != "0") == method.uses_data == (method.cost != "") == (name in USES_DATA)
    assert (METHODS["influence"].needs, METHODS["influence"].cost) == ("noised samples", "1 forward")
    assert (METHODS["influence-clean"].needs, METHODS["first"].needs) == ("clean samples", "nothing")


def test_the_page_of_methods_tells_of_every_one_what_it_declares() -> None:
    page = (Path(__file__).parent.parent / "docs" / "methods.md").read_text()
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in page.splitlines()]
    told = {row[0].strip("`"): (row[3], row[4]) for row in rows if len(row) == 5 and row[0].startswith("`")}
    assert told == {name: (method.needs, method.forwards) for name, method in METHODS.items()}
