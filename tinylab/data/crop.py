"""The one center crop."""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["center_crop"]


def center_crop(image: Image.Image, size: int) -> np.ndarray:
    """The middle square of an RGB picture at `size` pixels a side, uint8 (size, size, 3).

    The shorter side is halved by box averaging while it is at least twice too long, then resized bicubically, and the
    longer side is cut. This is how ADM (Dhariwal & Nichol 2021) and DiT prepare ImageNet.
    """
    while min(image.size) >= 2 * size:
        width, height = image.size
        image = image.resize((width // 2, height // 2), resample=Image.Resampling.BOX)
    scale = size / min(image.size)
    width, height = image.size
    image = image.resize((round(width * scale), round(height * scale)), resample=Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    return pixels[top : top + size, left : left + size].copy()
