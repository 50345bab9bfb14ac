"""Turning sampled tensors into pictures."""

import io

import numpy as np
from PIL import Image
from torch import Tensor

__all__ = ["grid_png", "to_uint8"]


def to_uint8(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W) in [-1, 1] to (N, H, W, C) bytes, C 1 or 3; values outside are clipped.

    Of latents, which are no pictures before an autoencoder has decoded them, the first channels are shown.
    """
    images = images[:, : 3 if images.shape[1] >= 3 else 1]
    scaled = images.detach().cpu().float().clamp(-1, 1).add(1).mul(127.5).round()
    return scaled.byte().permute(0, 2, 3, 1).numpy()


def grid_png(pixels: np.ndarray, columns: int, scale: int, gap: int = 1) -> bytes:
    """A PNG of images (N, H, W, C) in rows of `columns`, each pixel `scale` wide, `gap` source pixels apart."""
    n, h, w, c = pixels.shape
    rows = -(-n // columns)
    canvas = np.zeros((rows * (h + gap) - gap, columns * (w + gap) - gap, c), dtype=np.uint8)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * (h + gap), (i % columns) * (w + gap)
        canvas[top : top + h, left : left + w] = image
    picture = Image.fromarray(canvas[..., 0] if c == 1 else canvas)
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
