"""scikit-learn's bundled handwritten digits: 1,797 images of 8x8 pixels in ten classes. No network, no files."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from tinylab.data.classes import DIGIT_NAMES as CLASS_NAMES

__all__ = ["CLASS_NAMES", "HELD_OUT", "ImageSplit", "load_digits"]

HELD_OUT = 297  # images that no training ever sees
_SPLIT_SEED = 0


@dataclass(frozen=True)
class ImageSplit:
    """Images (N, C, H, W) float32 in [-1, 1] and their classes (N,) int64. See `tinylab.data.base.Dataset`."""

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...] = CLASS_NAMES

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """Shape of one image, (C, H, W)."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def views(self) -> int:
        """One: a mirrored digit is none."""
        return 1

    def take(self, indices: Tensor, views: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images (n, C, H, W) and classes (n,) at `indices` (n,)."""
        del views
        return self.images[indices], self.labels[indices]


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
