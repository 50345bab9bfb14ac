"""The rivals with one budget for all blocks, on models that can be worked out by hand."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from adding_blocks import TRAP, Sum, choose, request
from torch import Tensor

from tinylab.pruning.criteria import CRITERIA
from tinylab.pruning.criteria.block_changes import block_changes, l2, norm_ratio, relative_l2, squared_change
from tinylab.pruning.criteria.calibration import Calibration, calibration_batches
from tinylab.pruning.criteria.of_random import draw
from tinylab.pruning.criteria.placement import shares


def noise(numbers: tuple[float, ...]) -> Tensor:
    return torch.cat([batch.draw.noise for batch in calibration_batches(request(Sum(*numbers)))]).double()


def test_calibration_loss_is_the_distance_of_the_sum_to_the_noise() -> None:
    drawn = noise(TRAP)
    for kept in ([0, 1, 2, 3], [1, 2], [3]):
        by_hand = (sum(TRAP[i] for i in kept) - drawn).square().mean().item()
        found = Calibration(request(Sum(*TRAP)), 1).loss({"blocks": kept})
        assert found == pytest.approx(by_hand, rel=1e-5)


def test_sensitivity_is_the_rise_of_the_loss_without_a_block() -> None:
    drawn, total = noise(TRAP), sum(TRAP)
    full = (total - drawn).square().mean().item()
    by_hand = [(total - number - drawn).square().mean().item() - full for number in TRAP]
    found = choose("sensitivity", *TRAP)
    assert found.scores is not None
    assert found.scores["blocks"] == pytest.approx(by_hand, rel=1e-4)
    assert found.kept == {"blocks": (0, 1)}


def test_laptop_scores_are_the_squares_of_what_the_output_loses() -> None:
    found = choose("laptop", *TRAP)
    assert found.scores is not None
    assert found.scores["blocks"] == pytest.approx([64 * number**2 for number in TRAP], rel=1e-5)


def test_greedy_is_trapped_where_a_beam_is_not() -> None:
    assert choose("greedy", *TRAP).kept == {"blocks": (0, 1)}
    assert choose("beam", *TRAP).kept == {"blocks": (2, 3)}


def test_evolution_and_the_best_of_random_find_the_smallest_loss_and_the_worst_the_largest() -> None:
    assert choose("evolution", *TRAP).kept == {"blocks": (2, 3)}
    assert choose("best-random", *TRAP).kept == {"blocks": (2, 3)}
    assert choose("worst-random", *TRAP).kept == {"blocks": (0, 2)}


def test_best_median_and_worst_are_ranked_among_so_many_draws() -> None:
    asked = request(Sum(*TRAP), draws=6, seed=3)
    generator = random.Random(3)
    drawn = [draw(asked, generator)["blocks"] for _ in range(6)]
    ranked = sorted(drawn, key=lambda kept: abs(sum(TRAP[i] for i in kept)))  # the noise is far smaller than the gaps
    assert len(set(drawn)) > 2
    for which, place in (("best", 0), ("median", 2), ("worst", 5)):
        assert CRITERIA.get(f"{which}-random")(asked).kept == {"blocks": ranked[place]}


@pytest.mark.parametrize("which", ["best", "median", "worst"])
def test_of_a_single_draw_all_are_the_random_choice(which: str) -> None:
    found = [choose(method, *range(8), pattern=4, draws=1, seed=5) for method in (f"{which}-random", "random")]
    assert found[0] == found[1]


def test_a_loss_that_is_no_number_ranks_last() -> None:
    assert Calibration(request(Sum(1.0, math.nan), 1), 1).loss({"blocks": [0, 1]}) == math.inf
    assert choose("best-random", 5.0, 5.0, math.nan, 1.0).kept["blocks"] in {(0, 3), (1, 3)}


def test_median_of_random_has_as_many_better_as_worse_ones() -> None:
    asked = request(Sum(*range(1, 9)), pattern=4)
    calibration = Calibration(asked, 1)
    best, median, worst = (
        calibration.loss(CRITERIA.get(f"{which}-random")(asked).kept) for which in ("best", "median", "worst")
    )
    assert best < median < worst


@pytest.mark.parametrize(
    ("method", "keep", "kept"),
    [
        ("first", 3, (0, 1, 2)),
        ("even", 3, (0, 4, 7)),
        ("even", 1, (0,)),
        ("even", 7, (0, 1, 2, 4, 5, 6, 7)),
        ("contiguous", 4, (0, 1, 6, 7)),
        ("contiguous", 5, (0, 1, 2, 6, 7)),
    ],
)
def test_places_are_what_their_names_say(method: str, keep: int, kept: tuple[int, ...]) -> None:
    assert choose(method, *range(8), pattern=keep).kept == {"blocks": kept}


def test_stacks_share_in_proportion_and_none_is_emptied() -> None:
    assert shares({"a": 6, "b": 6}, 6) == {"a": 3, "b": 3}
    assert shares({"a": 19, "b": 38}, 27) == {"a": 9, "b": 18}
    assert shares({"a": 1, "b": 20}, 2) == {"a": 1, "b": 1}
    assert shares({"a": 20, "b": 1}, 5) == {"a": 4, "b": 1}
    assert shares({"a": 4, "b": 4, "c": 4, "d": 1}, 8) == {"a": 2, "b": 2, "c": 3, "d": 1}
    assert shares({"a": 6, "b": 6}, 6, least={"a": 5}) == {"a": 5, "b": 1}
    assert shares({"a": 6, "b": 6}, 6, least={"b": 5}) == {"a": 1, "b": 5}


def test_changes_of_blocks_that_scale_follow_from_their_factors(tiny_dit: Any) -> None:
    factors = (2.0, 0.5, -1.0, 1.0)
    for block, factor in zip(tiny_dit.blocks, factors, strict=True):
        block.forward = lambda x, c, factor=factor: factor * x
    asked = request(tiny_dit)
    gaps = [abs(factor - 1) for factor in factors]  # 1, 0.5, 2, 0
    sizes = [1.0, 2.0, 1.0, -1.0]  # of the input, in units of the first
    assert block_changes(asked, relative_l2)["blocks"] == pytest.approx(gaps, abs=1e-5)
    assert block_changes(asked, norm_ratio)["blocks"] == pytest.approx([math.log(2), math.log(2), 0, 0], abs=1e-5)
    first = block_changes(asked, l2)["blocks"][0]
    assert block_changes(asked, l2)["blocks"] == pytest.approx(
        [first * gap * abs(size) for gap, size in zip(gaps, sizes, strict=True)], rel=1e-4, abs=1e-5
    )
    first = block_changes(asked, squared_change)["blocks"][0]
    assert block_changes(asked, squared_change)["blocks"] == pytest.approx(
        [first * (gap * size) ** 2 for gap, size in zip(gaps, sizes, strict=True)], rel=1e-4, abs=1e-5
    )
