"""What is measured of hidden states: against arithmetic by hand, and against all states at once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from adding_blocks import Sum
from tiny_transformers import build, run
from torch import Tensor, nn

from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.errors import BadRequest
from tinylab.metrics import activations as module
from tinylab.metrics.activations import ActivationWatch, measure_activations
from tinylab.metrics.denoising import noised_batches
from tinylab.metrics.layer_activations import EDGES, activations_from_json, activations_to_json
from tinylab.models.adapters import adapt
from tinylab.models.families import FAMILIES
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.training.losses import usual

HELD_OUT = load_digits()[1]
every_family = pytest.mark.parametrize("family", FAMILIES)


class Fixed(nn.Module):
    """A block that returns the same hidden state (T, D) for every sample, whatever it gets."""

    def __init__(self, h: Tensor) -> None:
        super().__init__()
        self.h = nn.Parameter(h)

    def forward(self, x: Tensor) -> Tensor:
        return self.h.expand(len(x), -1, -1)


class Shown(nn.Module):
    """A model whose blocks return what they are told to."""

    def __init__(self, *states: Tensor) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Fixed(h) for h in states)

    def block_stacks(self) -> dict[str, nn.ModuleList]:
        return {"blocks": self.blocks}

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        for block in self.blocks:
            block(x)
        return torch.zeros_like(x)


def look(model: nn.Module, samples: int = 6, **options: object) -> list:
    """The layers of a model of one stack that predicts noise."""
    return measure_activations(model, GaussianDiffusion(), HELD_OUT, samples=samples, **options)["blocks"]


def states_of(model: nn.Module, samples: int) -> dict[str, list[list[Tensor]]]:
    """Per stack and block the hidden state of every sample, all of them kept."""
    objective = objective_for(model)
    states = {stack: [[] for _ in blocks] for stack, blocks in model.block_stacks().items()}
    hooks = [
        block.register_forward_hook(lambda b, args, out, seen=states[stack][i]: seen.extend(out.unbind()))
        for stack, blocks in model.block_stacks().items()
        for i, block in enumerate(blocks)
    ]
    with torch.no_grad():
        for batch in noised_batches(objective, HELD_OUT, samples, 0, torch.device("cpu")):
            objective.forward(model, batch.x, batch.y, batch.draw)
    for hook in hooks:
        hook.remove()
    return states


def left_hooks(model: nn.Module) -> list[nn.Module]:
    return [part for part in model.modules() if part._forward_hooks]


def test_a_planted_outlier_is_found_with_its_channel_its_share_and_its_bin() -> None:
    h = torch.ones(4, 25)
    h.view(-1)[::2] = -1
    h[2, 7] = 100.0  # in place of a 1
    (layer,) = look(Shown(h))
    mean = 99 / 100
    variance = (99 + 100**2 - 100 * mean**2) / 99
    assert layer.mean == pytest.approx(mean)
    assert layer.deviation == pytest.approx(math.sqrt(variance))
    assert layer.largest == 100
    assert layer.furthest == pytest.approx((100 - mean) / math.sqrt(variance))  # 9.85
    assert layer.beyond == {2.0: 0.01, 3.0: 0.01, 5.0: 0.01}
    found = {EDGES[i]: count for i, count in enumerate(layer.counts) if count}
    assert found == {0.0: 6 * 99, 7.0: 6}
    assert layer.shares[EDGES.index(7.0)] == pytest.approx(0.01)
    first, second, *_ = layer.channels
    squares = sum((value - mean) ** 2 for value in h[:, 7].tolist())
    assert (first.channel, first.largest) == (7, 100)
    assert first.share == pytest.approx(squares / (99 * variance))
    assert second.largest == 1


def test_a_value_on_an_edge_belongs_to_the_bin_that_begins_there_and_lies_beyond() -> None:
    h = torch.tensor([[-1.0, 1.0, 0, 0, 0, 0, 0, 0, 0]])  # variance 2 / 8, so that two values lie at 2σ
    (layer,) = look(Shown(h), sigmas=(0.0, 2.0, 2.5))
    assert layer.beyond == {0.0: 1.0, 2.0: 2 / 9, 2.5: 0.0}
    counts = dict(zip(EDGES, layer.counts, strict=False))
    assert (counts[0.0], counts[2.0], sum(layer.counts)) == (6 * 7, 6 * 2, 6 * 9)


def test_where_all_values_of_a_sample_are_equal_none_is_far() -> None:
    first, second = look(Sum(3.1, -5.0))
    assert (first.largest, second.largest) == pytest.approx((3.1, 1.9))
    assert (second.mean, second.deviation, second.furthest) == pytest.approx((-1.9, 0, 0), abs=1e-6)
    assert set(first.beyond.values()) == {0.0}
    assert first.counts[0] == sum(first.counts) == 6 * 64


@every_family
def test_streaming_gives_what_all_states_at_once_give(family: str, build_tiny: Callable) -> None:
    model, samples = build_tiny(family), 80  # two batches of a MAR, which hide different numbers of tokens
    measured = measure_activations(model, objective_for(model), HELD_OUT, samples=samples)
    states = states_of(model, samples)
    assert list(measured) == list(states)
    for stack, layers in measured.items():
        for layer, seen in zip(layers, states[stack], strict=True):
            assert len(seen) == samples
            check_against_numpy(layer, [h.double().numpy() for h in seen])


def check_against_numpy(layer, states: list[np.ndarray]) -> None:
    means = [h.mean() for h in states]
    deviations = [h.std(ddof=1) for h in states]
    z = np.concatenate([np.abs(h - m).ravel() / s for h, m, s in zip(states, means, deviations, strict=True)])
    tokens = np.concatenate([h.reshape(-1, h.shape[-1]) for h in states])
    away = np.concatenate([(h - m).reshape(-1, h.shape[-1]) for h, m in zip(states, means, strict=True)])
    part = (away**2).sum(axis=0) / (away**2).sum()
    assert (layer.mean, layer.deviation) == pytest.approx((np.mean(means), np.mean(deviations)), rel=1e-9, abs=1e-9)
    assert (layer.largest, layer.furthest) == pytest.approx((np.abs(tokens).max(), z.max()), rel=1e-9)
    assert layer.beyond == pytest.approx({k: (z >= k).mean() for k in (2.0, 3.0, 5.0)}, abs=1e-9)
    assert list(layer.counts) == np.histogram(z, bins=[*EDGES[:-1], 1e300])[0].tolist()
    peaks = np.abs(tokens).max(axis=0)
    assert [c.channel for c in layer.channels] == np.argsort(-peaks)[: len(layer.channels)].tolist()
    assert [c.largest for c in layer.channels] == pytest.approx(sorted(peaks, reverse=True)[: len(layer.channels)])
    assert [c.share for c in layer.channels] == pytest.approx([part[c.channel] for c in layer.channels])


def test_the_share_beyond_is_what_masked_distillation_leaves_out(tiny_dit: nn.Module) -> None:
    layers = measure_activations(tiny_dit, objective_for(tiny_dit), HELD_OUT, samples=16, sigmas=(1.5,))["blocks"]
    for layer, seen in zip(layers, states_of(tiny_dit, 16)["blocks"], strict=True):
        masked = (~usual(torch.stack(seen), 1.5)).double().mean().item()
        assert 0 < masked < 1
        assert layer.beyond[1.5] == pytest.approx(masked, abs=1e-3)  # that side counts in single precision


def test_batches_may_be_cut_anywhere(tiny_dit: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = objective_for(tiny_dit)
    (batch,) = noised_batches(objective, HELD_OUT, 24, 0, torch.device("cpu"))
    found = []
    for size, at_once in ((24, 2**21), (5, 2**21), (24, 1)):
        monkeypatch.setattr(module, "_AT_ONCE", at_once)
        with torch.no_grad(), ActivationWatch(tiny_dit) as watch:
            for rows in (slice(i, i + size) for i in range(0, 24, size)):
                objective.forward(tiny_dit, batch.x[rows], batch.y[rows], batch.draw[rows])
        found.append(watch.layers()["blocks"])
    for whole, *others in zip(*found, strict=True):
        for other in others:
            for name in ("mean", "deviation", "largest", "furthest", "beyond"):
                assert getattr(other, name) == pytest.approx(getattr(whole, name), rel=1e-4)
            assert sum(other.counts) == sum(whole.counts)
            # the model itself rounds otherwise in other batches: a value may change its bin
            assert sum(abs(a - b) for a, b in zip(other.counts, whole.counts, strict=True)) <= 4


def test_a_cut_model_says_which_blocks_its_blocks_were(build_tiny: Callable) -> None:
    model = build_tiny("mar")
    plan = DepthPlan.of(["e1", "e3", "d0", "d2", "d3"], model.stack_depths(), "indices")
    shallow = apply_plan(model, plan)
    again = apply_plan(shallow, DepthPlan.of(["e1", "d1"], shallow.stack_depths(), "indices"))
    for cut, kept in ((shallow, ["e1", "e3", "d0", "d2", "d3"]), (again, ["e3", "d2"])):
        layers = measure_activations(cut, objective_for(cut), HELD_OUT, samples=2)
        assert [layer.origin for several in layers.values() for layer in several] == kept
        assert [layer.name for layer in layers["encoder_blocks"]] == [
            f"e{i}" for i in range(len(layers["encoder_blocks"]))
        ]


def test_measuring_leaves_the_model_as_it_was(tiny_dit: nn.Module) -> None:
    tiny_dit.train()
    measure_activations(tiny_dit, objective_for(tiny_dit), HELD_OUT, samples=2)
    assert tiny_dit.training
    assert left_hooks(tiny_dit) == []


def test_hooks_go_also_where_a_model_fails(tiny_dit: nn.Module) -> None:
    with pytest.raises(TypeError), ActivationWatch(tiny_dit):
        assert len(left_hooks(tiny_dit)) == 4
        tiny_dit()
    assert left_hooks(tiny_dit) == []


def test_equal_seeds_give_equal_numbers_and_others_others(tiny_dit: nn.Module) -> None:
    assert look(tiny_dit, seed=1) == look(tiny_dit, seed=1) != look(tiny_dit, seed=2)


def test_progress_reaches_all_samples(build_tiny: Callable) -> None:
    model, told = build_tiny("mar"), []
    measure_activations(
        model, objective_for(model), HELD_OUT, samples=70, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(64, 70), (70, 70)]


def test_json_holds_everything(build_tiny: Callable) -> None:
    model = build_tiny("mar")
    measured = measure_activations(model, objective_for(model), HELD_OUT, samples=3, sigmas=(2.0, 2.5))
    text = json.dumps(activations_to_json(measured), allow_nan=False)
    assert activations_from_json(json.loads(text)) == measured


@pytest.mark.parametrize("damage", ["edges", "stacks", "counts", "channels"])
def test_damaged_json_is_refused(damage: str) -> None:
    document = activations_to_json({"blocks": look(Sum(1.0))})
    (document if damage in document else document["stacks"]["blocks"][0])[damage] = [1, 2]
    with pytest.raises(BadRequest, match="measure them again"):
        activations_from_json(document)


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(BadRequest, match="block 1 returns values that are no numbers"):
        look(Shown(torch.ones(2, 3), torch.tensor([[1.0, math.inf]])))


def test_no_samples_and_blocks_that_never_ran_are_refused(tiny_dit: nn.Module) -> None:
    with pytest.raises(BadRequest, match="at least one image"):
        look(tiny_dit, samples=0)
    with ActivationWatch(tiny_dit) as watch, pytest.raises(BadRequest, match="block 0 was never run"):
        watch.layers()


def test_a_transformer_of_diffusers_is_measured_with_the_inputs_it_gets() -> None:
    model = adapt(build("PixArtTransformer2DModel"))
    with torch.no_grad(), ActivationWatch(model) as watch:
        run(model, "PixArtTransformer2DModel")
    layers = watch.layers()["transformer_blocks"]
    assert [layer.name for layer in layers] == ["0", "1", "2", "3"]
    assert all(sum(layer.counts) == 3 * 4 * 16 for layer in layers)  # samples, tokens, width
    plan = DepthPlan({"transformer_blocks": (0, 2)}, model.stack_depths(), "indices")
    with torch.no_grad(), ActivationWatch(apply_plan(model, plan)) as watch:
        run(watch.model, "PixArtTransformer2DModel")
    first, second = watch.layers()["transformer_blocks"]
    assert first == layers[0]
    assert (second.name, second.origin) == ("1", "2")


def test_blocks_of_several_hidden_states_are_refused() -> None:
    model = adapt(build("SD3Transformer2DModel"))
    with pytest.raises(BadRequest, match="returns several hidden states"), torch.no_grad(), ActivationWatch(model):
        run(model, "SD3Transformer2DModel")
    assert left_hooks(model) == []
