"""`tinylab bench sample --pipeline`: both sides compute the same from the same noise. No time is judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tinylab.bench.pipeline import Sides
from tinylab.cli import main
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.sampling.generate import Settings

THOUSAND = {"num_classes": 1000, "in_channels": 4}


@pytest.fixture(scope="module", autouse=True)
def no_bars() -> None:
    """Loading a pipeline shows a bar; nothing here looks at it."""
    from diffusers.utils import logging

    logging.disable_progress_bar()


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize(("sampler", "learned"), [("ddim", True), ("ddim", False), ("ddpm", False)])
def test_both_sides_draw_the_same_latents(
    sampler: str, learned: bool, guidance: float, build_tiny_dit: Callable[..., DiT], tmp_path: Path
) -> None:
    model = build_tiny_dit(1, learn_sigma=learned, **THOUSAND)
    found = Sides(model, tmp_path / "out", "cpu").latents(torch.tensor([1, 999, 5]), Settings(sampler, 4, guidance))
    assert found is not None
    ours, theirs = found
    assert ours.shape == theirs.shape == (3, 4, 8, 8)
    assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()
    assert "guided" not in vars(model)


def test_a_learned_variance_has_no_equal_in_the_pipeline(build_tiny_dit: Callable[..., DiT], tmp_path: Path) -> None:
    sides = Sides(build_tiny_dit(**THOUSAND), tmp_path / "out", "cpu")
    assert sides.latents(torch.tensor([1]), Settings("ddpm", 2, 1.0)) is None
    assert any("learned variance" in note for note in sides.notes)


def test_both_sides_decode_to_pictures(build_tiny_dit: Callable[..., DiT], tmp_path: Path) -> None:
    sides = Sides(build_tiny_dit(**THOUSAND), tmp_path / "out", "cpu")
    labels, settings = torch.tensor([3, 4]), Settings("ddpm", 2, 2.0)
    assert sides.ours(labels, settings).shape == sides.pipelines(labels, settings).shape == (2, 3, 16, 16)


def test_the_command_prints_rows_for_a_program_and_for_people(
    build_tiny_dit: Callable[..., DiT], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(build_tiny_dit(1, **THOUSAND), tmp_path / "wide", card="# Tiny\n")
    flags = ["bench", "sample", "--pipeline", "--model", str(tmp_path / "wide"), "--step-counts", "2,3"]
    flags += ["--batch-sizes", "2", "--rounds", "2", "--device", "cpu"]
    assert main([*flags, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert {"machine", "model", "guidance", "rows", "notes"} <= set(made)
    assert [(row["sampler"], row["steps"]) for row in made["rows"]] == [
        (sampler, steps) for sampler in ("ddim", "ddpm") for steps in (2, 3)
    ]
    for row in made["rows"]:
        assert row["rounds"] == 2 and row["seconds"] > 0 < row["pipeline_seconds"] and row["ratio"] > 0
        assert (row["largest_difference"] is None) == (row["sampler"] == "ddpm")
    assert main([*flags, "--sampler", "ddim"]) == 0
    printed = capsys.readouterr().out
    assert "DiTPipeline" in printed and "ddpm " not in printed
    assert "note: " in printed


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model", "digits-sit"], "another model"),
        (["--model", "digits-dit"], "--guidance 1"),
        (["--model", "DiT-S/2", "--guidance", "0.5"], "below 1"),
    ],
)
def test_what_no_pipeline_draws_is_refused(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "sample", "--pipeline", *flags]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1
