"""Real transformers of diffusers at a tiny size, with random weights that hide nothing, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from torch import Tensor

__all__ = ["TINY_TRANSFORMERS", "TinyTransformer", "build", "inputs", "run"]


@dataclass(frozen=True)
class TinyTransformer:
    """Arguments of one class, and the inputs of a batch of N samples: everything per sample, or shared."""

    config: dict[str, Any]
    shape: tuple[int, ...]
    per_sample: dict[str, tuple[int, ...]]
    shared: Callable[[], dict[str, Any]] = dict
    extra: Callable[[int], dict[str, Any]] = lambda count: {}
    x: str = "hidden_states"
    t: str = "timestep"


_HEADS = {"num_attention_heads": 2, "attention_head_dim": 8}
_IDS = {"img_ids": torch.arange(12.0).view(4, 3), "txt_ids": torch.zeros(3, 3)}
_FLUX = {"encoder_hidden_states": (3, 12), "pooled_projections": (10,)}
TINY_TRANSFORMERS = {
    "DiTTransformer2DModel": TinyTransformer(
        {**_HEADS, "in_channels": 4, "out_channels": 8, "num_layers": 4, "sample_size": 4, "num_embeds_ada_norm": 10},
        (4, 4, 4),
        {},
        extra=lambda n: {"class_labels": torch.arange(n) % 10},
    ),
    "PixArtTransformer2DModel": TinyTransformer(
        {
            **_HEADS,
            "in_channels": 4,
            "out_channels": 8,
            "num_layers": 4,
            "sample_size": 4,
            "cross_attention_dim": 16,
            "caption_channels": 12,
        },
        (4, 4, 4),
        {"encoder_hidden_states": (3, 12)},
        shared=lambda: {"added_cond_kwargs": {"resolution": None, "aspect_ratio": None}},
        extra=lambda n: {"encoder_attention_mask": (torch.arange(3) <= torch.arange(n)[:, None] % 3).float()},
    ),
    "SD3Transformer2DModel": TinyTransformer(
        {
            **_HEADS,
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 4,
            "sample_size": 4,
            "pos_embed_max_size": 4,
            "joint_attention_dim": 12,
            "caption_projection_dim": 16,
            "pooled_projection_dim": 10,
            "dual_attention_layers": (0, 2),
            "qk_norm": "rms_norm",
        },
        (4, 4, 4),
        _FLUX,
    ),
    "FluxTransformer2DModel": TinyTransformer(
        {
            **_HEADS,
            "in_channels": 4,
            "num_layers": 2,
            "num_single_layers": 4,
            "joint_attention_dim": 12,
            "pooled_projection_dim": 10,
            "axes_dims_rope": (2, 2, 4),
        },
        (4, 4),
        _FLUX,
        shared=lambda: dict(_IDS),
    ),
    "SanaTransformer2DModel": TinyTransformer(
        {
            **_HEADS,
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 4,
            "num_cross_attention_heads": 2,
            "cross_attention_head_dim": 8,
            "cross_attention_dim": 16,
            "caption_channels": 12,
            "sample_size": 4,
        },
        (4, 4, 4),
        {"encoder_hidden_states": (3, 12)},
        extra=lambda n: {"encoder_attention_mask": (torch.arange(3) <= torch.arange(n)[:, None] % 3).float()},
    ),
    "Lumina2Transformer2DModel": TinyTransformer(
        {
            "sample_size": 4,
            "in_channels": 4,
            "hidden_size": 24,
            "num_layers": 4,
            "num_refiner_layers": 1,
            "num_attention_heads": 3,
            "num_kv_heads": 1,
            "multiple_of": 2,
            "axes_dim_rope": (4, 2, 2),
            "axes_lens": (16, 8, 8),
            "cap_feat_dim": 12,
        },
        (4, 4, 4),
        {"encoder_hidden_states": (3, 12)},
        extra=lambda n: {"encoder_attention_mask": torch.arange(3) <= torch.arange(n)[:, None] % 3},  # own lengths
    ),
    "ZImageTransformer2DModel": TinyTransformer(
        {
            "in_channels": 4,
            "dim": 16,
            "n_layers": 4,
            "n_refiner_layers": 1,
            "n_heads": 2,
            "n_kv_heads": 2,
            "cap_feat_dim": 12,
            "axes_dims": (4, 2, 2),
            "axes_lens": (128, 8, 8),
        },
        (4, 1, 4, 4),
        {},
        extra=lambda n: {
            "cap_feats": [torch.randn(20 + 20 * (i % 2), 12) for i in range(n)]
        },  # 32 and 64 after padding
        x="x",
        t="t",
    ),
    "WanTransformer3DModel": TinyTransformer(
        {
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "in_channels": 4,
            "out_channels": 4,
            "text_dim": 12,
            "freq_dim": 8,
            "ffn_dim": 16,
            "num_layers": 4,
            "rope_max_seq_len": 8,
        },
        (4, 2, 4, 4),
        {"encoder_hidden_states": (3, 12)},
    ),
    "LTXVideoTransformer3DModel": TinyTransformer(
        {
            **_HEADS,
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 4,
            "cross_attention_dim": 16,
            "caption_channels": 12,
        },
        (8, 4),
        {"encoder_hidden_states": (3, 12)},
        shared=lambda: {"num_frames": 2, "height": 2, "width": 2},
        extra=lambda n: {"encoder_attention_mask": (torch.arange(3) <= torch.arange(n)[:, None] % 3).float()},
    ),
    "QwenImageTransformer2DModel": TinyTransformer(
        {
            **_HEADS,
            "in_channels": 4,
            "out_channels": 1,
            "num_layers": 4,
            "joint_attention_dim": 12,
            "axes_dims_rope": (2, 2, 4),
        },
        (4, 4),
        {"encoder_hidden_states": (3, 12)},
        extra=lambda n: {
            "encoder_hidden_states_mask": torch.arange(3) <= torch.arange(n)[:, None] % 3,
            "img_shapes": [[(1, 2, 2)]] * n,
        },
    ),
    "CogVideoXTransformer3DModel": TinyTransformer(
        {
            **_HEADS,
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 4,
            "time_embed_dim": 8,
            "text_embed_dim": 12,
            "max_text_seq_length": 3,
            "sample_width": 4,
            "sample_height": 4,
            "sample_frames": 5,
        },
        (2, 4, 4, 4),
        {"encoder_hidden_states": (3, 12)},
    ),
    "CogView4Transformer2DModel": TinyTransformer(
        {
            **_HEADS,
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 4,
            "text_embed_dim": 12,
            "time_embed_dim": 8,
            "condition_dim": 4,
            "sample_size": 4,
            "pos_embed_max_size": 4,
            "rope_axes_dim": (4, 4),
        },
        (4, 4, 4),
        {"encoder_hidden_states": (3, 12)},
        extra=lambda n: {
            "original_size": torch.full((n, 2), 32.0),
            "target_size": torch.full((n, 2), 32.0),
            "crop_coords": torch.arange(2.0 * n).view(n, 2),
        },
    ),
    "AuraFlowTransformer2DModel": TinyTransformer(
        {
            **_HEADS,
            "sample_size": 4,
            "in_channels": 4,
            "out_channels": 4,
            "num_mmdit_layers": 2,
            "num_single_dit_layers": 4,
            "joint_attention_dim": 12,
            "caption_projection_dim": 16,
            "pos_embed_max_size": 4,
        },
        (4, 4, 4),
        {"encoder_hidden_states": (3, 12)},
    ),
}


_SPREAD = {"AuraFlowTransformer2DModel": 0.15}  # of the weights; its normed stream grows without bounds


def build(name: str, seed: int = 0, **changes: Any) -> Any:
    """A transformer in eval mode. No weight is zero, also those that training starts at zero: a block whose gates
    are zero would hide every mistake. The embedders of a DiT are equal copies, as in the published weights."""
    cls = getattr(diffusers, name)
    model = cls(**{**(TINY_TRANSFORMERS[name].config if name in TINY_TRANSFORMERS else {}), **changes})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(_SPREAD.get(name, 0.3) * torch.randn(parameter.shape, generator=generator))
        if name == "DiTTransformer2DModel":
            first = model.transformer_blocks[0].norm1.emb.state_dict()
            for block in model.transformer_blocks:
                block.norm1.emb.load_state_dict(first)
    return model.eval()


def inputs(name: str, count: int = 3, seed: int = 1) -> dict[str, Any]:
    """Keyword arguments for a batch of `count` samples that differ in everything."""
    row = TINY_TRANSFORMERS[name]
    torch.manual_seed(seed)
    x: Any = torch.randn(count, *row.shape)
    given = {key: torch.randn(count, *shape) for key, shape in row.per_sample.items()}
    given |= row.shared() | row.extra(count)
    given[row.x] = list(x) if row.x == "x" else x
    given[row.t] = torch.linspace(0.1, 0.9, count)
    if name.startswith(("DiT", "PixArt")):
        given[row.t] = (1000 * given[row.t]).long()
    return given


def run(model: Any, name: str, count: int = 3, given: dict[str, Any] | None = None) -> Tensor:
    """The output of the model for `given`, or for `inputs` of its own, (count, ...)."""
    given = inputs(name, count) if given is None else given
    given = {key: list(value) if isinstance(value, list) else value for key, value in given.items()}
    out = model(**given, return_dict=False)[0]
    return torch.stack(list(out)) if isinstance(out, list) else out
