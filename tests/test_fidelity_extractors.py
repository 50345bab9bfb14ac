"""The digit reader and DINOv2 as extractors: features, hashes, torch-fidelity's own verdict, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_fidelity
from bare_pictures import Pictures
from transformers import Dinov2Config, Dinov2Model

from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.extractors import open_extractor
from tinylab.metrics.fidelity.reference import open_reference
from tinylab.metrics.fidelity.scores import score
from tinylab.models.load import load_model, load_reader
from tinylab.paths import assets_folder


def noisy(pixels: np.ndarray) -> np.ndarray:
    moved = pixels + np.random.RandomState(0).normal(0, 25, pixels.shape)
    return moved.clip(0, 255).round().astype(np.uint8)


@pytest.fixture
def tiny_dinov2(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(tmp_path / "dinov2")
    return tmp_path / "dinov2"


def test_the_reader_sees_what_the_shipped_model_sees() -> None:
    pixels = open_reference("digits").pixels[:70]
    seen: list = []
    extractor = open_extractor("digit-reader")
    features = extractor.features(pixels, batch_size=32, progress=lambda *at: seen.append(at))
    reader = load_reader(load_model("digits-dit"))
    assert reader is not None
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        torch.testing.assert_close(features.pooled, reader.features(images))
        torch.testing.assert_close(features.logits, reader(images))
    assert seen == [(32, 70), (64, 70), (70, 70)]
    assert features.pooled.shape == (70, 128) and features.spatial is None and len(features) == 70


def test_three_equal_channels_are_one() -> None:
    pixels = open_reference("digits").pixels[:8]
    extractor = open_extractor("digit-reader")
    torch.testing.assert_close(extractor.features(pixels.repeat(3, axis=3)).pooled, extractor.features(pixels).pooled)


def test_scores_are_those_of_torch_fidelity_on_the_same_pictures() -> None:
    real, generated = (open_reference("digits").pixels[rows] for rows in (slice(0, 160), slice(160, 280)))
    generated = noisy(generated)
    extractor = open_extractor("digit-reader")
    ours = score(
        ("fid", "kid", "is", "precision", "recall"), extractor.features(generated), extractor.features(real), seed=5
    )
    theirs = torch_fidelity.calculate_metrics(
        input1=Pictures(generated),
        input2=Pictures(real),
        feature_extractor="digit-reader",
        **{"isc": True, "fid": True, "kid": True, "prc": True, "kid_subset_size": 120, "rng_seed": 5},
        **{"cuda": False, "save_cpu_ram": True, "verbose": False, "cache": False},
    )
    assert ours["fid"].value == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert ours["kid"].value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    assert ours["is"].value == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert ours["precision"].value == pytest.approx(theirs["precision"], abs=1e-6)
    assert ours["recall"].value == pytest.approx(theirs["recall"], abs=1e-6)
    assert ours["fid"].value > 1


def test_noise_scores_worse_than_digits_on_every_scale() -> None:
    reference = open_reference("digits")
    extractor = open_extractor("digit-reader")
    real = extractor.features(reference.pixels[:600])
    labels = torch.as_tensor(reference.labels)[600:900]
    metrics = ("fid", "kid", "precision", "recall", "accuracy")
    digits = score(metrics, extractor.features(reference.pixels[600:900]), real, labels=labels)
    noise = np.random.RandomState(0).randint(0, 256, (300, 8, 8, 1), np.uint8)
    noise = score(metrics, extractor.features(noise), real, labels=labels)
    assert all(noise[name].value > 10 * abs(digits[name].value) for name in ("fid", "kid"))
    assert all(noise[name].value < 0.5 * digits[name].value for name in ("precision", "recall", "accuracy"))
    assert digits["accuracy"].value > 0.95


def test_another_weight_is_another_hash(tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(assets_folder() / "digits-reader", folder)
    same = open_extractor("digit-reader", weights=folder)
    assert same.hash == open_extractor("digit-reader").hash and len(same.hash) == 12
    reader = same.network.reader
    with torch.no_grad():
        reader.conv1.weight[0, 0, 0, 0] += 1e-3
    reader.save_pretrained(folder)
    assert open_extractor("digit-reader", weights=folder).hash != same.hash


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.zeros((2, 9, 8, 1), np.uint8), "8 x 8 pixels, these have 9 x 8"),
        (np.zeros((2, 8, 8, 4), np.uint8), "1 or 3 channels"),
        (np.zeros((2, 8, 8, 1), np.float32), "uint8"),
        (np.zeros((0, 8, 8, 1), np.uint8), "at least one"),
    ],
)
def test_other_pictures_are_refused(pixels: np.ndarray, expected: str) -> None:
    with pytest.raises(BadRequest, match=expected):
        open_extractor("digit-reader").features(pixels)


def test_unknown_names_and_missing_weights_name_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    with pytest.raises(BadRequest, match="digit-reader, inception-v3, dinov2"):
        open_extractor("clip")
    with pytest.raises(BadRequest, match=r"get https://\S+\.pth and put it at .*hub.*--weights FILE"):
        open_extractor("inception-v3")
    with pytest.raises(BadRequest, match=r"no folder; .*--weights FOLDER"):
        open_extractor("dinov2", weights=tmp_path / "nowhere")
    with pytest.raises(BadRequest, match="holds no digit reader"):
        open_extractor("digit-reader", weights=tmp_path)


def test_a_tiny_dinov2_gives_its_class_token(tiny_dinov2: Path) -> None:
    extractor = open_extractor("dinov2", weights=tiny_dinov2)
    pixels = np.random.RandomState(0).randint(0, 256, (5, 224, 224, 3), np.uint8)  # no resizing at this size
    features = extractor.features(pixels, batch_size=2)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    values = ((torch.from_numpy(pixels) / 255 - mean) / deviation).permute(0, 3, 1, 2)
    with torch.no_grad():
        direct = Dinov2Model.from_pretrained(tiny_dinov2).eval()(values).last_hidden_state[:, 0]
    torch.testing.assert_close(features.pooled, direct, atol=1e-5, rtol=1e-4)
    assert features.logits is None
    other = np.random.RandomState(1).randint(0, 256, (5, 20, 30, 1), np.uint8)
    assert extractor.features(other).pooled.shape == (5, 24)
    assert score(("fid",), features, features)["fid"].value == 0


def test_a_dinov2_that_is_none_or_incomplete_is_refused(tiny_dinov2: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = tiny_dinov2 / "model.safetensors"
    tensors = load_file(file)
    del tensors["layernorm.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(BadRequest, match="lacks layernorm.weight"):
        open_extractor("dinov2", weights=tiny_dinov2)
    file.write_bytes(b"nothing")
    with pytest.raises(BadRequest, match="can be read"):
        open_extractor("dinov2", weights=tiny_dinov2)
    config = tiny_dinov2 / "config.json"
    config.write_text(config.read_text().replace('"dinov2"', '"vit"'))
    with pytest.raises(BadRequest, match="is a vit, no dinov2"):
        open_extractor("dinov2", weights=tiny_dinov2)
