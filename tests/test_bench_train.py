"""`tinylab bench train`: every number it prints is there and follows from the others; no time is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tinylab.bench.train import write_random_latents
from tinylab.cli import main
from tinylab.data.base import load_data
from tinylab.data.latents import open_latents

TINY = ["--width", "32", "--tokens", "16", "--blocks", "4", "--heads", "2", "--batch", "4", "--rounds", "2"]


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["bench", "train", *arguments, "--steps", "2", "--device", "cpu", "--threads", "1", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("model", [TINY, ["--model", "digits-mar", "--batch", "2", "--rounds", "1"]])
def test_every_loss_gets_a_row(capsys: pytest.CaptureFixture[str], model: list[str]) -> None:
    made = bench(capsys, *model, "--losses", "diffusion,masked-kd,bksdm", "--workers", "1")
    assert [row["loss"] for row in made["rows"]] == ["diffusion", "masked-kd", "bksdm"]
    for row in made["rows"]:
        assert row["samples_per_second"] == pytest.approx(row["batch"] / row["seconds"])
        assert row["blocks"] * 2 == row["teacher_blocks"]
        assert row["bare_seconds"] > 0 and 0 <= row["data_wait"] < 1 and row["workers"] == 1


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "train", *TINY, "--losses", "logit", "--steps", "1", "--device", "cpu"]) == 0
    told, head, row = capsys.readouterr().out.splitlines()[:3]
    assert "torch" in told
    assert all(name in head for name in ("samples/s", "overhead", "data wait"))
    assert "2 of 4" in row


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--losses", "magic"], "--losses magic: use some of diffusion, logit"),
        (["--losses", ""], "--losses (empty)"),
        (["--steps", "0"], "--steps 0: take 1 to 10000"),
        (["--workers", "-1"], "--workers -1"),
        (["--batch", "4,8"], "--batch 4,8: name one number"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["bench", "train", *TINY, "--device", "cpu", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_random_latents_are_read_as_encoded_ones(tmp_path: Path) -> None:
    write_random_latents(tmp_path, 9, (4, 6, 6), 5)
    data = open_latents(str(tmp_path))
    assert (len(data), data.views, data.num_classes) == (9, 2, 5)
    plain, mirrored = (data.take(torch.arange(9), torch.full((9,), view))[0] for view in (0, 1))
    assert torch.equal(mirrored, plain.flip(3))
    assert load_data(str(tmp_path))[0].sample_shape == (4, 6, 6)
