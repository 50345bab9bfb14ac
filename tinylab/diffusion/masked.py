"""Masked autoregression with a diffusion loss: the objective of the published MAR (Li et al. 2024, arXiv:2406.11838).

A random share of the tokens is hidden; for each of them the network predicts the condition of a small denoiser.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from tinylab.diffusion.base import Comparison, Draw, Losses, even_times
from tinylab.diffusion.gaussian import GaussianDiffusion, cosine_betas

__all__ = ["MaskedDiffusion"]

_CHUNK = 64  # images measured at once; all of them hide the same number of tokens
_LEAST_HIDDEN, _SPREAD = 0.7, 0.25  # share of hidden tokens: a Gaussian around 1, cut to [0.7, 1]


class MaskedDiffusion(nn.Module):
    """The diffusion loss of hidden tokens.

    Args:
        patch_size: side of a token's patch, in pixels.
        copies: noised copies of every token that a step averages over.
    """

    def __init__(self, patch_size: int = 1, copies: int = 4) -> None:
        super().__init__()
        self.patch_size, self.copies = patch_size, copies
        self.chain = GaussianDiffusion(cosine_betas(1000))

    @classmethod
    def of(cls, config: Any) -> MaskedDiffusion:
        """The objective of a MAR with this config."""
        return cls(config["patch_size"], config["diffusion_batch_mul"])

    def draw(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> Draw:
        """Hidden tokens, equally many for all images of the step, and times and noise of every copy of a token."""
        return self._draw(torch.rand(1, generator=generator).item(), count, shape, generator)

    def evaluation_draws(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> list[Draw]:
        """The same, each chunk with a share of hidden tokens from another part of its distribution."""
        sizes = [len(part) for part in torch.arange(count).split(_CHUNK)]
        levels = even_times(len(sizes), generator).tolist()
        return [self._draw(level, size, shape, generator) for level, size in zip(levels, sizes, strict=True)]

    def forward(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Tensor:
        """The condition that the network predicts for every token, (N, T, D)."""
        tokens = model.patchify(x)  # type: ignore[operator]  # nn.Module types attributes as modules
        return model(tokens, draw.mask, y)

    def clean_forward(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Tensor:
        """The conditions when no token is hidden, (N, T, D)."""
        assert draw.mask is not None
        tokens = model.patchify(x)  # type: ignore[operator]
        return model(tokens, torch.zeros_like(draw.mask), y)

    def losses(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Losses:
        """Mean diffusion loss over an image's hidden tokens and their copies.

        The mean of these over the batch is the published loss, a mean over the hidden tokens of all images.
        """
        # E |noise - eps(x_t | t, z)|^2 over hidden tokens x with condition z from the network (Li et al. 2024, section
        # 3.2); several t for each z, since the head costs little beside the network.
        hidden = _HiddenTokens(draw)
        tokens = hidden.of(model.patchify(x))  # type: ignore[operator]
        z = hidden.of(self.forward(model, x, y, draw))
        return hidden.per_image(self.chain.losses(model.head, tokens, z, hidden.draw))  # type: ignore[arg-type]

    def compare(self, student: nn.Module, teacher: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Comparison:
        """The teacher loss compares the two heads, each with the conditions that its own network predicts."""
        hidden = _HiddenTokens(draw)
        tokens = hidden.of(student.patchify(x))  # type: ignore[operator]
        with torch.no_grad():
            z = hidden.of(self.forward(teacher, x, y, draw))
            target = self.chain.forward(teacher.head, tokens, z, hidden.draw)  # type: ignore[arg-type]
        z = hidden.of(self.forward(student, x, y, draw))
        output = self.chain.forward(student.head, tokens, z, hidden.draw)  # type: ignore[arg-type]
        found = self.chain.compared(output, target, tokens, hidden.draw)
        return Comparison(hidden.per_image(found.task_loss), hidden.per_image(found.teacher_loss))

    def _draw(self, level: float, count: int, shape: tuple[int, ...], generator: torch.Generator) -> Draw:
        """`level` in [0, 1) picks the share of hidden tokens from its distribution."""
        channels, height, width = shape
        side = self.patch_size
        tokens, values = (height // side) * (width // side), channels * side * side
        hidden = math.ceil(tokens * _hidden_share(level))
        order = torch.rand(count, tokens, generator=generator).argsort(dim=1)
        mask = (order.argsort(dim=1) < hidden).float()
        t = torch.randint(self.chain.num_steps, (count, self.copies, tokens), generator=generator)
        return Draw(t, torch.randn(count, self.copies, tokens, values, generator=generator), mask)


class _HiddenTokens:
    """The hidden tokens of a batch, in all their copies, as one long list.

    Attributes:
        draw: times (K,) and noise (K, values) of these tokens.
    """

    def __init__(self, draw: Draw) -> None:
        assert draw.mask is not None
        self.images, self.copies = len(draw), draw.t.shape[1]
        self.hidden = draw.mask.bool().unsqueeze(1).expand(-1, self.copies, -1)  # (N, copies, T)
        self.draw = Draw(draw.t[self.hidden], draw.noise[self.hidden])

    def of(self, values: Tensor) -> Tensor:
        """Of values (N, T, …) those of the hidden tokens, (K, …)."""
        return values.unsqueeze(1).expand(-1, self.copies, *values.shape[1:])[self.hidden]

    def per_image(self, losses: Losses) -> Losses:
        """Losses of tokens (K,) as losses of images (N,), whose mean is that of the tokens."""
        device = self.hidden.device
        owner = torch.arange(self.images, device=device).view(-1, 1, 1).expand_as(self.hidden)[self.hidden]
        # l_n = N / K times the sum of the losses of image n's tokens: the mean over N images is the mean over K tokens.
        share = self.images / self.hidden.sum()

        def added(values: Tensor) -> Tensor:
            return torch.zeros(self.images, dtype=values.dtype, device=device).index_add(0, owner, values) * share

        return Losses(added(losses.loss), added(losses.mse), added(losses.vb))


def _hidden_share(level: float) -> float:
    """The quantile `level` of the truncated Gaussian of hidden shares."""
    # Phi(z) = (1 + erf(z / sqrt 2)) / 2. Cut at the mean 1 from above, the Gaussian keeps probabilities from `low` to
    # 1/2; the quantile is 1 + spread * Phi^-1(low + level (1/2 - low)), from 0.7 at level 0 up to 1.
    low = 0.5 * (1 + math.erf((_LEAST_HIDDEN - 1) / _SPREAD / math.sqrt(2)))
    probability = torch.tensor(low + level * (0.5 - low), dtype=torch.float64)
    return min(1.0, 1 + _SPREAD * torch.special.ndtri(probability).item())
