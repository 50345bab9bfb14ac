"""The small denoiser that draws one token of a MAR, with the parameter names of the published checkpoints."""

from torch import Tensor, nn

from tinylab.models.networks.layers import TimestepEmbedder

__all__ = ["TokenHead"]


class _ResidualBlock(nn.Module):
    """An MLP on (K, W) whose norm and gate are steered by the condition c (K, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate = self.adaLN_modulation(c).chunk(3, dim=1)
        return x + gate * self.mlp(self.in_ln(x) * (1 + scale) + shift)


class _LastLayer(nn.Module):
    """Features (K, W) to noise and variance fraction (K, values)."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(width, values)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(self.norm_final(x) * (1 + scale) + shift)


class TokenHead(nn.Module):
    """Predicts the noise and the variance fraction of noised tokens.

    Args:
        values: numbers in a token; the output has twice as many.
        condition: width of what the decoder says of a token.
        width, depth: of the head itself.
    """

    def __init__(self, values: int, condition: int, width: int, depth: int) -> None:
        super().__init__()
        self.time_embed = TimestepEmbedder(width)
        self.cond_embed = nn.Linear(condition, width)
        self.input_proj = nn.Linear(values, width)
        self.res_blocks = nn.ModuleList(_ResidualBlock(width) for _ in range(depth))
        self.final_layer = _LastLayer(width, 2 * values)

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Noised tokens (K, V), times (K,), conditions (K, D) -> (K, 2V)."""
        return self.denoise(x, t, self.cond_embed(z))

    def denoise(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """The same for conditions (K, W) that were embedded before: they stay the same over the steps of a token.

        One time (1,) may stand for all.
        """
        x = self.input_proj(x)
        c = self.time_embed(t) + condition
        for block in self.res_blocks:
            x = block(x, c)
        return self.final_layer(x, c)

    def initialise(self) -> None:
        """Published initial weights: every block starts as the identity, the output at zero."""
        for layer in (self.time_embed.mlp[0], self.time_embed.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
        for name, parameter in self.named_parameters():
            if "adaLN_modulation.1" in name or name.startswith("final_layer.linear"):
                nn.init.zeros_(parameter)
