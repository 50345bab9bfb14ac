"""How much room runs take, and that thinning drops what nobody needs and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from packed_runs import full_run
from run_contents import differences
from run_folders import make_run

from tinylab.cli import main
from tinylab.config import FinetuneConfig, SearchConfig
from tinylab.errors import BadRequest
from tinylab.jobs.execute import execute, start_run
from tinylab.runs.disk import disk_use, folder_bytes, thin, usage
from tinylab.runs.run import Run, own_process
from tinylab.runs.trash import delete


def checkpoint(folder: Path, step: int, *, whole: bool = True) -> Path:
    """A checkpoint as the loop writes it; its tensors do not matter here."""
    path = folder / f"step-{step:09d}"
    path.mkdir(parents=True)
    (path / "state.safetensors").write_bytes(bytes(1000))
    digest = sha256(bytes(1000 if whole else 999)).hexdigest()
    (path / "MANIFEST.json").write_text(json.dumps({"step": step, "sha256": digest}))
    return path


def test_every_byte_is_counted_once(runs: Path) -> None:
    run = full_run(runs)
    found = usage(run)
    sizes = {path: path.stat().st_size for path in run.path.rglob("*") if path.is_file()}
    assert found.total == sum(sizes.values()) == folder_bytes(run.path)
    for part, folder in (("model", run.model_path), ("checkpoints", run.checkpoints), ("artifacts", run.artifacts)):
        assert getattr(found, part) == sum(size for path, size in sizes.items() if folder in path.parents)
    assert found.metrics == run.metrics_path.stat().st_size
    (run.artifacts / "loop").symlink_to(run.path)
    assert usage(run).total < found.total + 1000


def test_runs_trash_and_the_rest_are_told_apart(runs: Path) -> None:
    kept, gone = full_run(runs), full_run(runs, "search-2")
    size = folder_bytes(gone.path)
    delete(gone)
    (runs / "uploads").mkdir()
    (runs / "uploads" / "x").write_bytes(bytes(77))
    found = disk_use()
    assert (found.runs, found.trash, found.other) == (folder_bytes(kept.path), size, 77)
    assert found.free > 0


def test_finished_run_needs_no_checkpoints(runs: Path) -> None:
    run = full_run(runs)
    before, part = usage(run), usage(run).checkpoints
    assert thin(run) == part > 0
    assert usage(run) == replace(before, checkpoints=0)
    assert run.checkpoints.is_dir() and thin(run) == 0


@pytest.mark.parametrize("state", ["stopped", "interrupted", "failed"])
def test_run_that_can_go_on_keeps_the_newest_of_each_training(runs: Path, state: str) -> None:
    run = make_run(runs, SearchConfig.create(), "search-1", state=state)
    below = run.checkpoints / "warm-start"
    old = [checkpoint(run.checkpoints, 1), checkpoint(run.checkpoints, 2), checkpoint(below, 1)]
    kept = [checkpoint(run.checkpoints, 3), checkpoint(below, 5), checkpoint(run.checkpoints / "seed-1", 4)]
    (run.checkpoints / "way.json").write_text("{}")
    assert thin(run) == 3 * folder_bytes(old[0]) or all(not path.exists() for path in old)
    assert not any(path.exists() for path in old) and all(path.is_dir() for path in kept)
    assert (run.checkpoints / "way.json").exists()


def test_damaged_checkpoint_is_no_reason_to_drop_a_whole_one(runs: Path) -> None:
    run = make_run(runs, SearchConfig.create(), "search-1", state="stopped")
    oldest, whole = checkpoint(run.checkpoints, 1), checkpoint(run.checkpoints, 2)
    damaged = checkpoint(run.checkpoints, 3, whole=False)
    thin(run)
    assert not oldest.exists() and whole.exists() and damaged.exists()
    for path in (whole, damaged):
        (path / "state.safetensors").unlink()
    assert thin(run) == 0 and whole.exists()


def test_run_at_work_is_not_thinned(runs: Path) -> None:
    run = full_run(runs, state="running", **own_process())
    with pytest.raises(BadRequest, match="stop it, then thin it"):
        thin(run)
    assert usage(run).checkpoints > 0


def stop_after(run: Run, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute a run up to a step, as if somebody asked it to stop there."""
    from tinylab.errors import Stopped
    from tinylab.jobs.context import JobContext

    def should_stop(self: Any) -> bool:
        return self._status.step >= step

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(JobContext, "should_stop", should_stop)
        execute(run, quiet=True)


def test_thinned_run_is_resumed_to_the_very_same_end(
    tiny_folder: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = {"batch_size": 8, "threads": 1, "log_every": 1, "checkpoint_every": 1, "scored_samples": 0}
    config = FinetuneConfig.create(model=tiny_folder, indices=(0, 2), steps=6, snapshot_every=0, **common)
    straight, thinned = start_run(config), start_run(config)
    execute(straight, quiet=True)
    stop_after(thinned, 4, monkeypatch)
    assert thin(thinned) > 0 and len(list(thinned.checkpoints.glob("step-*"))) == 1
    execute(thinned, quiet=True)
    assert [key for key in differences(thinned.path, straight.path) if not key.startswith("checkpoints/")] == []


def test_finished_search_that_was_thinned_is_still_built_on(tiny_folder: str, runs: Path) -> None:
    common = {"batch_size": 8, "threads": 1}
    search = start_run(SearchConfig.create(model=tiny_folder, pattern="1:2", steps=2, **common))
    execute(search, quiet=True)
    assert thin(search) > 0
    tuned = start_run(FinetuneConfig.create(run=search.id, steps=2, scored_samples=0, snapshot_every=0, **common))
    assert execute(tuned, quiet=True)["loss_finetuned"] > 0
    assert thin(tuned) > 0 and execute(tuned) == tuned.result()


def test_commands_tell_and_thin(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = full_run(runs)
    part = usage(run).checkpoints
    assert main(["disk", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"] == [{"run": run.id, **vars(usage(run)), "total": usage(run).total}]
    assert told["together"]["runs"] == usage(run).total
    assert main(["thin", run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"freed": {run.id: part}}
    assert main(["thin", run.id]) == 0 and "nothing to drop" in capsys.readouterr().out
    assert main(["disk"]) == 0 and "together: runs" in capsys.readouterr().err
