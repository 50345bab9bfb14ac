"""The sampled way of gating: outputs as ever, and gradients of the masks that are right on average."""

from __future__ import annotations

import pytest
import torch
from golden_values import relative_error
from skip_cases import WEIGHTS, count_rows, difference, draw_masks, move_weights, step

from tinylab.pruning.batch_rows import choose_rows
from tinylab.pruning.gates import gated

DRAWS = 400


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("family", ["dit", "sit", "mar"])
def test_a_share_of_all_is_the_exact_way(build_tiny, family, weights):
    model = move_weights(build_tiny(family), weights)
    losses, wanted = step(model, "2:4", way="exact")
    sampled, found = step(model, "2:4", way="sampled", share=1.0, generator=_generator())
    assert torch.equal(sampled, losses)
    assert difference(found, wanted) == 0


@pytest.mark.parametrize("family", ["dit", "sit", "mar"])
def test_only_the_gradients_of_the_masks_are_random(build_tiny, family):
    model = build_tiny(family)
    dense, wanted = step(model, "1:2", way="dense")
    exact, _ = step(model, "1:2", way="exact")
    sampled, found = step(model, "1:2", way="sampled", share=0.25, generator=_generator())
    again, same = step(model, "1:2", way="sampled", share=0.25, generator=_generator())
    assert torch.equal(sampled, exact) and relative_error(sampled, dense) < 1e-6
    weights = [key for key, _ in model.named_parameters() if key in wanted]
    assert difference({key: found[key] for key in weights}, {key: wanted[key] for key in weights}) < 1e-5
    stack = next(iter(model.stack_depths()))
    assert relative_error(found[stack], wanted[stack]) > 0.1
    assert torch.equal(again, sampled) and difference(same, found) == 0


def test_gradients_of_the_masks_are_unbiased(tiny_dit):
    """A value v that is seen with probability p and then weighted by 1/p has the variance v² (1 - p) / p."""
    model = move_weights(tiny_dit, "frozen")
    _, wanted = step(model, "1:2", count=16, way="dense")
    _, masks = draw_masks(model, "1:2", 16)
    dropped = masks["blocks"].detach() < 0.5
    total = {key: torch.zeros_like(value) for key, value in wanted.items()}
    squares = {key: torch.zeros_like(value) for key, value in wanted.items()}
    generator = _generator(1)
    for _ in range(DRAWS):
        _, found = step(model, "1:2", count=16, way="sampled", share=0.25, generator=generator)
        for key, value in found.items():
            total[key] += value / DRAWS
            squares[key] += value**2 / DRAWS
    count = dropped.sum(dim=0)
    p = torch.tensor([max(1, round(0.25 * n)) / n for n in count.tolist()])
    error = (total["blocks"] - wanted["blocks"]).abs()
    allowed = 5 * wanted["blocks"].abs() * ((1 - p) / p / DRAWS).sqrt()
    assert (error[dropped] <= allowed[dropped]).all()
    assert (error[~dropped] <= 1e-5 * wanted["blocks"].abs().max()).all()
    assert allowed[dropped].sum() < 0.5 * wanted["blocks"][dropped].abs().sum()  # the bound says something
    logits = [key for key in wanted if key.endswith("logits")]
    for key in logits:
        deviation = ((squares[key] - total[key] ** 2).clamp_min(0) / DRAWS).sqrt()
        assert deviation.max() > 0
        assert ((total[key] - wanted[key]).abs() <= 5 * deviation).all()


@pytest.mark.parametrize(("share", "asked"), [(0.25, 2), (0.01, 1), (0.5, 4), (1.0, 8)])
def test_as_many_dropped_samples_run_as_the_share_says(tiny_dit, share, asked):
    mask = torch.ones(10, 4)
    mask[:8, 1] = 0
    sizes = count_rows(tiny_dit)
    x = torch.randn(10, 1, 8, 8, generator=_generator())
    with gated(tiny_dit, {"blocks": mask.requires_grad_()}, way="sampled", share=share, generator=_generator()):
        tiny_dit(x, torch.arange(10), torch.arange(10)).sum().backward()
    assert sizes == [10, 2, asked, 10, 10]
    assert (mask.grad[:8, 1] != 0).sum() == asked


def test_every_dropped_sample_is_as_likely_and_blocks_choose_on_their_own():
    masks = torch.ones(6, 2)
    masks[2:] = 0
    generator, seen = _generator(), []
    for _ in range(2000):
        seen.append(
            [r.dropped[: r.asked].tolist() for r in choose_rows(masks, masks.device, share=0.5, generator=generator)]
        )
    for block in range(2):
        counts = torch.tensor([index for draw in seen for index in draw[block]]).bincount(minlength=6)
        assert counts[:2].tolist() == [0, 0]
        assert ((counts[2:] - 1000).abs() < 5 * (2000 * 0.25) ** 0.5).all()
    same = sum(first == second for first, second in seen)
    assert abs(same - 2000 / 6) < 5 * (2000 * 5 / 36) ** 0.5
