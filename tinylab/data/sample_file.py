"""Samples as others read them: an npz in the layout of the ADM evaluator, and single PNG files.

The layout (Dhariwal & Nichol 2021, arXiv:2105.05233): `arr_0` holds the pictures, uint8 (N, H, W, 3), and `arr_1` the
classes (N,).
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from tinylab.files import atomic

__all__ = ["write_pictures", "write_samples"]


def write_samples(path: Path, batches: Iterable[np.ndarray], *, count: int, labels: np.ndarray) -> None:
    """Write `count` pictures that come in batches, uint8 (n, H, W, C) with C 1 or 3; never more than one is held.

    Grey pictures get three equal channels.

    Raises:
        ValueError: there are more or fewer than `count`.
    """
    with atomic.new_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        written = 0
        with archive.open("arr_0.npy", "w", force_zip64=True) as stream:
            for batch in batches:
                if not written:
                    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *batch.shape[1:3], 3)}
                    np.lib.format.write_array_header_1_0(stream, header)
                stream.write(np.ascontiguousarray(_coloured(batch)).tobytes())
                written += len(batch)
        if written != count or count != len(labels):
            raise ValueError(f"{count} pictures and classes were promised, {written} and {len(labels)} came")
        with archive.open("arr_1.npy", "w") as stream:
            np.lib.format.write_array(stream, labels.astype(np.int64), allow_pickle=False)


def write_pictures(folder: Path, batches: Iterable[np.ndarray]) -> None:
    """Write every picture as a PNG named by its number; those that are there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for batch in batches:
        for pixels in batch:
            target = folder / f"{number:06d}.png"
            number += 1
            if not target.exists():
                with atomic.new_file(target) as temporary:
                    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(temporary, format="PNG")


def _coloured(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels
