"""Gradients through drawn choices, held against the exact gradient of the expected loss."""

from __future__ import annotations

import pytest
import torch

from tinylab.config.choices import ESTIMATORS
from tinylab.pruning.estimators import gumbel_noise

LOGITS = torch.tensor([[0.3, -0.2, 0.9, 0.1]])
PRICES = torch.tensor([1.0, -2.0, 0.5, 3.0])
COUNT = 60_000


def _draw(name: str, tau: float = 1.0):
    logits = LOGITS.clone().requires_grad_()
    noise = gumbel_noise((COUNT, 4), torch.Generator().manual_seed(0))
    return logits, ESTIMATORS.get(name)(logits, noise, tau)


def _gradient(name: str, loss) -> torch.Tensor:
    """Of the mean loss by the logits, the score function added where the estimator needs it."""
    logits, drawn = _draw(name)
    losses = loss(drawn)
    total = losses.mean()
    if name == "reinforce":
        score = (drawn * logits.log_softmax(dim=1)).sum(dim=1)
        total = ((losses - losses.mean()).detach() * score).mean()
    (found,) = torch.autograd.grad(total, logits)
    return found[0]


def _exact(loss) -> torch.Tensor:
    logits = LOGITS.clone().requires_grad_()
    (found,) = torch.autograd.grad((logits.softmax(dim=1)[0] * loss(torch.eye(4))).sum(), logits)
    return found[0]


def _linear(drawn):
    return drawn @ PRICES


def _quadratic(drawn):
    return (drawn @ PRICES).square() + drawn @ PRICES


@pytest.mark.parametrize("name", ESTIMATORS.names())
def test_draws_are_one_hot_and_follow_the_softmax(name):
    _, drawn = _draw(name)
    drawn = drawn.detach()
    assert torch.allclose(drawn.sum(dim=1), torch.ones(COUNT), atol=1e-5)
    assert torch.allclose(drawn.max(dim=1).values, torch.ones(COUNT), atol=1e-5)
    assert torch.allclose(drawn.mean(dim=0), LOGITS.softmax(dim=1)[0], atol=0.01)


def test_all_estimators_draw_the_same_from_the_same_noise():
    picks = [_draw(name, tau=0.7)[1].argmax(dim=1) for name in ESTIMATORS.names()]
    assert all(torch.equal(pick, picks[0]) for pick in picks)


@pytest.mark.parametrize("name", ["reinmax", "reinforce"])
@pytest.mark.parametrize("loss", [_linear, _quadratic])
def test_reinmax_and_reinforce_give_the_exact_gradient(name, loss):
    wanted = _exact(loss)
    assert (_gradient(name, loss) - wanted).norm() < 0.03 * wanted.norm() + 0.02


def test_gumbel_softmax_is_biased_for_a_quadratic_loss():
    wanted = _exact(_quadratic)
    found = _gradient("gumbel", _quadratic)
    assert torch.cosine_similarity(found, wanted, dim=0) > 0.9
    assert (found - wanted).norm() > 0.1 * wanted.norm()


def test_reinforce_passes_no_gradient_through_the_choice():
    assert not _draw("reinforce")[1].requires_grad
