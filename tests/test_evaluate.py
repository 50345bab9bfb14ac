"""The job that scores samples: what it draws, keeps, compares and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinylab.cli import main
from tinylab.config import EvaluateConfig
from tinylab.errors import BadRequest, Stopped
from tinylab.jobs.admission import check
from tinylab.jobs.context import JobContext
from tinylab.jobs.execute import execute, start_run
from tinylab.runs.run import Run

QUICK: dict[str, Any] = {"n": 24, "steps": 2, "batch_size": 10, "resamples": 0, "threads": 1, "device": "cpu"}


def evaluated(path: Path, **values: Any) -> Run:
    run = start_run(EvaluateConfig.create(**{**QUICK, **values}), path)
    execute(run, quiet=True)
    return run


def samples(run: Run, index: int = 0) -> np.ndarray:
    with np.load(run.artifacts / f"images-{index}.npz", allow_pickle=False) as stored:
        return stored["arr_0"]


@pytest.mark.parametrize(
    ("model", "sampler", "steps"), [("digits-dit", "ddpm", 2), ("digits-sit", "euler", 2), ("digits-mar", "masked", 2)]
)
def test_every_family_is_drawn_and_scored(tmp_path: Path, model: str, sampler: str, steps: int) -> None:
    run = evaluated(tmp_path / "e", model=model, resamples=20)
    result = run.result()
    (row,) = result["rows"]
    assert (row["label"], row["images"], row["drawn"]) == (model, 24, True)
    assert (row["setting"]["sampler"], row["setting"]["steps"], row["setting"]["classes"]) == (sampler, steps, 10)
    assert list(row["scores"]) == ["fid", "kid", "is", "precision", "recall", "accuracy"]
    for name, score in row["scores"].items():
        assert score["low"] <= score["value"] <= score["high"], name
    assert result["reference"] | {"hash": ""} == {"name": "digits", "images": 1797, "hash": ""}
    assert result["extractor"]["name"] == "digit-reader"
    assert result["floor"]["images"] == [899, 898]
    assert result["floor"]["scores"]["fid"]["value"] < row["scores"]["fid"]["value"]
    assert any("biased upwards" in line for line in result["warnings"])
    assert samples(run).shape == (24, 8, 8, 3)
    assert (run.artifacts / row["png"]).read_bytes().startswith(b"\x89PNG")
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.name == f"{result['reference']['hash']}-digit-reader-{result['extractor']['hash']}.safetensors"


def test_a_set_against_itself_has_no_distance(tmp_path: Path, tiny_folder: str) -> None:
    drawn = evaluated(tmp_path / "drawn", model=tiny_folder)
    file = str(drawn.artifacts / "images-0.npz")
    run = evaluated(tmp_path / "same", images=(file,), reference=file, extractor="digit-reader")
    (row,) = run.result()["rows"]
    assert (row["drawn"], row["setting"], row["images"]) == (False, None, 24)
    assert row["scores"]["fid"]["value"] == 0
    assert row["scores"]["kid"]["value"] <= 0
    assert (row["scores"]["precision"]["value"], row["scores"]["recall"]["value"]) == (1, 1)
    assert row["scores"]["accuracy"]["value"] == drawn.result()["rows"][0]["scores"]["accuracy"]["value"]


def test_samples_do_not_depend_on_what_they_are_drawn_beside(tmp_path: Path, tiny_folder: str) -> None:
    alone = evaluated(tmp_path / "alone", model="digits-dit")
    beside = evaluated(tmp_path / "beside", model=tiny_folder, against=("digits-dit",))
    assert np.array_equal(samples(alone), samples(beside, 1))
    assert [row["label"] for row in beside.result()["rows"]] == ["tiny", "digits-dit"]


def test_a_stopped_job_keeps_its_batches_and_ends_as_one_that_was_not(tmp_path: Path, monkeypatch) -> None:
    whole = evaluated(tmp_path / "whole", model="digits-dit")
    stopped = start_run(EvaluateConfig.create(**QUICK, model="digits-dit"), tmp_path / "stopped")
    with monkeypatch.context() as patch:
        patch.setattr(JobContext, "should_stop", lambda context: True)
        with pytest.raises(Stopped):
            execute(stopped, quiet=True)
    (first,) = (stopped.checkpoints / "samples" / "0").glob("batch-*.npz")
    written = first.stat().st_mtime_ns
    execute(stopped, quiet=True)
    assert first.stat().st_mtime_ns == written
    assert np.array_equal(samples(whole), samples(stopped))
    found, wanted = ([row | {"seconds_per_image": 0} for row in run.result()["rows"]] for run in (stopped, whole))
    assert found == wanted


def test_two_processes_draw_what_one_does(tmp_path: Path) -> None:
    one = evaluated(tmp_path / "one", model="digits-dit", metrics=("fid",))
    words = ["--model", "digits-dit", "--metrics", "fid", "--n", "24", "--steps", "2", "--batch-size", "10"]
    words += ["--resamples", "0", "--threads", "1", "--quiet", "--out", str(tmp_path / "two"), "--json"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m"]
    done = subprocess.run(
        [*launcher, "--", "tinylab", "evaluate", *words],  # without the two dashes torchrun takes --n for its own
        env=os.environ | {"ACCELERATE_USE_CPU": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["rows"][0]["scores"] == one.result()["rows"][0]["scores"]
    assert result["rows"][0]["seconds_per_image"] is None  # two at once on one machine tell nothing
    assert np.array_equal(samples(Run.open(tmp_path / "two")), samples(one))


def test_pictures_without_classes_are_scored_without_accuracy(tmp_path: Path, tiny_folder: str) -> None:
    run = evaluated(tmp_path / "drawn", model=tiny_folder, pictures=True)
    folder = run.artifacts / run.result()["rows"][0]["pictures"]
    assert len(list(folder.iterdir())) == 24
    file = tmp_path / "bare.npz"
    np.savez(file, arr_0=samples(run))
    found = evaluated(tmp_path / "bare", images=(str(file), str(folder)), reference="digits").result()["rows"]
    assert [row["label"] for row in found] == ["bare.npz", "pictures-0"]
    assert all("accuracy" not in row["scores"] for row in found)
    assert found[0]["scores"] == found[1]["scores"]


def test_a_cache_over_steps_is_named_in_the_setting_and_changes_samples(tmp_path: Path) -> None:
    plain, cached = (
        evaluated(tmp_path / name, model="digits-dit", cache=name, steps=4, metrics=("fid",))
        for name in ("none", "interval:2")
    )
    assert cached.result()["rows"][0]["setting"]["cache"] == "interval:2"
    assert not np.array_equal(samples(plain), samples(cached))


def test_a_damaged_batch_is_said_with_its_mend(tmp_path: Path) -> None:
    run = start_run(EvaluateConfig.create(**QUICK, model="digits-dit"), tmp_path / "e")
    folder = run.checkpoints / "samples" / "0"
    folder.mkdir(parents=True)
    (folder / "batch-000001.npz").write_bytes(b"PK half")
    with pytest.raises(Exception, match="batch-000001.npz is damaged; delete it and resume: that batch is drawn again"):
        execute(run, quiet=True)
    assert run.status().state == "failed"
    (folder / "batch-000001.npz").unlink()
    execute(run, quiet=True)
    assert run.result()["rows"][0]["images"] == 24


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"against": ("digits-sit",), "images": ("x.npz",)}, "--against goes with --model"),
        ({"model": "digits-dit", "sampler": "euler"}, "'euler' does not fit"),
        ({"images": ("nowhere.npz",)}, "--images nowhere.npz: nothing is there"),
        ({"model": "digits-dit", "reference": "nowhere"}, "--reference nowhere: nothing is there"),
        ({"model": "digits-dit", "metrics": ("fid", "lpips")}, "unknown metric 'lpips'"),
        ({"model": "digits-dit", "metrics": ("sfid",)}, "digit-reader gives no sfid; choose of: fid, kid"),
        ({"model": "digits-dit", "extractor": "vgg"}, "unknown extractor 'vgg'"),
        ({"model": "digits-dit", "weights": "."}, "the digit reader has its own weights"),
        ({"model": "digits-dit", "cache": "often"}, "unknown cache 'often'"),
        ({"model": "digits-mar", "cache": "interval:2"}, "leave out the cache"),
        ({"model": "digits-dit", "guidance_schedule": "linear"}, "digits-dit is none"),
        ({"model": "digits-dit", "classes": ("eleven",)}, "eleven"),
    ],
)
def test_what_cannot_be_scored_is_one_line(values: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        check(EvaluateConfig.create(**values))


def test_latents_need_an_autoencoder_and_digits_for_the_reader(build_tiny: Any, tmp_path: Path) -> None:
    from tinylab.models.load import save_model

    save_model(build_tiny("dit", in_channels=4), tmp_path / "latent", card="# Tiny\n")
    save_model(build_tiny("dit", in_channels=3), tmp_path / "colour", card="# Tiny\n")
    with pytest.raises(BadRequest, match="latent draws latents; name the autoencoder .* with --vae DIR"):
        check(EvaluateConfig.create(model=str(tmp_path / "latent"), reference="digits"))
    with pytest.raises(BadRequest, match="name the real data with --reference FILE"):
        check(EvaluateConfig.create(model=str(tmp_path / "colour")))
    with pytest.raises(BadRequest, match="the digit reader sees 8x8 digits and .*colour draws others"):
        check(EvaluateConfig.create(model=str(tmp_path / "colour"), reference="digits"))


def test_missing_weights_say_where_to_get_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    assert main(["evaluate", "--extractor", "inception-v3", "--n", "4", "--steps", "1", "--quiet"]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--weights FILE" in line
    assert "pt_inception" in line or "weights-inception" in line
