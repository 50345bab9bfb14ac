"""The warm start `linear`: least squares behind gates, and maps that become part of an MLP."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from warming import FAMILIES, KEPT, BuildTiny, changed, copied, hooks, keep_first, warm_up

from tinylab.models.base import Denoiser
from tinylab.training.warm_starts import linear
from tinylab.training.warm_starts.calibration import SAMPLES, calibration_batches, watched
from tinylab.training.warm_starts.gated_map import Gated, fit_change, squared_error

D = 5


@pytest.fixture
def parts() -> list[Gated]:
    """Two batches with different numbers of tokens; gates differ in sign and size between samples and channels."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mixing = normal(D, D)  # inputs that depend on each other, far from zero
    return [Gated(normal(n, t, D) @ mixing + 3, normal(n, t, D), normal(n, D)) for n, t in ((7, 3), (4, 6))]


def closed_form(parts: list[Gated], channel: int, ridge: float) -> Tensor:
    """The solution of one channel by its own normal equations, (D + 1)."""
    rows = [torch.cat([p.x, torch.ones_like(p.x[..., :1])], -1) * p.gate[:, None, channel : channel + 1] for p in parts]
    a = torch.cat([row.flatten(0, 1) for row in rows])
    b = torch.cat([part.missing[..., channel].flatten() for part in parts])
    penalty = ridge * a[:, :-1].square().sum(dim=0).mean() * torch.eye(D + 1, dtype=torch.float64)
    penalty[-1, -1] = 0
    return torch.linalg.solve(a.T @ a + penalty, a.T @ b)


@pytest.mark.parametrize("ridge", [1e-6, 1e-2, 1.0])
def test_every_channel_is_solved_as_if_it_were_alone(parts: list[Gated], ridge: float) -> None:
    weight, bias = fit_change(parts, ridge=ridge, tolerance=1e-10)
    found = torch.cat([weight, bias.unsqueeze(1)], dim=1)
    wanted = torch.stack([closed_form(parts, channel, ridge) for channel in range(D)])
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_a_map_that_explains_everything_is_found(parts: list[Gated]) -> None:
    weight, bias = torch.randn(D, D, dtype=torch.float64), torch.randn(D, dtype=torch.float64)
    exact = [Gated(p.x, p.gate.unsqueeze(1) * (p.x @ weight.T + bias), p.gate) for p in parts]
    found = fit_change(exact, ridge=1e-12, tolerance=1e-10)
    assert torch.allclose(found[0], weight, atol=1e-6)
    assert torch.allclose(found[1], bias, atol=1e-5)
    assert squared_error(exact, *found) < 1e-8 * squared_error(exact, torch.zeros_like(weight), torch.zeros_like(bias))


def test_where_nothing_is_missing_nothing_changes(parts: list[Gated]) -> None:
    weight, bias = fit_change([Gated(p.x, torch.zeros_like(p.x), p.gate) for p in parts], ridge=1e-3)
    assert not weight.any() and not bias.any()


def test_a_channel_that_is_always_shut_stays_and_the_others_do_not_mind(parts: list[Gated]) -> None:
    open_weight, _ = fit_change(parts, ridge=1e-3, tolerance=1e-10)
    shut = [Gated(p.x, p.missing, p.gate * (torch.arange(D) != 2)) for p in parts]
    weight, bias = fit_change(shut, ridge=1e-3, tolerance=1e-10)
    assert not weight[2].any() and not bias[2]
    others = [0, 1, 3, 4]
    assert torch.allclose(weight[others], open_weight[others], rtol=1e-5, atol=1e-7)
    all_shut = fit_change([Gated(p.x, p.missing, torch.zeros_like(p.gate)) for p in parts], ridge=1e-3)
    assert not all_shut[0].any() and not all_shut[1].any()


def test_the_ridge_has_no_unit(parts: list[Gated]) -> None:
    weight, bias = fit_change(parts, ridge=0.1)
    scaled = fit_change([Gated(1000 * p.x, p.missing, 0.01 * p.gate) for p in parts], ridge=0.1)
    assert torch.allclose(10 * scaled[0], weight, rtol=1e-5, atol=1e-7)
    assert torch.allclose(0.01 * scaled[1], bias, rtol=1e-5, atol=1e-7)


@FAMILIES
def test_a_merged_block_comes_nearer_to_what_follows_its_span_by_as_much_as_the_map_says(
    build_tiny: BuildTiny, family: str
) -> None:
    teacher = build_tiny(family)
    given = warm_up(teacher, KEPT[family])
    merges = linear.merges(given)
    parts = linear.calibrated(given, merges)
    before = measured(given, merges)
    linear.start(given)
    after = measured(given, merges)
    for merge, own, worse, better in zip(merges, parts, before, after, strict=True):
        zeros = torch.zeros(16, 16, dtype=torch.float64), torch.zeros(16, dtype=torch.float64)
        assert worse == pytest.approx(squared_error(own, *zeros), rel=1e-4)
        assert better == pytest.approx(squared_error(own, *fit_change(own, ridge=linear._RIDGE)), rel=1e-4)
        assert better < 0.9 * worse, type(merge.student).__name__


@torch.no_grad()
def measured(given, merges: list[linear.Merge]) -> list[float]:
    """The squared distance of each student's block, given the teacher's input, from the teacher's state after it."""
    totals = [0.0] * len(merges)
    with watched(block for merge in merges for block in (merge.kept, merge.last)) as calls:
        for batch in calibration_batches(given):
            given.objective.forward(given.teacher, batch.x, batch.y, batch.draw)
            for place, merge in enumerate(merges):
                call = calls[merge.kept]
                answer = merge.student(*call.args, **call.kwargs)
                totals[place] += (answer - calls[merge.last].output).double().square().sum().item()
    return totals


class Mix(nn.Module):
    """A block that adds a linear map of the hidden state."""

    def __init__(self, matrix: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.matrix, self.offset = matrix, offset

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        return x + x @ self.matrix.T + self.offset


def split_teacher(teacher: Denoiser) -> None:
    """Make the second of two blocks linear in what the MLP of the first one says: the state before it lives in the
    lower half of the channels, its answer in the upper half, and the linear block looks at the upper half only."""
    stack = list(teacher.block_stacks())[-1]
    first = teacher.block_stacks()[stack][0]
    inputs = {
        "blocks": ["x_embedder.proj.weight", "x_embedder.proj.bias"],
        "decoder_blocks": ["decoder_embed.weight", "decoder_embed.bias"],
    }[stack]
    tables = {"blocks": ["pos_embed"], "decoder_blocks": ["mask_token", "decoder_pos_embed_learned"]}[stack]
    with torch.no_grad():
        for name in inputs:
            teacher.get_parameter(name)[8:] = 0
        for name in tables:
            teacher.get_parameter(name)[..., 8:] = 0
        for name in ("attn.proj.weight", "attn.proj.bias"):
            first.get_parameter(name)[8:] = 0
        for name in ("mlp.fc2.weight", "mlp.fc2.bias"):
            first.get_parameter(name)[:8] = 0
        if stack == "blocks":  # one gate for all channels, never shut, so that the linear block sees through it
            for name in ("weight", "bias"):
                rows = first.get_parameter(f"adaLN_modulation.1.{name}")
                rows[5 * 16 :] = rows[5 * 16]
    matrix, offset = 0.3 * torch.randn(16, 16), torch.zeros(16)
    matrix[:, :8] = 0
    if stack == "decoder_blocks":
        offset = torch.randn(16)  # behind a gate it could not be a bias of the map
    teacher.block_stacks()[stack][1] = Mix(matrix, offset)


@FAMILIES
def test_removed_blocks_that_are_linear_in_what_the_mlp_says_are_recovered(
    build_tiny: BuildTiny, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(linear, "_RIDGE", 1e-9)
    teacher = build_tiny(family, **({"encoder_depth": 2, "decoder_depth": 2} if family == "mar" else {"depth": 2}))
    split_teacher(teacher)
    given = warm_up(teacher, keep_first(family))
    batch = next(iter(calibration_batches(given)))

    def apart() -> float:
        outputs = (given.objective.forward(m, batch.x, batch.y, batch.draw) for m in (given.student, teacher))
        with torch.no_grad():
            student, wanted = outputs
        return ((student - wanted).square().mean() / wanted.var()).item()

    before = apart()
    linear.start(given)
    assert apart() < 1e-9 < 1e-3 < before


def test_only_the_last_layer_of_the_mlp_before_a_removed_block_changes(build_tiny: BuildTiny) -> None:
    given = warm_up(build_tiny("dit", depth=6), [1, 2, 4])  # spans 1, 2-3 and 4-5
    before = copied(given.student)
    linear.start(given)
    layers = [f"blocks.{block}.mlp.fc2.{part}" for block in (1, 2) for part in ("weight", "bias")]
    assert changed(given.student, before) == set(layers)


@FAMILIES
def test_of_many_tokens_some_are_looked_at(build_tiny: BuildTiny, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = warm_up(build_tiny(family), KEPT[family])
    merges = linear.merges(given)
    whole = linear.calibrated(given, merges)
    monkeypatch.setattr(linear, "_TOKENS", 3)
    for parts, some in zip(whole, linear.calibrated(given, merges), strict=True):
        assert sum(len(part.x) for part in some) == SAMPLES
        for full, few in zip(parts, some, strict=True):
            assert few.x.shape == few.missing.shape == (len(full.x), min(3, full.x.shape[1]), 16)
            pairs = torch.cat([full.x, full.missing], dim=2).unsqueeze(1)  # (n, 1, T, 2D)
            chosen = torch.cat([few.x, few.missing], dim=2).unsqueeze(2)  # (n, few, 1, 2D)
            found = (pairs == chosen).all(dim=3)  # x and what is missing are those of the same token
            assert found.any(dim=2).all()
    assert hooks(given.teacher) == 0
