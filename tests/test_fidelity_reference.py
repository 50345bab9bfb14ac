"""Reference pictures: where they come from, their hash, their features on the disk, and the floor of two halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tinylab.data.digits import load_digits
from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.extractors import Extractor, open_extractor
from tinylab.metrics.fidelity.features import Features, Moments, Statistics
from tinylab.metrics.fidelity.reference import Reference, floor, open_reference, reference_features
from tinylab.metrics.fidelity.resampling import halves
from tinylab.metrics.fidelity.scores import score

READER_METRICS = ("fid", "kid", "is", "precision", "recall", "accuracy")


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return open_extractor("digit-reader")


@pytest.fixture(scope="module")
def digits() -> Reference:
    return open_reference("digits")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    pixels = np.random.RandomState(0).randint(0, 256, (20, 8, 8, 1), np.uint8)
    np.savez_compressed(tmp_path / "pictures.npz", images=pixels, labels=np.arange(20) % 4)
    return tmp_path / "pictures.npz"


def counted(extractor: Extractor, reference: Reference, cache: Path) -> tuple[Features, int]:
    """Features, and how many batches the network saw for them."""
    seen: list = []
    return reference_features(reference, extractor, cache=cache, progress=lambda *at: seen.append(at)), len(seen)


def test_digits_are_all_of_them_as_bytes(digits: Reference) -> None:
    assert digits.pixels.shape == (1797, 8, 8, 1) and digits.pixels.dtype == np.uint8
    assert digits.labels is not None and np.bincount(digits.labels).tolist() == [
        *(178, 182, 177, 183, 181),
        *(182, 181, 179, 174, 180),
    ]
    train, held_out = load_digits()
    values = torch.cat([train.images, held_out.images])
    back = torch.from_numpy(digits.pixels).permute(0, 3, 1, 2) / 127.5 - 1
    assert (back - values).abs().max() <= 0.5 / 127.5 + 1e-6
    assert digits.hash == open_reference("digits").hash


def test_a_second_look_comes_from_the_disk(extractor: Extractor, pictures: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "deeper"
    reference = open_reference(str(pictures))
    first, batches = counted(extractor, reference, cache)
    again, none = counted(extractor, open_reference(str(pictures)), cache)
    assert (batches, none) == (1, 0)
    assert torch.equal(first.pooled, again.pooled) and first.logits is not None and again.logits is not None
    assert torch.equal(first.logits, again.logits)
    (file,) = cache.iterdir()
    assert file.name == f"{reference.hash}-digit-reader-{extractor.hash}.safetensors"


def test_another_pixel_class_or_weight_is_seen_anew(extractor: Extractor, pictures: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    counted(extractor, open_reference(str(pictures)), cache)
    arrays = dict(np.load(pictures))
    for name in ("images", "labels"):
        changed = {key: array.copy() for key, array in arrays.items()}
        changed[name].flat[0] ^= 1
        np.savez(tmp_path / f"{name}.npz", **changed)
        assert counted(extractor, open_reference(str(tmp_path / f"{name}.npz")), cache)[1] == 1
    other = open_extractor("digit-reader")
    with torch.no_grad():
        other.network.reader.head.bias[0] += 1
    other = Extractor("digit-reader", other.network)
    assert counted(other, open_reference(str(pictures)), cache)[1] == 1
    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign"])
def test_a_damaged_file_is_made_anew(extractor: Extractor, pictures: Path, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    reference = open_reference(str(pictures))
    whole, _ = counted(extractor, reference, cache)
    (file,) = cache.iterdir()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes({"cut": bytes(data[:-5]), "flip": bytes(data), "foreign": b"{}"}[damage])
    found, batches = counted(extractor, reference, cache)
    assert batches == 1 and torch.equal(found.pooled, whole.pooled)
    assert counted(extractor, reference, cache)[1] == 0


def test_a_cache_that_cannot_be_written_is_no_error(
    extractor: Extractor, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    reference = open_reference(str(pictures))
    assert counted(extractor, reference, tmp_path / "file" / "cache")[1] == 1
    monkeypatch.setenv("TINYLAB_CACHE", str(tmp_path / "default"))
    reference_features(reference, extractor)
    assert len(list((tmp_path / "default").iterdir())) == 1


def test_npz_files_of_adm_and_folders_are_read(pictures: Path, tmp_path: Path) -> None:
    arrays = np.load(pictures)
    ours = open_reference(str(pictures))
    np.savez(tmp_path / "adm.npz", arr_0=arrays["images"], arr_1=arrays["labels"])
    assert open_reference(str(tmp_path / "adm.npz")).hash == ours.hash
    np.savez(tmp_path / "bare.npz", arr_0=arrays["images"])
    bare = open_reference(str(tmp_path / "bare.npz"))
    assert bare.labels is None and np.array_equal(bare.pixels, ours.pixels)
    for row, (pixels, label) in enumerate(zip(arrays["images"], arrays["labels"], strict=True)):
        for folder in (tmp_path / "flat", tmp_path / "sorted" / str(label)):
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[..., 0]).save(folder / f"{row:02d}.png")
    flat, by_class = open_reference(str(tmp_path / "flat")), open_reference(str(tmp_path / "sorted"))
    assert flat.labels is None and np.array_equal(flat.pixels, ours.pixels.repeat(3, axis=3))
    order = np.argsort(arrays["labels"], kind="stable")
    assert np.array_equal(by_class.pixels, ours.pixels[order].repeat(3, axis=3))
    assert by_class.labels is not None and by_class.labels.tolist() == arrays["labels"][order].tolist()


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"images": np.zeros((3, 8, 8), np.uint8)}, "should be uint8"),
        ({"images": np.zeros((3, 8, 8, 1), np.float32)}, "should be uint8"),
        ({"images": np.zeros((3, 8, 8, 1), np.uint8), "labels": np.zeros(2, int)}, "should be whole numbers"),
        ({"images": np.array([object()])}, "should be uint8"),
        ({"others": np.zeros(3)}, "holds neither pictures"),
        ({"mu": np.zeros(3), "sigma": np.zeros((3, 3))}, r"should be numbers \(2048,\)"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, arrays: dict, expected: str) -> None:
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(BadRequest, match=expected):
        open_reference(str(tmp_path / "other.npz"))


def test_what_is_not_there_or_damaged_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="unknown reference 'nowhere'; give digits"):
        open_reference("nowhere")
    pictures.write_bytes(pictures.read_bytes()[:300])
    with pytest.raises(BadRequest, match="damaged"):
        open_reference(str(pictures))
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.png").write_bytes(b"no picture")
    with pytest.raises(BadRequest, match="a.png is a broken picture"):
        open_reference(str(tmp_path / "flat"))


def test_published_statistics_stand_in_for_real_pictures(extractor: Extractor, tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    x, spatial = random.normal(size=(30, 2048)), random.normal(size=(30, 2023))
    arrays = {
        "mu": x.mean(0),
        "sigma": np.cov(x, rowvar=False),
        "mu_s": spatial.mean(0),
        "sigma_s": np.cov(spatial, rowvar=False),
    }
    np.savez(tmp_path / "statistics.npz", **arrays)
    reference = open_reference(str(tmp_path / "statistics.npz"))
    assert len(reference) == 0 and reference.statistics is not None
    np.testing.assert_array_equal(reference.statistics.pooled.covariance, arrays["sigma"])
    with pytest.raises(BadRequest, match="take --extractor inception-v3"):
        reference_features(reference, extractor)


def test_scores_against_statistics_are_those_against_their_pictures() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (Features(torch.randn(50, 6, generator=generator)) for _ in range(2))
    x = b.pooled.double().numpy()
    given = Features(torch.empty(0, 6), statistics=Statistics(Moments(x.mean(0), np.cov(x, rowvar=False))))
    assert score(("fid",), a, given)["fid"].value == pytest.approx(score(("fid",), a, b)["fid"].value)
    for name, expected in (("kid", "take fid or sfid"), ("sfid", "nothing to compute sfid from")):
        with pytest.raises(BadRequest, match=expected):
            score((name,), a, given)
    assert floor(given, None, ("fid",)) == ((0, 0), {})


def test_the_floor_is_of_two_halves_with_all_classes(extractor: Extractor, digits: Reference, tmp_path: Path) -> None:
    features = reference_features(digits, extractor, cache=tmp_path)
    assert digits.labels is not None
    labels = torch.as_tensor(digits.labels)
    sizes, found = floor(features, labels, READER_METRICS)
    assert sizes == (899, 898) and tuple(found) == READER_METRICS
    first, second = halves(1797, labels, torch.Generator().manual_seed(0))
    assert not set(first.tolist()) & set(second.tolist()) and len({*first.tolist(), *second.tolist()}) == 1797
    assert (labels[first].bincount() - labels[second].bincount()).abs().max() <= 1
    direct = score(("fid", "recall", "accuracy"), features[first], features[second], labels=labels[first])
    assert all(found[name] == direct[name] for name in direct)
    noise = np.random.RandomState(0).randint(0, 256, (899, 8, 8, 1), np.uint8)
    assert 0 < 100 * found["fid"].value < score(("fid",), extractor.features(noise), features)["fid"].value
    assert found["accuracy"].value > 0.95 and abs(found["kid"].value) < 0.1


def test_the_floor_leaves_out_what_cannot_be_told() -> None:
    features = Features(torch.randn(6, 3), torch.randn(6, 4))
    sizes, found = floor(features, None, READER_METRICS)
    assert sizes == (3, 3) and tuple(found) == ("fid", "kid", "is")
