"""The objective of a transformer of diffusers: the same chains and paths, in the arguments of its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tinylab.diffusion.base import Comparison, Draw, Losses
from tinylab.diffusion.flow import FlowMatching
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.errors import BadRequest
from tinylab.models.adapters.architectures import ARCHITECTURES, Times

__all__ = ["AdaptedObjective"]


class AdaptedObjective(nn.Module):
    """Noise prediction, or the velocity of a straight path with uniform times.

    Where other objectives take classes `y`, this takes the model's further arguments by name.

    Args:
        times: how the model takes the time, and what it predicts.
        scale: factor on the time, beside the one in `times`.
    """

    def __init__(self, times: Times, scale: float = 1.0) -> None:
        super().__init__()
        self.times, self.scale = times, times.scale * scale
        self.inner = GaussianDiffusion() if times.target == "noise" else FlowMatching()

    @classmethod
    def of(cls, config: Any) -> AdaptedObjective:
        """The objective of the class that the config names; BadRequest if it is not known."""
        name = config.get("_class_name")
        row = ARCHITECTURES.get(name)
        if row is None or row.times is None:
            known = ", ".join(name for name, row in ARCHITECTURES.items() if row.times)
            raise BadRequest(f"Tinylab does not know how a {name} is trained; it knows {known}")
        return cls(row.times, config[row.times.scale_key] if row.times.scale_key else 1.0)

    def draw(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> Draw:
        """Times (N,) and Gaussian noise (N, *shape) for a training step."""
        return self.inner.draw(count, shape, generator)

    def evaluation_draws(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> list[Draw]:
        """The same with times spread evenly, in chunks."""
        return self.inner.evaluation_draws(count, shape, generator)

    def forward(self, model: nn.Module, x: Tensor, y: Any, draw: Draw) -> Tensor:
        """The noise or the velocity data - noise that the model predicts for the noised latents x (N, ...)."""
        return self.inner(_AsInner(self, model), x, y, draw)

    def clean_forward(self, model: nn.Module, x: Tensor, y: Any, draw: Draw) -> Tensor:
        """The same for clean latents, as the inner objective gives them."""
        return self.inner.clean_forward(_AsInner(self, model), x, y, draw)

    def losses(self, model: nn.Module, x: Tensor, y: Any, draw: Draw) -> Losses:
        """Per-sample losses of clean latents x (N, ...) with the arguments y."""
        return self.inner.losses(_AsInner(self, model), x, y, draw)

    def compare(self, student: nn.Module, teacher: nn.Module, x: Tensor, y: Any, draw: Draw) -> Comparison:
        """As the inner objective compares."""
        return self.inner.compare(_AsInner(self, student), _AsInner(self, teacher), x, y, draw)


class _AsInner(nn.Module):
    """The model, called as the inner objective calls one."""

    def __init__(self, objective: AdaptedObjective, model: nn.Module) -> None:
        super().__init__()
        self.times, self.scale, self.model = objective.times, objective.scale, model

    def forward(self, x: Tensor, t: Tensor, y: Mapping[str, Any]) -> Tensor:
        """Noised latents x (N, ...), steps of the chain or shares of data t (N,) -> noise or data - noise."""
        times, dtype = self.times, next(self.model.parameters()).dtype
        # The inner path has data at t = 1; a class that is not `reverse` has noise there, so its time is 1 - t and its
        # velocity, noise - data, has the other sign.
        time = t if times.target == "noise" else self.scale * (t if times.reverse else 1 - t)
        latents = list(x.to(dtype)) if times.lists else x.to(dtype)
        output = self.model(**{times.x: latents, times.t: time}, **y, return_dict=False)[0]
        out = (torch.stack(list(output)) if isinstance(output, list) else output).to(x.dtype)
        return out if times.target == "noise" or times.reverse else -out
