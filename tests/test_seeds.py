"""Seeds as people write them."""

from __future__ import annotations

import pytest

from tinylab.config import SearchConfig
from tinylab.errors import BadRequest


@pytest.mark.parametrize(
    "written, meant",
    [
        ("0-4", (0, 1, 2, 3, 4)),
        (("0-2", "7"), (0, 1, 2, 7)),
        ("3, 1-2,3", (3, 1, 2)),
        ((5, 6), (5, 6)),
        ("", ()),
        ((), ()),
    ],
)
def test_spans_and_single_seeds_are_read_each_once(written, meant):
    assert SearchConfig.create(seeds=written).seeds == meant


@pytest.mark.parametrize("written", ["4-0", "a", "0-99999", "-3", "1.5", ("0-4", "x"), "99999999999"])
def test_what_is_no_seed_is_refused_in_one_line(written):
    with pytest.raises(BadRequest, match="^seeds") as problem:
        SearchConfig.create(seeds=written)
    assert "\n" not in str(problem.value)


def test_a_config_with_seeds_survives_its_file():
    config = SearchConfig.create(seeds="0-2")
    assert SearchConfig.model_validate_json(config.to_json()) == config
