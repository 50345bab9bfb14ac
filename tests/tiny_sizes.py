"""The sizes of the tiny models that tests build."""

from __future__ import annotations

__all__ = ["TINY", "TINY_MAR"]

TINY = {
    "input_size": 8,
    "patch_size": 2,
    "in_channels": 1,
    "hidden_size": 16,
    "depth": 4,
    "num_heads": 2,
    "num_classes": 10,
}

TINY_MAR = {
    **{"img_size": 8, "vae_stride": 1, "patch_size": 2, "vae_embed_dim": 1, "class_num": 10, "buffer_size": 2},
    **{"encoder_embed_dim": 16, "encoder_depth": 4, "encoder_num_heads": 2},
    **{"decoder_embed_dim": 16, "decoder_depth": 4, "decoder_num_heads": 2},
    **{"diffloss_d": 1, "diffloss_w": 16, "num_sampling_steps": 4, "diffusion_batch_mul": 2},
}
