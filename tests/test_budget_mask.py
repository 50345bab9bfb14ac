"""One budget for all blocks, held against the sum over all sets."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from tinylab.config.choices import ESTIMATORS
from tinylab.errors import BadRequest
from tinylab.pruning.budget_mask import BudgetMask, mask_for, whole_costs
from tinylab.pruning.layout import Layout

TWO = {"encoder": 3, "decoder": 4}
CASES = {
    "equal": ("keep=3", {"blocks": 6}, None, {}),
    "two stacks": ("keep=3", TWO, None, {}),
    "protected": ("keep=3", TWO, None, {"decoder": (3,)}),
    "unequal": ("time=0.5", {"double": 3, "single": 3}, [7, 7, 7, 3, 3, 3], {}),
    "noisy": ("time=.4", {"blocks": 5}, [5, 4, 6, 5, 5], {}),
}


@pytest.fixture(params=CASES)
def mask(request) -> BudgetMask:
    text, depth, costs, protected = CASES[request.param]
    mask = BudgetMask(Layout.parse(text, depth), costs=costs, protected=protected)
    mask.logits.data += 0.01 * torch.randn(mask.logits.shape, generator=torch.Generator().manual_seed(1))
    return mask


def _all_sets(mask: BudgetMask) -> dict[tuple[int, ...], float]:
    """The probability of every set that fits, by going through all of them."""
    theta = (mask.scaling * mask.logits[0]).tolist()
    places = range(len(mask.blocks))
    weights = {}
    for size in range(len(mask.blocks) + 1):
        for chosen in itertools.combinations(places, size):
            cost = sum(mask.costs[i] for i in chosen)
            fits = mask.budget - min(mask.costs) < cost <= mask.budget
            stacks = {mask.blocks[i][0] for i in chosen}
            if fits and stacks == set(mask.layout.depth) and mask.fixed <= set(chosen):
                weights[chosen] = math.exp(sum(theta[i] for i in chosen))
    return {chosen: weight / sum(weights.values()) for chosen, weight in weights.items()}


def _flat(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat(list(parts.values()), dim=-1)


def test_marginals_confidence_and_entropy_equal_the_sums_over_all_sets(mask):
    sets = _all_sets(mask)
    marginals = [sum(p for chosen, p in sets.items() if i in chosen) for i in range(len(mask.blocks))]
    assert torch.allclose(_flat(mask.keep_probabilities()), torch.tensor(marginals), atol=1e-5)
    state = mask.states()["all"]
    assert state.confidence == pytest.approx(max(sets.values()), rel=1e-4)
    entropy = -sum(p * math.log(p) for p in sets.values()) / math.log(len(sets))
    assert state.entropy == pytest.approx(entropy, rel=1e-4)


def test_draws_are_exact_and_know_their_probability(mask):
    sets = _all_sets(mask)
    drawn = mask.draw(20_000, 1.0, torch.Generator().manual_seed(0))
    masks = _flat(drawn.masks).detach().round()
    found = [tuple(row.nonzero().flatten().tolist()) for row in masks]
    assert set(found) <= set(sets)
    for chosen, p in sets.items():
        assert found.count(chosen) / len(found) == pytest.approx(p, abs=5 * math.sqrt(p / len(found)))
    for row in range(20):
        assert drawn.log_probability[row].item() == pytest.approx(math.log(sets[found[row]]), abs=1e-4)


def test_the_decision_is_the_most_probable_set(mask):
    sets = _all_sets(mask)
    best = max(sets, key=lambda chosen: sets[chosen])
    kept = mask.decision()
    assert [(stack, i) for stack in mask.layout.depth for i in kept[stack]] == [mask.blocks[i] for i in best]
    mask.prefer({stack: [float(-i) for i in range(count)] for stack, count in mask.layout.depth.items()})
    least = min(sets, key=lambda chosen: sum(mask.blocks[i][1] for i in chosen))
    assert sum(i for several in mask.decision().values() for i in several) == sum(mask.blocks[i][1] for i in least)


@pytest.mark.parametrize("name", ESTIMATORS.names())
def test_gradients_point_where_the_exact_gradient_points(name):
    mask = BudgetMask(Layout.parse("keep=3", {"blocks": 6}))
    generator = torch.Generator().manual_seed(2)
    mask.logits.data += 0.01 * torch.randn(mask.logits.shape, generator=generator)
    prices, pairs = torch.randn(6, generator=generator), torch.randn(6, 6, generator=generator)

    def loss(masks):
        return masks @ prices + ((masks @ pairs) * masks).sum(dim=1)

    every = torch.zeros(20, 6)
    for row, chosen in enumerate(itertools.combinations(range(6), 3)):
        every[row, list(chosen)] = 1
    p = (mask.scaling * (every @ mask.logits[0])).softmax(dim=0)
    (wanted,) = torch.autograd.grad((p * loss(every)).sum(), mask.logits)
    drawn = mask.draw(50_000, 1.0, torch.Generator().manual_seed(0), estimator=name)
    losses = loss(drawn.masks["blocks"])
    total = losses.mean()
    if name == "reinforce":
        total = ((losses - losses.mean()).detach() * drawn.log_probability).mean()
    (found,) = torch.autograd.grad(total, mask.logits)
    error = (found - wanted).norm() / wanted.norm()
    assert error < (0.4 if name == "gumbel" else 0.03)  # through the marginals is exact for linear losses alone


def test_what_was_drawn_is_counted_while_learning_only():
    mask = BudgetMask(Layout.parse("keep=1", {"blocks": 3}))
    mask.draw(5, 1.0, torch.Generator().manual_seed(0))
    assert mask.seen.sum(dim=0).tolist() == [5, 5, 5] and mask.seen[1].sum() == 5
    mask.eval().draw(5, 1.0, torch.Generator().manual_seed(0))
    assert mask.seen.sum() == 15


def test_times_become_whole_costs_and_equal_ones_stay_equal():
    assert whole_costs([1.0, 1.0, 2.0]) == [50, 50, 100]
    assert whole_costs([1e-3] * 3) == [67] * 3
    mask = mask_for(Layout.parse("time=0.5", {"blocks": 4}), 100.0, seconds={"blocks": [0.1] * 4})
    assert sum(map(len, mask.decision().values())) == 2


def test_a_budget_that_nothing_fits_is_refused():
    with pytest.raises(BadRequest, match="nothing fits time=0.1"):
        BudgetMask(Layout.parse("time=0.1", {"blocks": 4}), costs=[50] * 4)
    with pytest.raises(BadRequest, match="must stay"):
        Layout.parse("keep=2", {"blocks": 4}, {"blocks": (0, 1, 2)})
    with pytest.raises(BadRequest, match="measured time"):
        mask_for(Layout.parse("time=0.5", {"blocks": 4}), 100.0)
