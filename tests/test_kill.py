"""Jobs killed with SIGKILL at moments of all kinds, and resumed: the end is that of a job that was never killed.

Every child is forked from a process that has imported everything, so that a kill costs a second. `make soak` kills
more often, and at random.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from killed_jobs import FINETUNE, SHORT, Moment, resume_command, run_job, save_tiny
from run_contents import checkpoints_of, differences, leftovers

from tinylab.runs.run import Run

pytestmark = pytest.mark.slow

JOBS = {
    "finetune": (*FINETUNE, "--steps", "6", "--snapshot-every", "2", *SHORT),
    "search": ("search", "--weights", "lora", "--skip", "exact", "--steps", "6", *SHORT),
    "seeds": ("search", "--seeds", "0-1", "--weights", "frozen", "--skip", "exact", "--steps", "4", *SHORT),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model in it, and the runs that nobody killed."""
    folder = tmp_path_factory.mktemp("home")
    save_tiny(folder / "tiny")
    return folder


def command(home: Path, job: str, out: Path) -> list[str]:
    return [*JOBS[job], "--model", str(home / "tiny"), "--out", str(out)]


def reference(home: Path, job: str) -> Path:
    """The run of a job that was never killed."""
    folder = home / job
    if not folder.exists():
        ending = run_job(command(home, job, folder), folder)
        assert ending.code == 0, ending.said
    return folder


def kill(home: Path, job: str, folder: Path, moment: Moment) -> str:
    """Start a job, or let it go on, and kill it; what it was about to do."""
    begun = (folder / "config.json").exists()
    ending = run_job(resume_command(folder) if begun else command(home, job, folder), folder, moment)
    assert ending.killed, ending.said
    return ending.events[-1]


def finish(folder: Path) -> None:
    ending = run_job(resume_command(folder), folder)
    assert ending.code == 0, ending.said


def kill_and_finish(home: Path, job: str, folder: Path, moments: Sequence[Moment]) -> None:
    for moment in moments:
        kill(home, job, folder, moment)
        assert Run.open(folder).status().state in ("created", "interrupted")
    finish(folder)
    assert differences(folder, reference(home, job)) == []
    assert leftovers(folder) == []


BEFORE_THE_FIRST_STEP = [
    Moment(r"^replace status.json", 2),  # the second is the job's own
    Moment(r"^replace artifacts/snapshots/0000000.png"),
]
IN_A_SAVE = [
    Moment(r"^written checkpoints/"),  # half of the tensors are missing
    Moment(r"^create checkpoints/.*MANIFEST"),
    Moment(r"^replace checkpoints/step-000000004"),
    Moment(r"^fsync checkpoints$", 2),  # the new one is there, those before it are not removed yet
]
BETWEEN_SAVES = [
    Moment(r"^sql insert", 2),
    Moment(r"^sql commit", 4),
    Moment(r"^fsync \.status.json", 2),
]
AT_THE_END = [
    Moment(r"^replace checkpoints/step-000000006"),
    Moment(r"^written \.model-"),
    Moment(r"^fsync \.$"),  # the model is there, its folder not flushed
    Moment(r"^replace artifacts/result.json"),
    Moment(r"^sql pragma journal_mode=delete"),
]


def test_a_fine_tuning_killed_before_its_first_step(home: Path, tmp_path: Path) -> None:
    kill_and_finish(home, "finetune", tmp_path / "run", BEFORE_THE_FIRST_STEP)


@pytest.mark.parametrize("job", ["finetune", "search"])
def test_killed_in_saves(job: str, home: Path, tmp_path: Path) -> None:
    kill_and_finish(home, job, tmp_path / "run", IN_A_SAVE)


def test_a_search_killed_between_saves_and_at_its_end(home: Path, tmp_path: Path) -> None:
    kill_and_finish(home, "search", tmp_path / "run", [*BETWEEN_SAVES, *AT_THE_END])


def test_a_search_with_several_seeds_killed_in_the_second_keeps_what_both_recorded(home: Path, tmp_path: Path) -> None:
    kill_and_finish(home, "seeds", tmp_path / "run", [Moment(r"^sql commit", 9)])


def test_killed_at_random(home: Path, tmp_path: Path) -> None:
    chance, folder = random.Random(0), tmp_path / "run"
    for _ in range(3):  # from the first status on it computes, and so it goes on for more than this
        kill(home, "finetune", folder, Moment(r"^replace status.json", 1, delay=chance.uniform(0, 0.2)))
    finish(folder)
    assert differences(folder, reference(home, "finetune")) == []


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_killed_and_then_the_newest_checkpoint_damaged(damage: str, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    kill(home, "finetune", folder, Moment(r"^mkdir checkpoints/.step-000000006-"))
    assert checkpoints_of(folder) == ["step-000000002", "step-000000004"]
    file = folder / "checkpoints" / "step-000000004" / "state.safetensors"
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    file.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    finish(folder)
    assert differences(folder, reference(home, "finetune")) == []


def test_killed_while_its_folder_is_made_it_is_no_run_and_can_be_started_again(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert kill(home, "search", folder, Moment(r"^replace config.json")) == "replace config.json"
    assert run_job(resume_command(folder), folder).code == 2
    refused = run_job(command(home, "search", folder), folder)
    assert refused.code == 2
    assert refused.said[-1].endswith("choose another folder for --out, or delete it first")
