"""The rivals under local budgets: by hand on four blocks, and every method on every family."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from adding_blocks import TRAP, Sum, choose, request

from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.errors import BadRequest
from tinylab.jobs.prune import choose_plan
from tinylab.models.families import FAMILIES
from tinylab.pruning.criteria import CRITERIA, Request, asked_layout, respects
from tinylab.pruning.criteria.base import keep_highest
from tinylab.pruning.criteria.of_random import draw
from tinylab.pruning.layout import Layout

TWO = {"a": 4, "b": 4}
RULES = [name for name in CRITERIA.names() if name != "indices"]


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("keep=4", {"a": (0, 1, 2), "b": (3,)}),  # the best of b stays, however low
        ("2:4", {"a": (0, 1), "b": (2, 3)}),
        ("1:2", {"a": (0, 2), "b": (1, 3)}),
        ("a=3:4;b=1:2", {"a": (0, 1, 2), "b": (1, 3)}),
        ("1:2,1:2", {"a": (0, 2), "b": (1, 3)}),
    ],
)
def test_the_highest_scores_of_every_group_stay(pattern: str, kept: dict[str, tuple[int, ...]]) -> None:
    scores = {"a": [8.0, 7.0, 6.0, 5.0], "b": [1.0, 2.0, 3.0, 4.0]}
    asked = Request(Sum(), Layout.parse(pattern, TWO), objective=None, data=None)  # type: ignore[arg-type]
    assert keep_highest(asked, scores).kept == kept


@pytest.mark.parametrize("method", ["flux-lite", "l2", "laptop"])
def test_scores_that_follow_the_size_of_a_number_keep_the_larger_of_each_pair(method: str) -> None:
    assert choose(method, *TRAP).kept == {"blocks": (0, 1)}
    assert choose(method, *TRAP, pattern="1:2").kept == {"blocks": (0, 3)}


def test_searches_stay_within_their_groups() -> None:
    """One of 10 and -9, one of 3 and -3.5: the sums are 13, 6.5, -6 and -12.5; the loss grows with their squares."""
    assert choose("best-random", *TRAP, pattern="1:2").kept == {"blocks": (1, 2)}
    assert choose("worst-random", *TRAP, pattern="1:2").kept == {"blocks": (0, 2)}
    assert choose("evolution", *TRAP, pattern="1:2").kept == {"blocks": (1, 2)}
    assert choose("beam", *TRAP, pattern="1:2").kept == {"blocks": (1, 2)}


def test_greedy_closes_a_group_from_which_enough_was_removed() -> None:
    """Without 3 the sum is -2.5, the best of four; then -3.5 must stay, and without -9 it is 6.5, without 10 -12.5."""
    assert choose("greedy", *TRAP, pattern="1:2").kept == {"blocks": (0, 3)}


def test_random_choices_of_pairs_are_uniform() -> None:
    asked, generator = request(Sum(*TRAP), "1:2"), random.Random(0)
    counts = Counter(draw(asked, generator)["blocks"] for _ in range(4000))
    assert set(counts) == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert all(abs(count - 1000) < 150 for count in counts.values())  # five standard deviations


@pytest.mark.parametrize(
    ("method", "pattern", "kept"),
    [
        ("first", "2:4", (0, 1, 4, 5)),
        ("even", "2:4", (0, 3, 4, 7)),
        ("even", "3:4,1:4", (0, 2, 3, 4)),
        ("contiguous", "3:4", (0, 1, 3, 4, 5, 7)),
        ("oracle", "1:2", (0, 2, 5, 7)),
        ("oracle", "2:4", (0, 2, 5, 7)),
        ("oracle", "4:8", (0, 2, 5, 7)),
        ("oracle", "1:2x2,2:4", (0, 2, 5, 7)),
    ],
)
def test_places_count_within_every_group(method: str, pattern: str, kept: tuple[int, ...]) -> None:
    assert choose(method, *range(8), pattern=pattern).kept == {"blocks": kept}


@pytest.mark.parametrize("pattern", ["3:4", "1:4", "3:4,1:4", "keep=3", "1:3,3:5"])
def test_oracle_refuses_what_is_not_one_of_every_pair(pattern: str) -> None:
    with pytest.raises(BadRequest, match="use --keep 4 or --pattern 1:2"):
        choose("oracle", *range(8), pattern=pattern)


def test_oracle_refuses_to_remove_a_block_that_must_stay() -> None:
    assert choose("oracle", *range(8), pattern=4, protected={"blocks": (7,)}).kept == {"blocks": (0, 2, 5, 7)}
    with pytest.raises(BadRequest, match="must stay"):
        choose("oracle", *range(8), pattern=4, protected={"blocks": (1,)})


@pytest.mark.parametrize(("numbers", "pattern", "fixed"), [(TRAP, 2, (1,)), ((*TRAP, 0.5, 4.0), "1:2", (1, 4))])
@pytest.mark.parametrize("method", [name for name in RULES if name not in ("oracle", "influence", "influence-clean")])
def test_protected_blocks_stay_and_no_more_blocks_than_asked(
    method: str, numbers: tuple[float, ...], pattern: str | int, fixed: tuple[int, ...]
) -> None:
    asked = request(Sum(*numbers), pattern, protected={"blocks": fixed})
    kept = CRITERIA.get(method)(asked).kept
    assert set(fixed) <= set(kept["blocks"]) and respects(asked.layout, kept)


def test_evolution_ends_where_nothing_can_move() -> None:
    assert choose("evolution", *TRAP, pattern=1, protected={"blocks": (2,)}).kept == {"blocks": (2,)}


def test_budgets_that_no_rule_can_follow_are_refused() -> None:
    with pytest.raises(BadRequest, match=r"^time=0.5 is for `tinylab search`; give keep=K or N:M$"):
        request(Sum(*TRAP), "time=0.5")
    with pytest.raises(BadRequest, match="3 must stay; keep more"):
        Request(Sum(), Layout.budget(2, TWO), objective=None, data=None, protected={"a": (0, 1)})  # type: ignore[arg-type]


def test_half_of_all_blocks_is_what_nobody_asks_for() -> None:
    assert str(asked_layout(None, 0, TWO)) == "keep=4"
    assert str(asked_layout(None, 3, TWO)) == "keep=3"
    assert str(asked_layout("1:2", 4, TWO)) == "1:2"
    with pytest.raises(BadRequest, match="--keep 3 does not agree with --pattern 1:2, which keeps 4"):
        asked_layout("1:2", 3, TWO)


LAYOUTS = {
    "dit": ("keep=4", "1:2", "3:4,1:4"),
    "sit": ("keep=4", "2:4"),
    "mar": ("keep=4", "1:2", "encoder_blocks=3:4;decoder_blocks=1:2"),
}


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize(("family", "pattern"), [(family, p) for family in FAMILIES for p in LAYOUTS[family]])
def test_every_method_keeps_what_the_layout_asks_of_every_family(
    family: str, pattern: str, method: str, build_tiny: Callable[..., Any]
) -> None:
    model = build_tiny(family, **({} if family == "mar" else {"depth": 8}))
    depth, told = model.stack_depths(), []
    layout = Layout.parse(pattern, depth)

    def chosen() -> Any:
        return choose_plan(
            method,
            model,
            objective_for(model),
            load_digits()[0],
            name="tiny",
            layout=layout,
            seed=1,
            samples=4,
            draws=3,
            progress=lambda done, total: told.append((done, total)),
        )

    if method == "oracle" and "3:4" in pattern:
        with pytest.raises(BadRequest, match="use --keep 4 or --pattern 1:2"):
            chosen()
        return
    plan = chosen()
    assert respects(layout, plan.kept) and all(plan.kept.values())
    assert (plan.method, plan.depth, plan.details["pattern"]) == (method, depth, pattern)
    assert all(0 < done <= total == told[0][1] for done, total in told)
    assert told[-1][0] == told[-1][1]
    assert not any(b._forward_hooks or "forward" in b.__dict__ for s in model.block_stacks().values() for b in s)
    if pattern == LAYOUTS[family][-1]:
        assert chosen() == plan
