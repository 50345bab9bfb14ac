"""What was recorded: every way to switch the blocks of digits-dit on and off, and hidden values. Free of torch."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tinylab.paths import assets_folder

__all__ = [
    "BIN",
    "BINS",
    "COLUMNS",
    "HIDDEN",
    "IMAGES",
    "KS",
    "LEVELS",
    "PLANS",
    "SETTINGS",
    "SPRITE",
    "TABLE",
    "Subsets",
    "hidden_values",
    "is_exact",
    "lessons_folder",
    "subsets",
]

SPRITE, TABLE = "subsets.png", "subsets.json"
COLUMNS, LEVELS = 64, 16  # masks in a row of the sprite, greys in it
SETTINGS: dict[str, Any] = {"model": "digits-dit", "sampler": "ddim", "steps": 10, "guidance": 1.5, "seed": 0}
HIDDEN = "hidden.json"
IMAGES = 256  # noised held-out images
BIN, BINS = 0.5, 30  # width of a bin of |h - μ| / σ, and how many; the last one has all that lies beyond
KS = [k / 4 for k in range(4, 41)]  # masks from 1σ to 10σ
PLANS = {  # the learned choices of docs/study.md
    "digits-dit": ("0", "1", "2", "3", "4", "6"),
    "digits-sit": ("0", "2", "3", "5", "6", "9"),
}


def lessons_folder() -> Path:
    """Where the recorded data of the lessons lies."""
    return assets_folder() / "lessons"


def is_exact(mask: int, blocks: int) -> bool:
    """Whether the loss of a mask is measured as everywhere in the lab."""
    on = mask.bit_count()
    return on == blocks // 2 or on >= blocks - 2


@dataclass(frozen=True)
class Subsets:
    """By mask, bit i for block i: the held-out loss, and which of the ten digits are read, bit c for class c.

    Losses of masks with half of the blocks on, or all but two or fewer (see `is_exact`), are the lab's usual ones, at 8
    noise levels an image; those of the others are measured at one noise level an image, and differ by up to 3.2%.
    """

    loss: tuple[float, ...]
    read: tuple[int, ...]

    @property
    def blocks(self) -> int:
        """Number of blocks of the model."""
        return len(self.loss).bit_length() - 1

    @property
    def full(self) -> int:
        """The mask with all blocks on."""
        return len(self.loss) - 1

    def without(self, block: int) -> float:
        """The loss with this block alone switched off."""
        return self.loss[self.full ^ 1 << block]

    def keeping(self, count: int) -> list[int]:
        """All masks that leave `count` blocks on, the smallest loss first."""
        return sorted((m for m in range(len(self.loss)) if m.bit_count() == count), key=lambda mask: self.loss[mask])

    @staticmethod
    def levels(mask: int) -> np.ndarray:
        """The ten digits of a mask as grey levels, (10, 8, 8)."""
        with Image.open(lessons_folder() / SPRITE) as sprite:
            row, column = divmod(mask, COLUMNS)
            tile = np.asarray(sprite.crop((column * 80, row * 8, column * 80 + 80, row * 8 + 8)))
        return tile.reshape(8, 10, 8).transpose(1, 0, 2)


@cache
def subsets() -> Subsets:
    """The recorded results of all masks."""
    table = json.loads((lessons_folder() / TABLE).read_text())
    return Subsets(tuple(table["loss"]), tuple(table["read"]))


@cache
def hidden_values() -> dict[str, Any]:
    """The recorded hidden values."""
    return json.loads((lessons_folder() / HIDDEN).read_text())
