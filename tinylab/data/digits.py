"""scikit-learn's bundled handwritten digits: 1,797 images of 8x8 pixels in ten classes. No network, no files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["CLASS_NAMES", "HELD_OUT", "ImageSplit", "load_digits"]

CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT = 297  # images that no training ever sees
_SPLIT_SEED = 0


@dataclass(frozen=True)
class ImageSplit:
    """Images (N, C, H, W) float32 in [-1, 1] and their classes (N,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@lru_cache(maxsize=1)
def load_digits() -> tuple[ImageSplit, ImageSplit]:
    """The fixed (training, held-out) split, 1,500 and 297 images, classes in equal shares."""
    from sklearn.datasets import load_digits as bundled
    from sklearn.model_selection import train_test_split

    raw = bundled()
    pixels = torch.from_numpy(raw.images).float().div(8).sub(1).unsqueeze(1)  # 0..16 -> [-1, 1]
    classes = torch.from_numpy(raw.target).long()
    train, held_out = train_test_split(
        range(len(classes)), test_size=HELD_OUT, random_state=_SPLIT_SEED, stratify=raw.target
    )
    return (ImageSplit(pixels[train], classes[train]), ImageSplit(pixels[held_out], classes[held_out]))
