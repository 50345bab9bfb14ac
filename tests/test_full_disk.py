"""A disk that is full: one clear line, the last good checkpoint, no litter, and the same end once there is room."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from killed_jobs import FINETUNE, SHORT, Ending, Moment, in_child, resume_command, run_job, save_tiny
from run_contents import checkpoints_of, differences, leftovers
from small_disk import mount_small, resize

from tinylab.cli import main
from tinylab.runs.run import Run, Status
from tinylab.training.checkpointing import latest_checkpoint

pytestmark = pytest.mark.slow

JOB = (*FINETUNE, "--steps", "6", "--snapshot-every", "2", *SHORT)
ROOM = 64 * 2**20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tiny model in it, and a run that had all the room it wanted."""
    folder = tmp_path_factory.mktemp("home")
    save_tiny(folder / "tiny")
    assert run_job(command(folder, folder / "reference"), folder / "reference").code == 0
    yield folder


def command(home: Path, out: Path) -> list[str]:
    return [*JOB, "--model", str(home / "tiny"), "--out", str(out)]


def check_failed(folder: Path, ending: Ending, problem: str) -> None:
    """The line, the status, the exit status, and nothing half-written."""
    line = f"{problem}; free some space, then `tinylab resume {folder}`"
    assert (ending.code, ending.said[-1]) == (1, f"tinylab: {line}")
    assert "Traceback" not in "\n".join(ending.said)
    status = Run.open(folder).status()
    assert (status.state, status.message) == ("failed", problem + "; free some space and resume")
    assert leftovers(folder) == []


FULL_FROM = [
    (Moment(r"^tensors checkpoints", 1, full=True), []),
    (Moment(r"^create checkpoints/.step-000000004-#.part/MANIFEST.json", full=True), ["step-000000002"]),
    (Moment(r"^fsync checkpoints/.step-000000006-", full=True), ["step-000000002", "step-000000004"]),
    (Moment(r"^create artifacts/snapshots/.0000004", full=True), ["step-000000002"]),
    (Moment(r"^tensors .model-", full=True), ["step-000000004", "step-000000006"]),
    (Moment(r"^create artifacts/.result.json", full=True), ["step-000000004", "step-000000006"]),
]


@pytest.mark.parametrize(("moment", "kept"), FULL_FROM, ids=lambda value: getattr(value, "pattern", None))
def test_full_from_some_moment_on(moment: Moment, kept: list[str], home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    check_failed(folder, run_job(command(home, folder), folder, moment), "the disk is full")
    assert checkpoints_of(folder) == kept
    assert run_job(resume_command(folder), folder).code == 0
    assert differences(folder, home / "reference") == []


def test_full_while_the_folder_is_made_leaves_none(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ending = run_job(command(home, folder), folder, Moment(r"^fsync .config.json", full=True))
    assert (ending.code, ending.said) == (1, ["tinylab: the disk is full; free some space and start again"])
    assert not folder.exists()


def test_a_limit_on_the_size_of_files_is_told_from_a_full_disk(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ending = run_job(command(home, folder), folder, largest=200_000)  # a checkpoint is larger, all else is not
    check_failed(folder, ending, "a file grew beyond what is allowed here (see `ulimit -f`)")
    assert run_job(resume_command(folder), folder).code == 0
    assert differences(folder, home / "reference") == []


@dataclass(frozen=True)
class Story:
    """What happened on a small disk: how a job ended, what it left, and how it ended once there was room."""

    failed: Ending
    status: Status
    checkpoint: int
    left: list[str]
    resumed: Ending


def spoken(arguments: list[str]) -> Ending:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main(arguments)
    return Ending(code, said.getvalue().splitlines(), [])


def on_small_disk(disk: Path, size: int, arguments: list[str], keep: Path) -> Story | None:
    """Run a job on a disk of `size` bytes, resume it with more room, copy the run to `keep`; None if it all fits."""
    mount_small(disk, size)
    folder = disk / "run"
    ending = spoken(arguments)
    if ending.code == 0:
        return None
    run = Run.open(folder)
    status, left, found = run.status(), leftovers(folder), latest_checkpoint(run.checkpoints)
    resize(disk, ROOM)
    resumed = spoken(resume_command(folder))
    shutil.copytree(folder, keep)
    return Story(ending, status, found.step if found else 0, left, resumed)


def test_real_disks_that_fill_up_sooner_or_later(home: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    one = sum(file.stat().st_size for file in (home / "reference/checkpoints/step-000000006").iterdir())
    reached = []
    for number in range(1, 8):  # from room for the metrics alone to room for three checkpoints and the model
        keep = tmp_path / f"kept-{number}"
        try:
            story = in_child(on_small_disk, disk, 80_000 + number * one // 2, command(home, disk / "run"), keep)
        except OSError as error:
            pytest.skip(f"no file system of its own here: {error}")
        if story is None:
            break
        line = f"tinylab: the disk is full; free some space, then `tinylab resume {disk / 'run'}`"
        assert (story.failed.code, story.failed.said[-1]) == (1, line)
        assert (story.status.state, story.status.message) == ("failed", "the disk is full; free some space and resume")
        assert (story.left, story.resumed.code) == ([], 0)
        assert differences(keep, home / "reference") == []
        reached.append(story.checkpoint)
    assert reached == sorted(reached)
    assert {0, 2, 4} <= set(reached)
