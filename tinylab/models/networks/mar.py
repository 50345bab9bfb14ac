"""The masked autoregressive model in its published layout (Li et al. 2024, arXiv:2406.11838)."""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from tinylab.models.base import Denoiser
from tinylab.models.networks.layers import PlainBlock
from tinylab.models.networks.token_head import TokenHead

__all__ = ["MAR"]


class MAR(Denoiser, ModelMixin, ConfigMixin):  # type: ignore[misc]  # both mixins define config_name
    """Says of every hidden token of an image how to draw it, given the tokens that are known.

    An encoder sees the known tokens behind `buffer_size` copies of the class; a decoder sees all positions; a small
    denoiser (`head`) draws a token from the decoder's answer. Argument and parameter names are the published ones.

    Args:
        img_size: side of the picture, in pixels; the latent has a side of img_size / vae_stride.
        vae_stride: pixels per latent pixel, 1 for a model of pixels.
        patch_size: side of a token's patch, in latent pixels.
        vae_embed_dim: channels of the latent.
        diffloss_d, diffloss_w: depth and width of the head.
        num_sampling_steps: steps of the head when it draws.
        diffusion_batch_mul: noised copies of a token in a training step.
        clip_value: the largest value a token can have, for a model of pixels: the head's cosine chain begins where a
            small error of the noise is a huge error of the token. None, as published, for latents.
        kept, full_depth: as for a DiT, with the stacks `encoder_blocks` and `decoder_blocks`.
    """

    family = "mar"
    depth_keys = {"encoder_blocks": "encoder_depth", "decoder_blocks": "decoder_depth"}

    @register_to_config
    def __init__(
        self,
        img_size: int = 256,
        vae_stride: int = 16,
        patch_size: int = 1,
        encoder_embed_dim: int = 1024,
        encoder_depth: int = 16,
        encoder_num_heads: int = 16,
        decoder_embed_dim: int = 1024,
        decoder_depth: int = 16,
        decoder_num_heads: int = 16,
        mlp_ratio: float = 4.0,
        vae_embed_dim: int = 16,
        class_num: int = 1000,
        buffer_size: int = 64,
        diffloss_d: int = 3,
        diffloss_w: int = 1024,
        num_sampling_steps: int | str = 100,
        diffusion_batch_mul: int = 4,
        clip_value: float | None = None,
        kept: dict[str, list[int]] | None = None,
        full_depth: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        side = img_size // vae_stride
        self.num_classes, self.patch_size, self.buffer_size = class_num, patch_size, buffer_size
        self.sample_shape = (vae_embed_dim, side, side)
        self.head_steps, self.clip_value = int(num_sampling_steps), clip_value
        self.num_tokens, values = (side // patch_size) ** 2, vae_embed_dim * patch_size**2
        width, wide = encoder_embed_dim, decoder_embed_dim
        self.class_emb = nn.Embedding(class_num, width)
        self.fake_latent = nn.Parameter(torch.zeros(1, width))
        self.z_proj = nn.Linear(values, width)
        self.z_proj_ln = nn.LayerNorm(width, eps=1e-6)
        self.encoder_pos_embed_learned = nn.Parameter(torch.zeros(1, self.num_tokens + buffer_size, width))
        self.encoder_blocks = nn.ModuleList(
            PlainBlock(width, encoder_num_heads, mlp_ratio) for _ in range(encoder_depth)
        )
        self.encoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_embed = nn.Linear(width, wide)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, wide))
        self.decoder_pos_embed_learned = nn.Parameter(torch.zeros(1, self.num_tokens + buffer_size, wide))
        self.decoder_blocks = nn.ModuleList(
            PlainBlock(wide, decoder_num_heads, mlp_ratio) for _ in range(decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(wide, eps=1e-6)
        self.diffusion_pos_embed_learned = nn.Parameter(torch.zeros(1, self.num_tokens, wide))
        # The published code keeps the head below a module that also holds its loss.
        self.diffloss = nn.ModuleDict({"net": TokenHead(values, wide, diffloss_w, diffloss_d)})
        self._initialise()

    @property
    def head(self) -> nn.Module:
        """The denoiser of single tokens: (noised tokens (K, V), times (K,), conditions (K, D)) -> (K, 2V)."""
        return self.diffloss["net"]

    def block_stacks(self) -> dict[str, nn.ModuleList]:
        """Encoder and decoder, under their published names."""
        return {"encoder_blocks": self.encoder_blocks, "decoder_blocks": self.decoder_blocks}

    def forward(self, tokens: Tensor, mask: Tensor, y: Tensor, hidden: int | None = None) -> Tensor:
        """Tokens (N, T, V), mask (N, T) with 1 for hidden ones, classes (N,) -> conditions of all tokens (N, T, D).

        Every image must hide the same number of tokens. Who knows that number says it as `hidden`: else it is counted,
        for which the host waits for a GPU.
        """
        return self.decode(self.encode(tokens, mask, y, hidden), mask, hidden)

    def encode(self, tokens: Tensor, mask: Tensor, y: Tensor, hidden: int | None = None) -> Tensor:
        """The known tokens behind the buffer: (N, buffer + known, D). Class `num_classes` is the null class."""
        condition = self.class_emb(y.clamp(max=self.num_classes - 1))
        condition = torch.where((y == self.num_classes).unsqueeze(1), self.fake_latent, condition)
        buffer = condition.unsqueeze(1).expand(-1, self.buffer_size, -1)
        x = torch.cat([buffer, self.z_proj(tokens)], dim=1)
        x = self.z_proj_ln(x + self.encoder_pos_embed_learned)
        x = x.flatten(0, 1).index_select(0, self._known_rows(mask, hidden)).view(len(x), -1, x.shape[-1])
        for block in self.encoder_blocks:
            x = block(x)
        return self.encoder_norm(x)

    def decode(self, x: Tensor, mask: Tensor, hidden: int | None = None) -> Tensor:
        """What the encoder said, put back among mask tokens: (N, T, D)."""
        x = self.decoder_embed(x)
        filled = self.mask_token.to(x.dtype).expand(len(x), self.buffer_size + self.num_tokens, -1).clone()
        filled.flatten(0, 1).index_copy_(0, self._known_rows(mask, hidden), x.flatten(0, 1))
        x = filled + self.decoder_pos_embed_learned
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_norm(x)[:, self.buffer_size :] + self.diffusion_pos_embed_learned

    def patchify(self, x: Tensor) -> Tensor:
        """Latents (N, C, H, W) to tokens (N, T, C * p * p)."""
        n, c, h, w = x.shape
        p = self.patch_size
        return x.view(n, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5).reshape(n, -1, c * p * p)

    def unpatchify(self, tokens: Tensor) -> Tensor:
        """Undo `patchify`."""
        c, h, w = self.sample_shape
        p = self.patch_size
        patches = tokens.view(len(tokens), h // p, w // p, c, p, p)
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(-1, c, h, w)

    def _known_rows(self, mask: Tensor, hidden: int | None) -> Tensor:
        """Which rows of all images' positions hold the buffer and the tokens that are not hidden, (N * known,)."""
        hidden = int(mask[0].sum()) if hidden is None else hidden
        unknown = torch.cat([mask.new_zeros(len(mask), self.buffer_size), mask], dim=1) > 0.5
        count, length = unknown.shape
        places = unknown.to(torch.uint8).argsort(dim=1, stable=True)[:, : length - hidden]
        return (places + length * torch.arange(count, device=mask.device).unsqueeze(1)).flatten()

    def _initialise(self) -> None:
        """Published initial weights: Xavier linears, small normals elsewhere, a head that starts at zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.class_emb.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if name.endswith("pos_embed_learned") or name in ("fake_latent", "mask_token"):
                nn.init.normal_(parameter, std=0.02)
        self.head.initialise()  # type: ignore[operator]  # nn.Module types attributes as modules
