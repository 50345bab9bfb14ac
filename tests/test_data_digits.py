"""The built-in data: fixed sizes, no image in both splits, values in [-1, 1]."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits as bundled

from tinylab.data.digits import CLASS_NAMES, HELD_OUT, ImageSplit, load_digits

SPLITS = ("train", "held_out")


@pytest.fixture
def splits() -> dict[str, ImageSplit]:
    return dict(zip(SPLITS, load_digits(), strict=True))


def test_split_sizes(splits: dict[str, ImageSplit]) -> None:
    assert {name: len(split) for name, split in splits.items()} == {"train": 1500, "held_out": HELD_OUT}
    assert HELD_OUT == 297


@pytest.mark.parametrize("name", SPLITS)
def test_images_and_labels_have_their_shapes_types_and_range(splits: dict[str, ImageSplit], name: str) -> None:
    images, labels = splits[name].images, splits[name].labels
    assert images.shape == (len(labels), 1, 8, 8)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert (images.min().item(), images.max().item()) == (-1.0, 1.0)
    assert labels.unique().tolist() == list(range(len(CLASS_NAMES)))


def test_the_two_splits_hold_every_image_once(splits: dict[str, ImageSplit]) -> None:
    together = torch.cat([splits[name].images for name in SPLITS]).add(1).mul(8).flatten(1).numpy()
    raw = bundled()
    rows, counts = np.unique(together, axis=0, return_counts=True)
    raw_rows, raw_counts = np.unique(raw.data, axis=0, return_counts=True)
    assert np.array_equal(rows, raw_rows)
    assert np.array_equal(counts, raw_counts)


def test_no_image_is_in_both_splits(splits: dict[str, ImageSplit]) -> None:
    train, held_out = ({image.numpy().tobytes() for image in splits[name].images} for name in SPLITS)
    assert train.isdisjoint(held_out)


def test_images_keep_their_labels(splits: dict[str, ImageSplit]) -> None:
    raw = bundled()
    label_of = {row.tobytes(): label for row, label in zip(raw.data, raw.target, strict=True)}
    for split in splits.values():
        pixels = split.images.double().add(1).mul(8).flatten(1).numpy()
        assert [label_of[row.tobytes()] for row in pixels] == split.labels.tolist()


def test_classes_have_equal_shares_in_both_splits(splits: dict[str, ImageSplit]) -> None:
    shares = [splits[name].labels.bincount() / len(splits[name]) for name in SPLITS]
    assert torch.allclose(shares[0], shares[1], atol=0.005)
