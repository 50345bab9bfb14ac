"""The commands of docs/researcher.md fit together: each resolves against what the ones before it leave behind.

A DiT of 28 tiny blocks stands for DiT-XL/2, pictures of 16 pixels for ImageNet.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encode_inputs import make_autoencoder, make_pictures

from tinylab.cli import main
from tinylab.config import config_types
from tinylab.models.load import save_model

PAGE = Path(__file__).resolve().parent.parent / "docs" / "researcher.md"
JOBS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.split()[0] == "tinylab" and line.split()[1] in config_types()
]


def place_of(command: list[str]) -> str:
    return Path(command[command.index("--out") + 1]).name


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, build_tiny_anywhere: Callable[..., Any]) -> Path:
    """A working folder in which everything is there that the page takes from elsewhere or makes on the way."""
    stage = tmp_path_factory.mktemp("stage")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(stage)
        patch.setenv("TINYLAB_RUNS", str(stage / "runs"))
        make_autoencoder(stage / "sd-vae")
        make_pictures(stage / "imagenet" / "train", {"n01440764": 6, "n01443537": 6})
        pictures = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), dtype=np.uint8)
        np.savez(stage / "VIRTUAL_imagenet256_labeled.npz", arr_0=pictures)
        model = build_tiny_anywhere("dit", depth=28, in_channels=4, num_classes=1000)
        save_model(model, stage / "models/xl", card="# Tiny\n")
        small = ["--size", "16", "--workers", "1", "--quiet"]
        for command in JOBS:
            if command[0] == "encode":
                assert main([*command, *small]) == 0
        assert (
            main(["prune", "--model", "models/xl", "--method", "oracle", "--pattern", "1:2", "--out", "runs/xl-search"])
            == 0
        )
        tiny = ["--steps", "1", "--batch-size", "2", "--snapshot-every", "0", "--precision", "float32", "--quiet"]
        for command in JOBS:
            if command[0] == "finetune" and "500000" not in command:
                assert main([*command, *tiny]) == 0
    return stage


@pytest.fixture(scope="module")
def build_tiny_anywhere() -> Callable[..., Any]:
    """Builds tiny models for fixtures that outlive a test."""
    from tiny_sizes import TINY

    from tinylab.models.networks.dit import DiT

    return lambda family, **changes: DiT(**{**TINY, **changes}).eval()


@pytest.fixture
def resolved(stage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What a command comes to on the stage."""
    monkeypatch.chdir(stage)
    monkeypatch.setenv("TINYLAB_RUNS", str(stage / "runs"))

    def resolve(command: list[str]) -> tuple[dict[str, Any], str]:
        status = main([*command, "--dry-run"])
        printed = capsys.readouterr()
        return (json.loads(printed.out) if status == 0 else {}), printed.err

    return resolve


@pytest.mark.parametrize("command", JOBS, ids=place_of)
def test_every_command_of_the_page_resolves(command: list[str], resolved: Callable[..., Any]) -> None:
    config, problem = resolved(command)
    if "inception-v3" in command and not config:
        assert "weights" in problem  # the page says that they are to be fetched; nothing else may be wrong
    else:
        assert problem == ""
        assert config["kind"] == command[0]


def test_the_search_is_the_published_one(resolved: Callable[..., Any]) -> None:
    config, _ = resolved(next(command for command in JOBS if place_of(command) == "xl-search"))
    told = {"steps": 10_000, "batch_size": 128, "lr_weights": 1e-4, "lr_mask": 1e-3, "tau_start": 4.0, "tau_end": 0.1}
    told |= {
        "weights": "lora",
        "lora_rank": 8,
        "scaling": 100.0,
        "pattern": "1:2",
        "estimator": "gumbel",
        "decision": "argmax",
    }
    assert {name: config[name] for name in told} == told


def test_the_recovery_is_the_published_one(resolved: Callable[..., Any]) -> None:
    config, _ = resolved(next(command for command in JOBS if place_of(command) == "xl-d14"))
    told = {"steps": 100_000, "batch_size": 256, "loss": "masked-kd", "lr": 2e-4, "lr_floor": 0.5, "ema_decay": 0.9999}
    told |= {
        "alpha": 0.9,
        "beta": 0.01,
        "beta_decay": "linear",
        "mask_sigma": 2.0,
        "clip": 1.0,
        "checkpoint_every": 1000,
    }
    assert {name: config[name] for name in told} == told


def test_the_costs_follow_from_their_counts() -> None:
    """The table's TFLOP are count times factor times F, and its hours are those by the stated speeds."""
    forward, fast, slow = 2 * 118.6e9 / 1e12, 0.4 * 312, 0.7 * 19.5
    expected = {
        "search, 1:2, LoRA, exact": (10_000 * 128 * 1.5 * forward, fast),
        "search, dense as published": (10_000 * 128 * 2 * forward, fast),
        "recovery, plain, 100,000 steps": (25.6e6 * 1.5 * forward, fast),
        "recovery, masked distillation, 100,000 steps": (25.6e6 * 2.5 * forward, fast),
        "recovery, masked distillation, 500,000 steps": (128e6 * 2.5 * forward, fast),
        "50,000 samples, full model": (50_000 * 250 * 2 * forward, slow),
        "50,000 samples, 14 blocks": (50_000 * 250 * forward, slow),
    }
    rows = {
        cells[1]: cells
        for line in PAGE.read_text().splitlines()
        if len(cells := [c.strip() for c in line.split("|")]) == 6
    }
    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
    for name, (work, speed) in expected.items():
        mantissa, power = rows[name][3].split(" × 10")
        assert float(mantissa) * 10 ** int(power.translate(digits)) == pytest.approx(work, rel=0.02)
        assert float(rows[name][4].split(",")[0]) == pytest.approx(work / speed / 3600, rel=0.05)
