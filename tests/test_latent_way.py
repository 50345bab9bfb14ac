"""The whole way over latents on the command line: encode pictures, then search, cut, recover, compare and draw."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encode_inputs import make_autoencoder, make_pictures
from PIL import Image

from tinylab.cli import main
from tinylab.data.latents import open_latents
from tinylab.models.autoencoder.load import load_autoencoder
from tinylab.models.load import load_model, save_model

LATENT = {"input_size": 8, "in_channels": 4, "num_classes": 3}
MASKED = {"img_size": 16, "vae_stride": 2, "vae_embed_dim": 4, "class_num": 3}
CHANGES = {"dit": LATENT, "sit": LATENT, "mar": MASKED}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of three classes, an autoencoder that fits the models, one that does not, and latents."""
    place = tmp_path_factory.mktemp("latents")
    make_autoencoder(place / "vae")
    make_autoencoder(place / "wide", latent_channels=16)
    make_pictures(place / "pictures", {"ash": 8, "birch": 7, "cedar": 7})
    options = [
        "--data",
        place / "pictures",
        "--vae",
        place / "vae",
        "--size",
        16,
        "--out",
        place / "encoded",
        "--quiet",
    ]
    assert main(["encode", *map(str, options)]) == 0
    return place


def save(build_tiny: Callable[..., Any], family: str, folder: Path, **changes: Any) -> str:
    save_model(build_tiny(family, **{**CHANGES[family], **changes}), folder, card="# Tiny\n")
    return str(folder)


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs a command and gives its result."""

    def tell(kind: str, *options: object) -> dict[str, Any]:
        status = main([kind, "--json", "--quiet", *map(str, options)])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return json.loads(printed.out)

    return tell


@pytest.mark.parametrize("family", CHANGES)
def test_every_family_goes_the_whole_way(
    family: str, place: Path, build_tiny: Callable[..., Any], tell: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    model = save(build_tiny, family, tmp_path / "full")
    few = ("--data", place / "encoded", "--batch-size", 4)
    found = tell("search", "--model", model, *few, "--steps", 2, "--out", tmp_path / "found")
    shallow = load_model(str(tmp_path / "found"))
    assert shallow.stack_depths() == {stack: len(kept) for stack, kept in found["kept"].items()}
    assert sum(shallow.stack_depths().values()) * 2 == sum(load_model(model).stack_depths().values())

    cut = tell(
        "prune", "--model", model, "--data", place / "encoded/latents", "--samples", 4, "--out", tmp_path / "cut"
    )
    assert cut["parameters"] < cut["parameters_full"]
    tell(
        "finetune", "--run", tmp_path / "found", *few, "--steps", 2, "--snapshot-every", 1, "--out", tmp_path / "tuned"
    )
    before, after = (dict(load_model(str(tmp_path / name)).named_parameters()) for name in ("found", "tuned"))
    assert any(not torch.equal(before[name], after[name]) for name in before)

    options = ("--methods", "oracle,random", "--plans", tmp_path / "found", "--steps", 1, "--samples", 4)
    table = tell("compare", "--model", model, *few, *options, "--out", tmp_path / "table")
    assert [row["method"] for row in table["rows"]] == ["learned", "oracle", "random"]
    assert all(np.isfinite([row["loss_pruned"], row["loss_finetuned"]]).all() for row in table["rows"])

    options = ("--against", tmp_path / "tuned", "--n", 3, "--steps", 2, "--classes", "2, 0")
    drawn = tell("sample", "--model", model, *options, "--vae", place / "vae", "--out", tmp_path / "drawn")
    assert drawn["classes"] == [2, 0]
    for row in drawn["models"]:
        stored = np.load(tmp_path / "drawn/artifacts" / row["npz"])
        assert stored["images"].shape == (3, 16, 16, 3)  # pixels of the autoencoder's pictures
        assert stored["images"].std() > 0
        with Image.open(tmp_path / "drawn/artifacts" / row["png"]) as picture:
            assert picture.mode == "RGB"


def test_plan_of_a_model_named_by_a_relative_path_is_for_the_same_model(
    place: Path,
    build_tiny: Callable[..., Any],
    tell: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save(build_tiny, "dit", tmp_path / "full")
    monkeypatch.chdir(tmp_path)
    tell("prune", "--model", "full", "--method", "oracle", "--out", "cut")
    options = ("--plans", "cut", "--methods", "oracle", "--data", place / "encoded", "--steps", 0)
    assert len(tell("compare", "--model", "full", *options, "--out", "table")["rows"]) == 2


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([*map(str, arguments)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_what_does_not_fit_the_latents_is_refused_before_a_run_is_made(
    place: Path, build_tiny: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", tmp_path / "run")
    model = save(build_tiny, "dit", tmp_path / "full")
    assert "16 channels" in refusal(capsys, "sample", "--model", model, "--vae", place / "wide", *out)
    assert "--data" in refusal(capsys, "search", "--model", model, *out)
    few = save(build_tiny, "sit", tmp_path / "few", num_classes=2)
    assert "3 classes" in refusal(capsys, "search", "--model", few, "--data", place / "encoded", *out)
    large = save(build_tiny, "dit", tmp_path / "large", input_size=16)
    assert "4 x 8 x 8" in refusal(capsys, "prune", "--model", large, "--data", place / "encoded", *out)
    assert "4 x 8 x 8" in refusal(capsys, "search", "--data", place / "encoded", *out)
    assert "no latents" in refusal(capsys, "search", "--model", model, "--data", place / "pictures", *out)
    assert not (tmp_path / "run").exists()


def test_latents_of_an_encode_run_are_named_and_decode_to_the_size_of_the_pictures(place: Path) -> None:
    vae, data = load_autoencoder(str(place / "vae")), open_latents(str(place / "encoded"))
    assert data.class_names == ("ash", "birch", "cedar")
    assert vae.decode(data.images[:2]).shape == (2, 3, 16, 16)
