"""Pictures: the published crop, sorted classes, and one line for whatever a stranger may have put there."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from encode_inputs import make_pictures, picture
from PIL import Image

from tinylab.data import pictures as pictures_module
from tinylab.data.crop import BrokenPicture, center_crop
from tinylab.data.pictures import check_pictures, open_pictures
from tinylab.errors import BadRequest


def refusal(path: Path) -> str:
    with pytest.raises(BadRequest) as refused:
        open_pictures(path)
    message = str(refused.value)
    assert path.name in message and "\n" not in message
    return message


def broken(folder: Path, row: int = 0, size: int = 8) -> str:
    (found,) = open_pictures(folder).read(range(row, row + 1), size)
    assert isinstance(found, BrokenPicture)
    message = str(found)
    assert "\n" not in message
    return message


def one_class(tmp_path: Path, data: bytes, name: str = "x.png") -> Path:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / name).write_bytes(data)
    return tmp_path / "data"


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that declares a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def published_crop(image: Image.Image, size: int) -> np.ndarray:
    """ADM's rule for one halving at most, written out by hand."""
    if min(image.size) >= 2 * size:
        image = image.reduce(2)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("width, height", [(16, 16), (17, 40), (41, 19), (48, 32), (64, 36), (9, 12)])
def test_crop_follows_the_published_rule(width: int, height: int) -> None:
    image = picture(3, width, height)
    found = center_crop(image, 16)
    assert (found.shape, found.dtype) == ((16, 16, 3), np.uint8)
    difference = np.abs(found.astype(int) - published_crop(image, 16))
    assert difference.max() <= (2 if min(width, height) >= 32 else 0)  # PIL's two ways of halving round differently


def test_crop_of_a_square_at_its_own_size_changes_nothing() -> None:
    image = picture(1, 16, 16)
    assert np.array_equal(center_crop(image, 16), np.asarray(image))


def test_crop_takes_the_middle() -> None:
    pixels = np.zeros((8, 24, 3), dtype=np.uint8)
    pixels[:, 8:16] = 255
    assert center_crop(Image.fromarray(pixels), 8).min() > 200


def test_sorted_folders_become_classes_and_files_keep_their_order(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "data", {"zebra": 2, "ant": 3})
    (folder / ".hidden").mkdir()
    (folder / "ant" / "notes.txt").write_text("no picture")
    (folder / "ant" / "deeper").mkdir()
    picture(9).save(folder / "ant" / "deeper" / "x.JPG", format="JPEG")
    found = open_pictures(folder, workers=2)
    assert found.class_names == ("ant", "zebra")
    assert found.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert len(found) == 6
    squares = found.read(range(6), 16)
    wanted = [center_crop(Image.open(folder / name), 16) for name in ("ant/000.png", "ant/001.png", "ant/002.png")]
    assert all(np.array_equal(a, b) for a, b in zip(squares[:3], wanted, strict=True))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    name = "x.jpg" if mode == "CMYK" else "x.png"
    picture(2).convert(mode).save(tmp_path / "data" / "a" / name)
    (square,) = open_pictures(tmp_path / "data").read(range(1), 8)
    assert isinstance(square, np.ndarray) and square.shape == (8, 8, 3)


def test_fingerprint_knows_the_names(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "data", {"a": 2})
    first = open_pictures(folder).fingerprint
    assert open_pictures(folder).fingerprint == first
    (folder / "a" / "000.png").rename(folder / "a" / "002.png")
    assert open_pictures(folder).fingerprint != first


def test_thousand_wordnet_folders_get_imagenets_names(tmp_path: Path) -> None:
    names = ["n01440764", *(f"n{2_000_000 + i:08d}" for i in range(998)), "n15075141"]
    assert pictures_module._readable(names)[999] == "toilet tissue"
    assert pictures_module._readable(names[:-1])[0] == "n01440764"


@pytest.mark.parametrize("missing", ["absent", "file", "flat", "empty class"])
def test_a_folder_without_classes_is_refused(tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "data"
    if missing == "file":
        folder.write_text("")
    elif missing != "absent":
        (folder / "a" if missing == "empty class" else folder).mkdir(parents=True)
    with pytest.raises(BadRequest):
        check_pictures(folder)
    with pytest.raises(BadRequest, match="holds no|is no folder"):
        open_pictures(folder)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is no picture"),
        (b"GIF89a" + b"\0" * 50, "is no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no picture"),
        (png_of(30, 30), "broken picture"),
        (png_of(60_000, 60_000), "pixels; shrink it"),
        (png_of(10_000, 9_000), "90000000 pixels|pixels, more than"),
        (png_of(4000, 20), "too narrow"),
    ],
)
def test_a_bad_picture_is_named(tmp_path: Path, data: bytes, says: str) -> None:
    message = broken(one_class(tmp_path, data))
    assert "x.png" in message
    assert any(part in message for part in says.split("|"))


def test_truncated_jpeg_is_broken_and_its_neighbours_are_not(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "data", {"a": 3})
    file = folder / "a" / "001.png"
    file.write_bytes(file.read_bytes()[:-40])
    found = open_pictures(folder).read(range(3), 8)
    assert [isinstance(item, BrokenPicture) for item in found] == [False, True, False]


def test_picture_that_vanished_is_named(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "data", {"a": 1})
    found = open_pictures(folder)
    os.unlink(folder / "a" / "000.png")
    (item,) = found.read(range(1), 8)
    assert isinstance(item, BrokenPicture) and "000.png" in str(item)


@pytest.mark.parametrize("compressed", [False, True])
def test_npz_gives_the_same_pictures(tmp_path: Path, compressed: bool) -> None:
    images = np.stack([np.asarray(picture(seed)) for seed in range(5)])
    write = np.savez_compressed if compressed else np.savez
    write(tmp_path / "data.npz", images=images, labels=np.array([1, 0, 2, 2, 1]))
    found = open_pictures(tmp_path / "data.npz")
    assert found.labels.tolist() == [1, 0, 2, 2, 1]
    assert (found.class_names, len(found)) == (("0", "1", "2"), 5)
    wanted = [center_crop(Image.fromarray(pixels), 16) for pixels in images]
    for rows in (range(5), range(3, 5), range(1, 3)):  # forward, by skipping, and back
        assert np.array_equal(np.stack(found.read(rows, 16)), np.stack(wanted)[rows.start : rows.stop])


def test_grey_npz_becomes_rgb(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", images=np.full((2, 8, 8, 1), 7, np.uint8), labels=np.zeros(2, np.int32))
    (square, _) = open_pictures(tmp_path / "d.npz").read(range(2), 8)
    assert isinstance(square, np.ndarray) and square.shape == (8, 8, 3) and (square == 7).all()


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"images": np.zeros((2, 8, 8, 3), np.uint8)}, "no npz with images and labels"),
        ({"images": np.zeros((2, 8, 8, 3), np.float32), "labels": np.zeros(2, int)}, "should be uint8"),
        ({"images": np.zeros((2, 3, 8, 8), np.uint8), "labels": np.zeros(2, int)}, "8 channels"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8), "labels": np.zeros(3, int)}, "2 images but 3 labels"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8), "labels": np.zeros(2)}, "should be whole numbers"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8), "labels": np.array([0, -1])}, "between 0 and"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8), "labels": np.array([0, 10**9])}, "between 0 and"),
        ({"images": np.array([object()] * 2), "labels": np.zeros(2, int)}, "should be uint8"),
    ],
)  # fmt: skip
def test_a_wrong_npz_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], says: str) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    assert says in refusal(tmp_path / "d.npz")


def test_an_npz_that_declares_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999, 8000, 8000, 3), }"
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(100)
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as file:
        file.writestr("images.npy", body)
        file.writestr("labels.npy", body)
    assert "does not hold" in refusal(tmp_path / "d.npz")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_npz_is_named_when_it_is_read(tmp_path: Path, compressed: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    write = np.savez_compressed if compressed else np.savez
    write(tmp_path / "d.npz", images=noise, labels=np.zeros(4, int))
    data = bytearray((tmp_path / "d.npz").read_bytes())
    data[20_000:20_400] = b"\x00" * 400
    (tmp_path / "d.npz").write_bytes(bytes(data))
    with pytest.raises(BadRequest, match=r"d\.npz is damaged"):
        open_pictures(tmp_path / "d.npz").read(range(4), 16)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
def test_no_npz_at_all_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "d.npz").write_bytes(data)
    assert "no npz" in refusal(tmp_path / "d.npz")
