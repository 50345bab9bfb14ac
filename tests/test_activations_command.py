"""`tinylab activations`: its table, its JSON, its page, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tinylab.cli import main
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.metrics.activations import measure_activations
from tinylab.metrics.layer_activations import activations_from_json
from tinylab.models.load import load_model, save_model
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan


@pytest.fixture
def cut_folder(tiny_folder: str, tmp_path: Path) -> str:
    """The tiny DiT with its blocks 1 and 3, saved."""
    model = load_model(tiny_folder)
    plan = DepthPlan.of([1, 3], model.stack_depths(), "indices")
    save_model(apply_plan(model, plan), tmp_path / "cut", card="# Cut\n")
    return str(tmp_path / "cut")


@pytest.fixture
def mar_folder(build_tiny: Callable, tmp_path: Path) -> str:
    save_model(build_tiny("mar"), tmp_path / "mar", card="# MAR\n")
    return str(tmp_path / "mar")


def ask(*arguments: str) -> int:
    return main(["activations", "--samples", "4", "--device", "cpu", *arguments])


def test_json_is_what_measuring_gives(tiny_folder: str, capsys: pytest.CaptureFixture) -> None:
    assert ask("--model", tiny_folder, "--seed", "3", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    model = load_model(tiny_folder)
    expected = measure_activations(model, objective_for(model), load_digits()[1], samples=4, seed=3)
    assert (printed["samples"], printed["seed"]) == (4, 3)
    assert activations_from_json(printed["models"][tiny_folder]) == expected


def test_a_table_for_each_model_with_a_line_for_each_block(
    tiny_folder: str, cut_folder: str, capsys: pytest.CaptureFixture
) -> None:
    assert ask("--model", tiny_folder, "--model", cut_folder, "--model", tiny_folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[7]] == [tiny_folder, cut_folder]
    for word in ("block", "mean", "σ", "largest", "beyond 2σ", "beyond 3σ", "beyond 5σ"):
        assert word in lines[1]
    assert [line.split()[0] for line in lines[2:6]] == ["0", "1", "2", "3"]
    assert [line.split("  ")[0] for line in lines[9:]] == ["0 (was 1)", "1 (was 3)"]


def test_the_page_has_lines_for_models_of_one_kind_and_a_picture_of_each(
    tiny_folder: str, cut_folder: str, mar_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "activations.html"
    assert ask("--model", tiny_folder, "--model", cut_folder, "--model", mar_folder, "--json", "--out", str(out)) == 0
    assert len(json.loads(capsys.readouterr().out)["models"]) == 3
    page = out.read_text()
    assert page.count('class="plotly-graph-div"') == 3 + 3 + 3
    assert page.count(": how far from the mean") == 3
    assert "4 noised held-out images" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--samples", "0"], "--samples 0"),
        (["--threads", "-1"], "--threads -1"),
        (["--device", "abacus"], "--device abacus"),
        (["--model", "nobody"], "unknown model 'nobody'"),
        (["--data", "nowhere"], "nowhere"),
        (["--out", "nowhere/at/all.html"], "in a folder that is there"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["activations", *arguments]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.strip().splitlines()
    assert words in line
    assert printed.out == ""


def test_a_model_without_data_is_refused(build_tiny: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    save_model(build_tiny("dit", in_channels=4), tmp_path / "latent", card="# Latent\n")
    assert ask("--model", str(tmp_path / "latent")) == 2
    assert "--data" in capsys.readouterr().err
