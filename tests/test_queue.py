"""The line: who is next, how long it takes, and how many devices there are. Orders and times are worked out by hand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from run_folders import make_run

from tinylab.cli import main
from tinylab.config import CompareConfig, EvaluateConfig, JobConfig, PruneConfig, SearchConfig
from tinylab.errors import BadRequest
from tinylab.launch import devices as machine
from tinylab.launch.devices import devices, visible_to
from tinylab.launch.queue import Job, Paces, Place, place_of, queued_runs, read_queue, turns, work_of
from tinylab.runs.owner import write_owner
from tinylab.runs.run import Run, Status, own_process
from tinylab.runs.status import own_slot


@pytest.fixture(autouse=True)
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLAB_DEVICES", "1")


def played(waiting: list[Job], working: list[Job], used: dict[str, float], slots: int = 1) -> list[Any]:
    return [(turn.index, turn.starts) for turn in turns(waiting, working, used, slots)]


# Who is next


def test_of_three_owners_the_one_that_computed_least_is_next() -> None:
    waiting = [Job("ann", 30, 1), Job("bob", 20, 2), Job("bob", 20, 3), Job("cem", 60, 4)]
    # Ann's job ends at 100: she has had 100 s, Bob 50, Cem 10. Cem computes till 160 and has had 70, Bob 50. Bob's
    # first ends at 180, at 70: less than Ann's 100. So does his second, at 200, and 90 are less still.
    found = played(waiting, [Job("ann", 100)], {"ann": 0, "bob": 50, "cem": 10})
    assert found == [(3, 100), (1, 160), (2, 180), (0, 200)]


def test_who_has_a_job_at_work_comes_after_who_has_none() -> None:
    waiting = [Job("ann", 10, 1), Job("ann", 10, 2), Job("bob", 10, 3)]
    assert played(waiting, [], {"bob": 3000}, slots=2) == [(0, 0), (2, 0), (1, 10)]


def test_of_owners_that_are_equal_the_one_that_waits_longest_is_next() -> None:
    assert played([Job("ann", 5, 9), Job("bob", 5, 8), Job("", 5, 7)], [], {}) == [(2, 0), (1, 5), (0, 10)]


def test_the_runs_of_one_owner_start_as_they_came() -> None:
    assert played([Job("ann", 1, 3), Job("ann", 2, 1), Job("ann", 4, 2)], [], {}) == [(1, 0), (2, 2), (0, 6)]


def test_many_runs_of_one_owner_keep_nobody_waiting() -> None:
    crowd = [Job("ann", 10, number) for number in range(50)]
    order = [index for index, _ in played([*crowd, Job("bob", 10, 99)], [Job("ann", 10)], {})]
    assert order == [50, *range(50)]


def test_a_start_is_told_only_where_all_before_it_are_known() -> None:
    waiting = [Job("ann", 10, 1), Job("bob", None, 2), Job("cem", 10, 3)]
    assert played(waiting, [Job("dan", 7)], {}) == [(0, 7), (1, 17), (2, None)]
    assert [starts for _, starts in played(waiting, [Job("dan", None)], {})] == [None] * 3
    assert played(waiting[:1], [], {}) == [(0, 0)]


def test_more_jobs_at_work_than_devices_are_waited_for() -> None:
    assert played([Job("ann", 1)], [Job("", 5), Job("", 9), Job("", 7)], {}, slots=2) == [(0, 7)]


# From run folders


def search(**values: Any) -> SearchConfig:
    return SearchConfig.create(steps=100, **values)


def owned(runs: Path, name: str, owner: str, config: JobConfig | None = None, **status: Any) -> Run:
    run = make_run(runs, config or PruneConfig.create(indices=(0,)), name, **status)
    write_owner(run.path, owner)
    return run


def at_work(runs: Path, name: str = "busy", owner: str = "", **status: Any) -> Run:
    later = time.time() + 10_000  # a heartbeat that stays fresh for as long as a test may take
    return owned(runs, name, owner, state="running", heartbeat=later, **{**own_process(), **status})


def ids(found: list[Run] | tuple[Run, ...]) -> list[str]:
    return [run.id for run in found]


def test_the_last_hour_of_each_owners_runs_decides(runs: Path) -> None:
    now = time.time()
    at_work(runs, owner="dan")
    owned(runs, "old", "ann", seconds=9000.0, heartbeat=now - 4000)  # over before the last hour
    owned(runs, "long", "bob", seconds=9000.0, heartbeat=now - 3000)  # 600 s of it within
    owned(runs, "short", "cem", seconds=300.0, heartbeat=now - 10)
    for at, owner in enumerate(("bob", "cem", "ann", "dan")):
        owned(runs, f"{owner}-1", owner, state="queued", queued=now + at)
    assert ids(queued_runs()) == ["ann-1", "cem-1", "bob-1", "dan-1"]


def test_time_to_wait_is_what_is_at_work_and_what_goes_before(runs: Path) -> None:
    # Seconds a step of finished searches: 2, 4 and 10, so 4 in the middle; one of another model does not count.
    for number, seconds in enumerate((200.0, 400.0, 1000.0)):
        make_run(runs, search(), f"done{number}", seconds=seconds, step=100, steps=100)
    make_run(runs, search(model="digits-dit-deep"), "other", seconds=9999.0, step=100, steps=100)
    owned(
        runs, "busy", "dan", search(), state="running", seconds_left=30.0, heartbeat=time.time() + 1e4, **own_process()
    )
    first = make_run(runs, search(), "first", state="queued", queued=1.0)
    resumed = make_run(runs, search(), "resumed", state="queued", queued=2.0, step=75, steps=100)
    longer = make_run(runs, SearchConfig.create(steps=50), "longer", state="queued", queued=3.0)
    last = make_run(runs, search(), "last", state="queued", queued=4.0)
    # 30 s of what is at work, then 400 s, then a quarter of 400 s, then half of 400 s.
    assert place_of(first) == Place(1, 1, 30.0)
    assert place_of(resumed) == Place(2, 2, 430.0)
    assert place_of(longer) == Place(3, 3, 530.0)
    assert place_of(last) == Place(4, 4, 730.0)


def test_nothing_is_told_of_what_was_never_done_before(runs: Path) -> None:
    at_work(runs, seconds_left=5.0)
    first = make_run(runs, search(), "first", state="queued", queued=1.0)
    second = make_run(runs, search(), "second", state="queued", queued=2.0)
    assert (place_of(first), place_of(second)) == (Place(1, 1, 5.0), Place(2, 2, None))


def test_only_who_waits_has_a_place(runs: Path, tmp_path: Path) -> None:
    busy = at_work(runs)
    done = make_run(runs, search(), "done")
    elsewhere = make_run(tmp_path / "elsewhere", search(), "queued", state="queued")
    assert [place_of(run) for run in (busy, done, elsewhere, Run(runs / "none"))] == [None] * 4
    assert queued_runs() == []


def test_a_run_that_leaves_the_line_lets_the_next_one_up(runs: Path) -> None:
    at_work(runs, seconds_left=5.0)
    first, second = (make_run(runs, search(), name, state="queued", queued=1.0) for name in ("a", "b"))
    assert place_of(second) == Place(2, 2, None)
    first.write_status(Status(state="stopped"))
    assert read_queue().place(second) == Place(1, 1, 5.0)


def test_a_damaged_run_is_passed_over(runs: Path) -> None:
    make_run(runs, search(), "hurt", state="queued", queued=1.0)
    make_run(runs, search(), "sound", state="queued", queued=2.0)
    (runs / "hurt" / "status.json").write_text("{")
    assert ids(read_queue().waiting) == ["sound"]


@pytest.mark.parametrize(
    ("slots", "expected"),
    [([0], (1, 2)), ([2], (0, 1)), ([-1], (1, 2)), ([0, -1], (2,)), ([7], (1, 2)), ([1, 1], (2,)), ([0, 1, 2], ())],
)
def test_free_devices(runs: Path, monkeypatch: pytest.MonkeyPatch, slots: list[int], expected: tuple[int]) -> None:
    monkeypatch.setenv("TINYLAB_DEVICES", "3")
    for number, slot in enumerate(slots):
        at_work(runs, f"busy{number}", slot=slot)
    assert read_queue().free == expected


def test_runs_lists_places_in_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at_work(runs, seconds_left=300.0)
    make_run(runs, search(), "first", state="queued", queued=1.0)
    make_run(runs, search(), "second", state="queued", queued=2.0)
    assert main(["runs", "--json"]) == 0
    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["first"]["state"], rows["first"]["message"]) == ("queued", "place 1 in line, starts in about 5 min")
    assert rows["second"]["message"] == "place 2 in line"


def test_a_status_from_before_there_was_a_line_is_read(runs: Path) -> None:
    run = make_run(runs, search(), "old")
    (run.path / "status.json").write_text('{"state": "stopped", "step": 3}')
    assert (run.status().queued, run.status().slot) == (0.0, -1)


# How long a job takes


def test_the_middle_of_the_newest_five_counts() -> None:
    paces = [1.0, 1.0, 1.0, 7.0, 8.0, 9999.0]  # newest first
    known = Paces((search(), Status(state="finished", seconds=pace * 100)) for pace in paces)
    assert known.left(search(), Status()) == pytest.approx(100)
    assert known.left(search(model="other"), Status()) is None


def test_only_finished_runs_tell_how_long_one_takes() -> None:
    states = ("stopped", "failed", "interrupted", "running", "queued")
    assert Paces((search(), Status(state=state, seconds=5.0)) for state in states).left(search(), Status()) is None


@pytest.mark.parametrize(
    ("less", "more", "times"),
    [
        (search(batch_size=4), search(batch_size=16), 4),
        (search(), search(seeds=(1, 2, 3)), 3),
        (EvaluateConfig.create(n=100, steps=10), EvaluateConfig.create(n=300, steps=20), 6),
        (CompareConfig.create(methods=("influence",)), CompareConfig.create(methods=("influence", "oracle")), 1.5),
    ],
)
def test_time_grows_with_what_is_asked_for(less: JobConfig, more: JobConfig, times: float) -> None:
    assert work_of(more) / work_of(less) == times


# Devices


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine whose driver knows so many GPUs; the setting is gone."""

    def have(count: int) -> None:
        driver = tmp_path / f"gpus-{count}"
        for number in range(count):
            (driver / f"0000:0{number}:00.0").mkdir(parents=True)
        monkeypatch.setattr(machine, "_DRIVER", driver)
        machine._gpus_of_machine.cache_clear()

    monkeypatch.delenv("TINYLAB_DEVICES")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    yield have
    machine._gpus_of_machine.cache_clear()


def test_a_machine_takes_one_job_a_gpu_and_at_least_one(gpus: Any) -> None:
    counts = []
    for count in (0, 1, 4):
        gpus(count)
        counts.append((devices(), visible_to(count - 1)))
    assert counts == [(1, ""), (1, ""), (4, "3")]


def test_nvidia_smi_says_how_many_gpus_may_be_used(gpus: Any, tmp_path: Path) -> None:
    gpus(4)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\necho 'GPU 0: Some (UUID: GPU-1)'\necho '  MIG 1g.5gb'\necho 'GPU 1: Some (UUID: GPU-2)'\n"
    )
    tool.chmod(0o755)
    assert devices() == 2


@pytest.mark.parametrize(
    ("visible", "count", "names"),
    [
        ("2,0", 2, ["2", "0"]),
        ("", 1, [""]),
        ("-1", 1, [""]),
        ("GPU-a,GPU-b", 2, ["GPU-a", "GPU-b"]),
        ("3,-1,2", 1, [""]),
    ],
)
def test_jobs_share_the_gpus_that_the_lab_may_see(
    gpus: Any, monkeypatch: pytest.MonkeyPatch, visible: str, count: int, names: list[str]
) -> None:
    gpus(4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices() == count
    assert [visible_to(slot) for slot in range(count)] == names


def test_more_jobs_than_gpus_share_them_in_turn(gpus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(2)
    monkeypatch.setenv("TINYLAB_DEVICES", "3")
    assert (devices(), [visible_to(slot) for slot in range(3)]) == (3, ["0", "1", "0"])


@pytest.mark.parametrize("given", ["0", "-1", "two", "1e3", "²", "99999"])
def test_a_setting_that_is_no_number_of_devices_is_one_line(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("TINYLAB_DEVICES", given)
    with pytest.raises(BadRequest, match="TINYLAB_DEVICES is .* from 1 to"):
        devices()


@pytest.mark.parametrize(("given", "slot"), [("", -1), ("3", 3), ("x", -1), ("-2", -1), ("9" * 30, -1)])
def test_a_process_knows_its_own_device(monkeypatch: pytest.MonkeyPatch, given: str, slot: int) -> None:
    monkeypatch.setenv("TINYLAB_SLOT", given)
    assert (own_slot(), own_process()["slot"]) == (slot, slot)
