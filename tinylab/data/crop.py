"""The one center crop, and what is wrong with pictures of which none can be taken."""

import numpy as np
from PIL import Image

from tinylab.errors import BadRequest

__all__ = ["MOST_PIXELS", "BrokenPicture", "center_crop", "cropped"]

MOST_PIXELS = 89_478_485  # PIL's own limit, a quarter of a gigabyte in RGB
_MOST_NARROW = 50  # longer side by shorter side; resizing makes the longer one that much longer than the square


class BrokenPicture(BadRequest):
    """A picture that cannot be read; the line names it."""


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


def cropped(image: Image.Image, size: int, source: object) -> np.ndarray:
    """The middle square of a picture of sane proportions, whatever its mode; `source` is named if it is not."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise BrokenPicture(f"{source} has {width} x {height} pixels, more than {MOST_PIXELS:,}; shrink it")
    if max(width, height) > _MOST_NARROW * min(width, height):
        raise BrokenPicture(f"{source} has {width} x {height} pixels, which is too narrow to take a square of")
    return center_crop(image.convert("RGB"), size)
