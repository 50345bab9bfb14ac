"""Layer maps: whose hidden states the blocks of a student learn."""

from __future__ import annotations

import pytest

from tinylab.errors import BadRequest
from tinylab.pruning.plan import DepthPlan
from tinylab.training.layer_maps import LAYER_MAPS, layer_map


def pairs(kept: tuple[int, ...], depth: int, name: str) -> list[int]:
    plan = DepthPlan({"blocks": kept}, {"blocks": depth}, "test")
    found = layer_map(plan, name)  # type: ignore[arg-type]
    assert [block for _, block, _ in found] == list(range(len(kept)))
    return [taught for _, _, taught in found]


def test_blocks_learn_from_themselves_by_default() -> None:
    assert pairs((0, 3, 4, 7), 8, "kept") == [0, 3, 4, 7]


def test_blocks_learn_from_the_end_of_the_span_they_stand_for() -> None:
    assert pairs((0, 3, 4, 7), 10, "span") == [2, 3, 6, 9]
    assert pairs((2,), 5, "span") == [4]


def test_the_published_map_knows_nothing_of_what_was_kept() -> None:
    assert pairs(tuple(range(14)), 28, "published") == list(range(1, 28, 2))
    assert pairs((1, 2, 6, 7), 8, "published") == pairs((0, 1, 2, 3), 8, "published") == [1, 3, 5, 7]
    with pytest.raises(BadRequest, match="28 blocks do not make 19 equal groups; use kept or span"):
        pairs(tuple(range(19)), 28, "published")


@pytest.mark.parametrize("name", LAYER_MAPS)
def test_a_model_that_lost_nothing_learns_from_itself(name: str) -> None:
    assert pairs(tuple(range(5)), 5, name) == list(range(5))


@pytest.mark.parametrize("name", LAYER_MAPS)
def test_every_stack_has_a_map_of_its_own(name: str) -> None:
    plan = DepthPlan({"encoder": (0, 3), "decoder": (1, 2, 4)}, {"encoder": 4, "decoder": 6}, "test")
    found = layer_map(plan, name)  # type: ignore[arg-type]
    assert [(stack, block) for stack, block, _ in found] == [
        *(("encoder", 0), ("encoder", 1)),
        *(("decoder", 0), ("decoder", 1), ("decoder", 2)),
    ]
    assert all(taught < plan.depth[stack] for stack, _, taught in found)
