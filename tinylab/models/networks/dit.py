"""The diffusion transformer in its published layout (Peebles & Xie, 2023, arXiv:2212.09748)."""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from tinylab.models.base import Denoiser
from tinylab.models.networks.layers import (
    DiTBlock,
    FinalLayer,
    LabelEmbedder,
    PatchEmbed,
    TimestepEmbedder,
    sincos_position_embedding,
)

__all__ = ["DiT"]

_GUIDED_CHANNELS = 3  # the published code leaves a latent's fourth channel alone


class DiT(Denoiser, ModelMixin, ConfigMixin):  # type: ignore[misc]  # both mixins define config_name
    """Predicts the noise (and, with `learn_sigma`, the variance fraction) of a noised image.

    Parameter names are those of the published checkpoints. A model that surgery made shallow carries in its
    config what it was cut from: `kept` (indices per stack) and `full_depth`.

    Args:
        input_size: side of the square image or latent, in pixels.
        in_channels: channels of the image; the output has twice as many with `learn_sigma`.
        kept: indices of the original blocks per stack, None for a model that was never cut.
        full_depth: number of blocks of the original model, None for a model that was never cut.
    """

    family = "dit"
    depth_keys = {"blocks": "depth"}  # config entry that holds the length of each stack

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
        kept: dict[str, list[int]] | None = None,
        full_depth: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.patch_size = in_channels, num_classes, patch_size
        self.sample_shape = (in_channels, input_size, input_size)
        self.out_channels = in_channels * (2 if learn_sigma else 1)
        self.x_embedder = PatchEmbed(patch_size, in_channels, hidden_size)
        self.t_embedder = TimestepEmbedder(hidden_size)
        self.y_embedder = LabelEmbedder(num_classes, hidden_size)
        positions = sincos_position_embedding(hidden_size, input_size // patch_size)
        self.pos_embed = nn.Parameter(positions.unsqueeze(0), requires_grad=False)
        self.blocks = nn.ModuleList(DiTBlock(hidden_size, num_heads, mlp_ratio) for _ in range(depth))
        self.final_layer = FinalLayer(hidden_size, patch_size, self.out_channels)
        self._initialise()

    def block_stacks(self) -> dict[str, nn.ModuleList]:
        """The one list of blocks, under its published name."""
        return {"blocks": self.blocks}

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """Images (N, C, H, W), times (N,) or one for all (1,), classes (N,) -> (N, out_channels, H, W)."""
        tokens = self.x_embedder(x) + self.pos_embed  # (N, T, D)
        c = self.t_embedder(t) + self.y_embedder(y)  # (N, D)
        for block in self.blocks:
            tokens = block(tokens, c)
        return self._unpatchify(self.final_layer(tokens, c))

    def forward_with_cfg(
        self, x: Tensor, t: Tensor, y: Tensor, cfg_scale: float, guided_channels: int = _GUIDED_CHANNELS
    ) -> Tensor:
        """Classifier-free guidance in one pass.

        The batch holds the same images twice, first with their classes, then with the null class. Guidance is
        applied to the first `guided_channels` noise channels only, which is what the published code does.
        """
        half = x[: len(x) // 2]
        out = self(torch.cat([half, half]), t, y)
        eps = self._guided_channels(out, cfg_scale, guided_channels)
        return torch.cat([torch.cat([eps, eps]), out[:, eps.shape[1] :]], dim=1)

    def guided(self, x: Tensor, t: Tensor, y: Tensor, scale: float) -> Tensor:
        """The first half of what `forward_with_cfg` gives, which is all that a sampler needs."""
        times = t if len(t) == 1 else torch.cat([t, t])
        out = self(torch.cat([x, x]), times, y)
        eps = self._guided_channels(out, scale, _GUIDED_CHANNELS)
        return torch.cat([eps, out[: len(x), eps.shape[1] :]], dim=1)

    def _guided_channels(self, out: Tensor, scale: float, channels: int) -> Tensor:
        """Of outputs (2N, …) with classes and with the null class, the guided first channels, (N, …)."""
        conditional, unconditional = out[:, : min(channels, self.in_channels)].chunk(2)
        return unconditional + scale * (conditional - unconditional)

    def _unpatchify(self, tokens: Tensor) -> Tensor:
        n, count, _ = tokens.shape
        grid, p = int(count**0.5), self.patch_size
        patches = tokens.view(n, grid, grid, p, p, self.out_channels)
        return patches.permute(0, 5, 1, 3, 2, 4).reshape(n, self.out_channels, grid * p, grid * p)

    def _initialise(self) -> None:
        """Published initial weights: Xavier linears, and zero gates so that every block starts as the identity."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        patch = self.x_embedder.proj
        nn.init.xavier_uniform_(patch.weight.view(patch.weight.shape[0], -1))
        nn.init.zeros_(self.get_parameter("x_embedder.proj.bias"))
        nn.init.normal_(self.y_embedder.embedding_table.weight, std=0.02)
        for name in ("t_embedder.mlp.0.weight", "t_embedder.mlp.2.weight"):
            nn.init.normal_(self.get_parameter(name), std=0.02)
        for name, parameter in self.named_parameters():
            if name.endswith("adaLN_modulation.1.weight"):
                nn.init.zeros_(parameter)
        nn.init.zeros_(self.final_layer.linear.weight)
