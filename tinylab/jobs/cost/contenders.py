"""Who is measured: the full model, shallow ones, and the full model with caches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from tinylab.config import CostConfig
from tinylab.diffusion import Objective, objective_for
from tinylab.jobs.cards import short_labels
from tinylab.metrics.parts import Shares, macs_by_part
from tinylab.models.base import Denoiser
from tinylab.models.families import FAMILIES
from tinylab.models.load import load_model, model_class, pick_device
from tinylab.models.sizes import SIZES
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.sampling.caches import CacheSpec, cached, parse_cache
from tinylab.sampling.generate import Settings, generate, steps_taken

__all__ = ["Contender", "contenders_of", "every_second_block", "fill_zeros", "load_or_build"]

_STD = 0.02


def load_or_build(reference: str, device: str, seed: int) -> Denoiser:
    """The model that `reference` names, in eval mode on `device`.

    A published size gets random weights, also where training would start at zero: blocks whose gates are zero are the
    identity, and drawings of such a model are nothing but noise.
    """
    if reference not in SIZES:
        return load_model(reference, device)
    size, where = SIZES[reference], pick_device(device)
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []), where:
        torch.manual_seed(seed)
        model = model_class(FAMILIES[size.family])(**size.config)
        fill_zeros(model.parameters())
    return model.eval()


@torch.no_grad()
def fill_zeros(parameters: Iterable[nn.Parameter]) -> None:
    """Fill those that are all zero with small random values."""
    for parameter in parameters:
        if not parameter.any():
            parameter.normal_(std=_STD)


_DEPTH_ENTRIES = ("kept", "full_depth")


@dataclass(frozen=True)
class Contender:
    """One way to draw images.

    Attributes:
        source: the name of the model it is, or was made of.
        bfloat16: whether matrix products are computed in bfloat16, through autocast; else in float32.
    """

    label: str
    source: str
    kind: Literal["full", "shallow", "cache"]
    model: Denoiser
    cache: CacheSpec | None = None
    bfloat16: bool = False

    @cached_property
    def objective(self) -> Objective:
        """What the model was trained to do."""
        return objective_for(self.model)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    def draw(
        self, labels: Tensor, settings: Settings, *, first: int = 0, on_step: Callable[[int], None] | None = None
    ) -> Tensor:
        """One batch of images (N, C, H, W), see `generate`."""
        precision = torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)
        with precision, cached(self.model, self.cache):
            return generate(self.model, self.objective, labels, settings, first=first, on_step=on_step)

    def macs(self, settings: Settings) -> dict[str, int]:
        """Multiply-adds of one image by part. All steps of a DiT or SiT are alike, so that one is counted; the rounds
        of a MAR and the steps with a cache are not."""
        alike = self.cache is None and not hasattr(self.model, "num_tokens")
        counted = Settings(settings.sampler, 1 if alike else settings.steps, settings.guidance, settings.seed)
        found = macs_by_part(self.model, lambda: self.draw(torch.zeros(1, dtype=torch.long), counted))
        return {part: count * settings.steps // counted.steps for part, count in found.items()}

    def depth_ratio(self, full: Contender) -> float | None:
        """Blocks of `full` for one of this one; None if they differ in more than depth, or if a cache leaves some
        out."""
        if self.cache is not None or _apart_from_depth(self.model) != _apart_from_depth(full.model):
            return None
        return sum(full.model.stack_depths().values()) / sum(self.model.stack_depths().values())

    def expected_speedup(self, full: Contender, shares: Shares) -> float | None:
        """The speed-up that the shares of time of `full` explain, where the ratio of depths is the limit."""
        if self.depth_ratio(full) is None:
            return None
        depth = self.model.stack_depths()
        return shares.speedup({stack: depth[stack] / count for stack, count in full.model.stack_depths().items()})

    def steps(self, wanted: int) -> int:
        """The steps that it really takes."""
        return steps_taken(self.model, wanted)


def contenders_of(config: CostConfig) -> list[Contender]:
    """The full model first, then shallow ones, then caches."""
    low = config.precision == "bfloat16"
    model = load_or_build(config.model, config.device, config.seed)
    label, *labels = short_labels([config.model, *config.against])
    found = [Contender(label, config.model, "full", model, bfloat16=low)]
    for label, name in zip(labels, config.against, strict=True):
        rival = load_or_build(name, config.device, config.seed)
        found.append(Contender(label, name, "shallow", rival, bfloat16=low))
    if not config.against:
        half = apply_plan(model, every_second_block(model))
        found.append(Contender("every second block", config.model, "shallow", half, bfloat16=low))
    for text in config.caches:
        found.append(Contender(f"cache {text}", config.model, "cache", model, parse_cache(text), low))
    return found


def every_second_block(model: Denoiser) -> DepthPlan:
    """The plan that keeps blocks 0, 2, 4, … of every stack."""
    depth = model.stack_depths()
    return DepthPlan({stack: tuple(range(0, count, 2)) for stack, count in depth.items()}, depth, "every second")


def _apart_from_depth(model: Denoiser) -> dict[str, object]:
    depths = (*model.depth_keys.values(), *_DEPTH_ENTRIES)
    config = {key: value for key, value in model.config.items() if key not in depths and not key.startswith("_")}
    return {"class": type(model), **config}
