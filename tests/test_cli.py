"""The command line: what it prints, what it leaves behind, how it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from killed_jobs import Moment, run_job

from tinylab.cli import main
from tinylab.config import config_types
from tinylab.models.families import FAMILIES
from tinylab.models.load import load_model, save_model
from tinylab.runs.metrics_db import MetricsReader

SHORT = ["--quiet", "--batch-size", "4", "--threads", "1"]


def run(*arguments: str) -> int:
    return main([str(a) for a in arguments])


def ask(capsys: pytest.CaptureFixture, *arguments: str) -> dict:
    """The JSON that a command prints; nothing else may be on stdout."""
    capsys.readouterr()
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The one line with which a command is refused."""
    capsys.readouterr()
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.strip().splitlines()
    return line


def test_models_names_the_built_in_teacher(capsys):
    (model,) = [row for row in ask(capsys, "models") if row["model"] == "digits-dit"]
    assert model["depth"] == {"blocks": 12}
    assert 800_000 < model["parameters"] < 1_200_000


def test_search_writes_a_plan_and_the_model_it_leaves(tiny_folder, tmp_path, capsys):
    out = tmp_path / "search"
    result = ask(
        capsys,
        "search",
        "--model",
        tiny_folder,
        "--pattern",
        "2:4",
        "--steps",
        "4",
        "--seed",
        "1",
        "--out",
        out,
        *SHORT,
    )
    plan = json.loads((out / "plan.json").read_text())
    assert plan["kept"] == result["kept"]
    assert len(plan["kept"]["blocks"]) == 2
    assert (plan["depth"], plan["method"]) == (4, "learned")
    assert len(load_model(str(out)).blocks) == 2
    assert result["run"] == str(out)
    metrics = MetricsReader(out / "metrics.db")
    assert [step for step, _ in metrics.scalars("loss")] == [1, 4]
    assert len(metrics.vectors("keep/blocks")[-1][1]) == 4


def test_equal_seeds_give_equal_searches(tiny_folder, tmp_path, capsys):
    command = ["search", "--model", tiny_folder, "--pattern", "1:2", "--steps", "5", "--seed", "3", *SHORT]
    command += ["--skip", "exact"]  # auto may take another way the second time, which differs by rounding
    first = ask(capsys, *command, "--out", tmp_path / "a")
    second = ask(capsys, *command, "--out", tmp_path / "b")
    assert {**first, "run": ""} == {**second, "run": ""}


@pytest.mark.parametrize("method", ["influence", "oracle", "random"])
def test_prune_by_a_method(method, tiny_folder, tmp_path, capsys):
    result = ask(
        capsys, "prune", "--model", tiny_folder, "--method", method, "--keep", "2", "--out", tmp_path / "p", "--quiet"
    )
    assert result["method"] == method
    assert len(result["kept"]["blocks"]) == 2
    assert result["parameters"] < result["parameters_full"]
    assert json.loads((tmp_path / "p" / "plan.json").read_text())["method"] == method


def test_prune_by_hand_keeps_these_blocks(tiny_folder, tmp_path, capsys):
    result = ask(capsys, "prune", "--model", tiny_folder, "--indices", "3,0,1", "--out", tmp_path / "p", "--quiet")
    assert result["kept"] == {"blocks": [0, 1, 3]}
    full, shallow = load_model(tiny_folder), load_model(str(tmp_path / "p"))
    assert torch.equal(shallow.blocks[2].mlp.fc1.weight, full.blocks[3].mlp.fc1.weight)


def test_a_run_means_the_same_from_another_folder(tiny_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ask(capsys, "prune", "--model", "tiny", "--indices", "0,2", "--out", tmp_path / "cut", "--quiet")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    tuned = ask(capsys, "finetune", "--run", "../cut", "--steps", "1", "--out", tmp_path / "tuned", *SHORT)
    assert tuned["kept"] == {"blocks": [0, 2]}


def test_a_preset_fills_in_what_is_not_given(capsys):
    assert run("search", "--preset", "published", "--steps", "7", "--dry-run") == 0
    config = json.loads(capsys.readouterr().out)
    assert (config["steps"], config["batch_size"], config["lr_weights"]) == (7, 128, 1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_way_from_search_to_samples(family, build_tiny, tmp_path, capsys):
    model = tmp_path / "tiny"
    save_model(build_tiny(family), model, card="# Tiny\n")
    s, f, g, c = (tmp_path / name for name in ("search", "finetune", "sample", "compare"))
    ask(capsys, "search", "--model", model, "--steps", "2", "--out", s, *SHORT)
    assert json.loads((s / "plan.json").read_text())["details"]["pattern"] == "2:4"  # half of every stack
    tuned = ask(capsys, "finetune", "--run", s, "--steps", "3", "--snapshot-every", "2", "--out", f, *SHORT)
    assert {"loss_full", "loss_pruned", "loss_finetuned"} <= tuned.keys()
    assert [p.name for p in sorted((f / "artifacts" / "snapshots").iterdir())] == [
        "0000000.png",
        "0000002.png",
        "0000003.png",
    ]
    drawn = ask(capsys, "sample", "--model", model, "--against", f, "--n", "3", "--steps", "2", "--out", g, "--quiet")
    full, shallow = (sum(row["depth"].values()) for row in drawn["models"])
    assert full == 2 * shallow
    assert all(row["seconds_per_image"] > 0 and 0 <= row["read_correctly"] <= 1 for row in drawn["models"])
    assert (g / "artifacts" / "samples-1.png").read_bytes().startswith(b"\x89PNG")
    methods = "influence,oracle,random"
    compare = ["compare", "--model", model, "--plans", s, "--methods", methods, "--steps", "2", "--out", c, *SHORT]
    table = ask(capsys, *compare)
    assert [row["method"] for row in table["rows"]] == ["learned", *methods.split(",")]
    assert all(row["loss_finetuned"] > 0 and row["speedup"] > 0 for row in table["rows"])


def test_blocks_of_two_stacks_are_named_by_initial_and_number(build_tiny, tmp_path, capsys):
    save_model(build_tiny("mar"), tmp_path / "tiny", card="# Tiny\n")
    cut = ["prune", "--model", tmp_path / "tiny", "--out", tmp_path / "cut", "--quiet", "--indices"]
    assert "e0 to e3" in refusal(capsys, *cut, "e0,d9")
    assert "keep at least one" in refusal(capsys, *cut, "e0,e1")
    assert ask(capsys, *cut, "d3,e0,e2")["kept"] == {"encoder_blocks": [0, 2], "decoder_blocks": [3]}


@pytest.mark.parametrize("kind", [kind for kind in config_types() if kind != "encode"])  # it needs pictures
def test_dry_run_prints_the_config_and_writes_nothing(kind, tiny_folder, tmp_path, capsys, runs):
    cut = ["--model", tiny_folder, "--indices", "0,1"]
    arguments = {"finetune": cut, "recipes": cut, "train": []}
    chosen = arguments.get(kind, ["--model", tiny_folder])
    extra = {"search": ["--pattern", "1:2"], "study": ["exhaustive"]}.get(kind, [])
    assert run(kind, *chosen, *extra, "--dry-run", "--out", tmp_path / "out") == 0
    assert json.loads(capsys.readouterr().out)["kind"] == kind
    assert not (tmp_path / "out").exists() and not runs.exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["search", "--pattern", "5:7"], "patterns that do: 1:2, 1:3, 2:4, 3:6, 6:12"),
        (["search", "--model", "nope"], "digits-dit"),
        (["search", "--steps", "0"], "steps"),
        (["search", "--steps", "many"], "steps"),
        (["search", "--weights", "none"], "'lora', 'full' or 'frozen'"),
        (["search", "--colour", "red"], "--colour"),
        (["prune", "--method", "guess"], "influence, oracle, random, flux-lite"),
        (["prune", "--indices", ""], "0 to 11"),
        (["prune", "--indices", "3,12"], "0 to 11"),
        (["prune", "--indices", "3,3"], "twice"),
        (["prune", "--method", "indices"], "--indices"),
        (["prune", "--method", "oracle", "--keep", "5"], "--keep 6"),
        (["prune", "--keep", "12"], "keep 1 to 11"),
        (["prune", "--plan", "no-such.json"], "no-such.json"),
        (["prune", "--plan", "p.json", "--keep", "3"], "leave out --keep 3"),
        (["prune", "--plan", "p.json", "--method", "random"], "leave out --method random"),
        (["prune", "--plan", "p.json", "--samples", "7"], "leave out --samples 7"),
        (["compare", "--methods", "random,random"], "'random' is named twice"),
        (["search", "--pattern", "1:9999"], "at most 256"),
        (["search", "--pattern", "1:" + 999 * "9"], "N:M"),
        (["finetune"], "--run"),
        (["finetune", "--run", "nothing"], "tinylab runs"),
        (["sample", "--classes", "3,10"], "0 to 9"),
        (["sample", "--sampler", "euler"], "ddpm or ddim"),
        (["train", "--preset", "cats"], "digits-dit, digits-sit, digits-mar, digits-reader"),
        (["search", "--preset", "slow"], "quick, thorough, published"),
        (["compare", "--methods", "indices"], "tinylab prune"),
        (["resume", "nothing"], "tinylab runs"),
        (["resume"], "RUN"),
        (["nonsense"], "nonsense"),
    ],
)  # fmt: skip
def test_a_bad_request_is_one_line_that_names_the_mend(arguments, words, capsys, runs):
    assert words in refusal(capsys, *arguments)
    assert not runs.exists()


def test_a_folder_in_use_is_left_as_it_is(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("precious")
    assert "in use" in refusal(capsys, "prune", "--method", "oracle", "--out", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_written_is_refused(capsys):
    assert "cannot write" in refusal(capsys, "prune", "--method", "oracle", "--out", "/proc/tinylab")


def test_a_truncated_model_is_refused(tiny_folder, capsys):
    weights = Path(tiny_folder) / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "truncated" in refusal(capsys, "prune", "--model", tiny_folder, "--indices", "0")


@pytest.mark.parametrize("number, state", [(signal.SIGTERM, "stopped"), (signal.SIGKILL, "interrupted")])
def test_a_search_that_was_ended_goes_on_as_if_it_had_not(number, state, tiny_folder, tmp_path, capsys):
    command = ["search", "--model", tiny_folder, "--pattern", "2:4", "--steps", "40", "--checkpoint-every", "4"]
    command += ["--log-every", "5", "--skip", "exact", *SHORT]
    out = tmp_path / "a"
    ended = run_job([*command, "--out", str(out)], out, Moment(r"^sql commit", 4, number))
    assert ended.code == (130 if number == signal.SIGTERM else -number)
    assert 1 < len(MetricsReader(out / "metrics.db").scalars("loss")) < 9
    listed = {row["run"]: row for row in _runs_in(tmp_path, capsys)}
    assert listed["a"]["state"] == state
    resumed = ask(capsys, "resume", tmp_path / "a", "--quiet")
    straight = ask(capsys, *command, "--out", tmp_path / "b")
    assert {**resumed, "run": ""} == {**straight, "run": ""}
    for name in ("scalars", "vectors"):
        wanted, found = (getattr(MetricsReader(tmp_path / r / "metrics.db"), name) for r in "ba")
        for metric in ("loss", "keep/blocks"):
            assert found(metric) == wanted(metric)


def _runs_in(folder: Path, capsys: pytest.CaptureFixture) -> list[dict]:
    old = os.environ["TINYLAB_RUNS"]
    os.environ["TINYLAB_RUNS"] = str(folder)
    try:
        return ask(capsys, "runs")
    finally:
        os.environ["TINYLAB_RUNS"] = old


def test_a_full_disk_is_said_and_nothing_good_is_lost(tiny_folder, tmp_path, capsys):
    """On a file system of two megabytes the search cannot finish; with room it goes on from where it was."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        command = ["search", "--model", tiny_folder, "--pattern", "2:4", "--steps", "60", "--checkpoint-every", "10"]
        assert run(*command, "--out", small / "run", *SHORT) == 1
        assert "the disk is full" in capsys.readouterr().err
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        assert ask(capsys, "resume", small / "run", "--quiet")["kept"]
    finally:
        subprocess.run(["umount", str(small)], check=False)
