"""The order of images: whole epochs, and a pure function of seed and step."""

from __future__ import annotations

import pytest
import torch

from tinylab.data.order import batch_indices, step_generator


@pytest.mark.parametrize(("count", "batch"), [(12, 4), (10, 4), (7, 3), (5, 5), (3, 8), (1, 2)])
def test_every_epoch_is_a_permutation(count: int, batch: int) -> None:
    epochs = 4
    steps = -(-epochs * count // batch)
    shown = torch.cat([batch_indices(count, batch, seed=3, step=step) for step in range(steps)])
    for epoch in shown[: epochs * count].split(count):
        assert sorted(epoch.tolist()) == list(range(count))


def test_epochs_differ_from_each_other() -> None:
    first, second = (batch_indices(50, 50, seed=0, step=step) for step in (0, 1))
    assert not torch.equal(first, second)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    in_order = [batch_indices(20, 6, seed=1, step=step) for step in range(8)]
    torch.manual_seed(99)
    backwards = [batch_indices(20, 6, seed=1, step=step) for step in reversed(range(8))]
    for a, b in zip(in_order, reversed(backwards), strict=True):
        assert torch.equal(a, b)


def test_seeds_give_different_orders() -> None:
    assert not torch.equal(batch_indices(50, 50, seed=0, step=0), batch_indices(50, 50, seed=1, step=0))


def test_batch_order_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    batch_indices(20, 6, seed=1, step=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_generators_of_steps_seeds_and_streams_share_no_numbers() -> None:
    keys = [(seed, step, stream) for seed in (0, 1, 2**31 - 1) for step in (0, 1, 9_999_999) for stream in (0, 1, 7)]
    drawn = {torch.rand(4, dtype=torch.float64, generator=step_generator(*key)).numpy().tobytes() for key in keys}
    assert len(drawn) == len(keys)


def test_a_generator_repeats_itself() -> None:
    a, b = (torch.randn(5, generator=step_generator(4, 2, stream=3)) for _ in range(2))
    assert torch.equal(a, b)
