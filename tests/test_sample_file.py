"""Samples as others read them: the npz of the ADM evaluator, and PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinylab.data.sample_file import write_pictures, write_samples


def pixels(count: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 5, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_npz_holds_three_channels_and_classes(tmp_path: Path, channels: int) -> None:
    whole, labels = pixels(7, channels), np.arange(7) % 3
    write_samples(tmp_path / "s.npz", iter([whole[:4], whole[4:]]), count=7, labels=labels)
    with np.load(tmp_path / "s.npz", allow_pickle=False) as found:
        assert sorted(found) == ["arr_0", "arr_1"]
        assert found["arr_0"].dtype == np.uint8
        assert found["arr_0"].shape == (7, 4, 5, 3)
        assert np.array_equal(found["arr_0"], np.repeat(whole, 3, axis=3) if channels == 1 else whole)
        assert np.array_equal(found["arr_1"], labels)


@pytest.mark.parametrize("promised", [6, 8])
def test_a_wrong_number_of_pictures_leaves_no_file(tmp_path: Path, promised: int) -> None:
    with pytest.raises(ValueError, match=f"{promised} pictures and classes were promised, 7 and"):
        write_samples(tmp_path / "s.npz", [pixels(7, 1)], count=promised, labels=np.zeros(promised, int))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_png_files_in_order_and_kept_if_there(tmp_path: Path, channels: int) -> None:
    whole = pixels(3, channels)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "000001.png").write_bytes(b"was here")
    write_pictures(tmp_path / "p", [whole[:2], whole[2:]])
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["000000.png", "000001.png", "000002.png"]
    assert (tmp_path / "p" / "000001.png").read_bytes() == b"was here"
    found = np.asarray(Image.open(tmp_path / "p" / "000002.png"))
    assert np.array_equal(found.reshape(4, 5, channels), whole[2])
