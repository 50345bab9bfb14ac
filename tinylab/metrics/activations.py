"""How large the values behind every block are, and how far the largest lie from all others.

A few values are huge, in the same channels for every sample (massive activations: Sun et al. 2024, arXiv:2402.17762).
They would rule a loss on hidden states, so masked distillation leaves out what lies 2σ and more from the mean of its
sample (TinyFusion: Fang et al. 2024, arXiv:2412.01199, section 3.4). μ and σ are meant here as there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tinylab.data.base import Dataset
from tinylab.diffusion import Objective
from tinylab.errors import BadRequest
from tinylab.metrics.denoising import noised_batches
from tinylab.metrics.layer_activations import EDGES, ChannelPart, LayerActivations
from tinylab.models.base import Denoiser
from tinylab.pruning.plan import block_names

__all__ = ["SAMPLES", "SIGMAS", "ActivationWatch", "measure_activations"]

SAMPLES = 256
SIGMAS = (2.0, 3.0, 5.0)
_CHANNELS = 4  # are named of every layer
_ROUNDING = 1e-12  # of sums in double precision
_AT_ONCE = 2**21  # values that are looked at in double precision


@torch.no_grad()
def measure_activations(
    model: Denoiser,
    objective: Objective,
    data: Dataset,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    sigmas: Sequence[float] = SIGMAS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[LayerActivations]]:
    """The layers of every stack, measured on `samples` noised images over all times, the same for every model.

    Args:
        sigmas: the k of the shares beyond kσ.
        progress: called with the number of images that are done, and of all.

    Raises:
        BadRequest: no samples, a block that returns several hidden states, or values that are no numbers.
    """
    if samples < 1:
        raise BadRequest(f"samples {samples}: at least one image is needed")
    device, was_training, done = next(model.parameters()).device, model.training, 0
    model.eval()
    try:
        with ActivationWatch(model, sigmas=sigmas) as watch:
            for batch in noised_batches(objective, data, samples, seed, device):
                objective.forward(model, batch.x, batch.y, batch.draw)
                done += len(batch.x)
                progress(done, samples)
    finally:
        model.train(was_training)
    return watch.layers()


class ActivationWatch:
    """Within the context, measures what every block of `model` returns in every forward pass."""

    def __init__(self, model: Denoiser, *, sigmas: Sequence[float] = SIGMAS) -> None:
        self.model, self.places, self.stacks = model, _places(model), model.block_stacks()
        self.sigmas = tuple(sigmas)
        self._hooks: list[RemovableHandle] = []
        self._tallies = {stack: [_Tally(self.sigmas) for _ in blocks] for stack, blocks in self.stacks.items()}

    def __enter__(self) -> ActivationWatch:
        for stack, blocks in self.stacks.items():
            for block, tally in zip(blocks, self._tallies[stack], strict=True):
                self._hooks.append(block.register_forward_hook(_hook(tally)))
        return self

    def __exit__(self, *problem: object) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def layers(self) -> dict[str, list[LayerActivations]]:
        """What was measured so far, per stack.

        Raises:
            BadRequest: nothing was, or a block returned values that are no numbers.
        """
        names = block_names({stack: len(blocks) for stack, blocks in self.stacks.items()})
        return {
            stack: [t.layer(n, place) for t, n, place in zip(tallies, names[stack], self.places[stack], strict=True)]
            for stack, tallies in self._tallies.items()
        }


def _hook(tally: _Tally) -> Callable[..., None]:
    def see(block: nn.Module, arguments: tuple, output: object) -> None:
        if not isinstance(output, Tensor):
            raise BadRequest(f"{type(block).__name__} returns several hidden states; activations need blocks of one")
        tally.add(output.detach())

    return see


def _places(model: Denoiser) -> dict[str, Sequence[int]]:
    """For every block its index in the very first model."""
    config: Any = getattr(model, "config", {})
    kept = model.__dict__.get("kept") or config.get("kept") or {}  # an adapted transformer's config cannot hold it
    return {stack: kept.get(stack, range(len(blocks))) for stack, blocks in model.block_stacks().items()}


class _Tally:
    """Sums over the hidden states (N, …, D) of one block, in double precision. Nothing of them is kept."""

    def __init__(self, sigmas: Sequence[float]) -> None:
        self.sigmas, self.samples, self.values = sigmas, 0, 0
        self.sums = torch.zeros(2, dtype=torch.float64)  # of the samples' μ and σ
        self.beyond = torch.zeros(len(sigmas), dtype=torch.int64)
        self.counts = torch.zeros(len(EDGES) - 1, dtype=torch.int64)
        self.furthest = torch.zeros((), dtype=torch.float64)
        self.largest = torch.zeros(0, dtype=torch.float64)  # |h| per channel
        self.squares = torch.zeros(0, dtype=torch.float64)  # summed |h - μ|² per channel

    def add(self, h: Tensor) -> None:
        """Take in the hidden states of some samples, a few at a time."""
        for part in h.split(max(1, _AT_ONCE // max(1, h[0].numel()))):
            self._add(part.double())

    def _add(self, h: Tensor) -> None:
        flat = h.flatten(1)
        mean, deviation = flat.mean(dim=1, keepdim=True), flat.std(dim=1, keepdim=True)
        away = (flat - mean).abs()
        differs = deviation > _ROUNDING * mean.abs()  # in a sample of equal values none is far from the others
        z = torch.where(differs, away / deviation, 0)
        self.samples += len(h)
        self.values += flat.numel()
        self.sums += torch.stack([mean.sum(), deviation.sum()]).cpu()
        self.beyond += torch.stack([(z >= k).sum() for k in self.sigmas]).cpu() if self.sigmas else 0
        inner = torch.tensor(EDGES[1:-1], dtype=z.dtype, device=z.device)
        bins = torch.bucketize(z.flatten(), inner, right=True, out_int32=True)
        self.counts += torch.bincount(bins, minlength=len(self.counts)).cpu()
        self.furthest = torch.maximum(self.furthest, z.max().cpu())
        channels = h.shape[-1]
        if not len(self.largest):
            self.largest, self.squares = (torch.zeros(channels, dtype=torch.float64) for _ in range(2))
        self.largest = torch.maximum(self.largest, h.abs().reshape(-1, channels).amax(dim=0).cpu())
        self.squares += away.square().reshape(-1, channels).sum(dim=0).cpu()

    def layer(self, name: str, place: int) -> LayerActivations:
        """The numbers of the block of this name."""
        if not self.samples:
            raise BadRequest(f"block {name} was never run; run the model on some samples first")
        if not bool(torch.isfinite(self.squares).all()):
            raise BadRequest(f"block {name} returns values that are no numbers; the training that made it diverged")
        mean, deviation = (self.sums / self.samples).tolist()
        order = self.largest.argsort(descending=True, stable=True)[:_CHANNELS].tolist()
        shares = self.squares / (self.squares.sum() or 1)
        return LayerActivations(
            name=name,
            place=place,
            mean=mean,
            deviation=deviation,
            largest=self.largest.max().item(),
            furthest=self.furthest.item(),
            beyond={k: count / self.values for k, count in zip(self.sigmas, self.beyond.tolist(), strict=True)},
            counts=tuple(self.counts.tolist()),
            channels=tuple(ChannelPart(i, self.largest[i].item(), shares[i].item()) for i in order),
        )
