"""The interpolant transformer in its published layout (Ma et al. 2024, arXiv:2401.08740)."""

from typing import Any

from diffusers.configuration_utils import register_to_config
from torch import Tensor

from tinylab.models.networks.dit import DiT

__all__ = ["SiT"]


class SiT(DiT):
    """Predicts the velocity of an image on its way from noise (t = 0) to data (t = 1).

    The network and its parameter names are the DiT's. With `learn_sigma`, as published, it has a second half of
    output channels that nothing uses.

    Args:
        path: how noise turns into data: `linear`, `gvp` or `vp` (see `tinylab.diffusion.flow`).
    """

    family = "sit"

    @register_to_config
    def __init__(
        self,
        input_size: int = 32,
        patch_size: int = 2,
        in_channels: int = 4,
        hidden_size: int = 1152,
        depth: int = 28,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        num_classes: int = 1000,
        learn_sigma: bool = True,
        path: str = "linear",
        kept: dict[str, list[int]] | None = None,
        full_depth: dict[str, int] | None = None,
    ) -> None:
        network: Any = (input_size, patch_size, in_channels, hidden_size, depth, num_heads, mlp_ratio, num_classes)
        super().__init__(*network, learn_sigma, kept, full_depth)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """Images (N, C, H, W), times (N,) in [0, 1], classes (N,) -> velocities (N, C, H, W)."""
        return super().forward(x, t, y)[:, : self.in_channels]
