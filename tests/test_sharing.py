"""Who computes what of a step, and which jobs several processes take on."""

from __future__ import annotations

import pytest

from tinylab.config import CompareConfig, FinetuneConfig, JobConfig, PruneConfig, SearchConfig, TrainConfig
from tinylab.distributed import ALONE, join_group, launched, process_group
from tinylab.errors import BadRequest
from tinylab.jobs.admission import check_sharing, on_own_device
from tinylab.jobs.execute import start_run
from tinylab.training.shares import check_shares, rows_of


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 1), (1, 4), (2, 1), (3, 2), (12, 2)])
def test_every_image_is_computed_once(processes: int, accumulation: int) -> None:
    images, seen = 24, []
    for process in range(processes):
        rows = rows_of(images, process=process, processes=processes, accumulation=accumulation)
        assert len(rows) == accumulation
        seen += [image for part in rows for image in range(images)[part]]
    assert seen == list(range(images))


def test_one_process_takes_the_whole_batch_at_once() -> None:
    assert rows_of(7, process=0, processes=1, accumulation=1) == [slice(0, 7)]


@pytest.mark.parametrize(
    ("batch_size", "shares", "line"),
    [
        (9, {"processes": 2, "accumulation": 1}, "batch-size 9 is no multiple of 2 processes; take 8"),
        (
            2,
            {"processes": 4, "accumulation": 2},
            "batch-size 2 is no multiple of 4 processes x 2 micro-batches; take 8",
        ),
        (
            30,
            {"processes": 2, "accumulation": 1, "copies": 4},
            "batch-size 30 is no multiple of 2 processes x 4 copies of an image; take 32",
        ),
    ],
)
def test_unequal_shares_are_refused_with_a_size_that_fits(batch_size: int, shares: dict[str, int], line: str) -> None:
    with pytest.raises(BadRequest, match=f"^{line}$"):
        check_shares(batch_size, **shares)
    check_shares(int(line.split()[-1]), **shares)


@pytest.mark.parametrize(
    "config",
    [TrainConfig.create(), FinetuneConfig.create(), SearchConfig.create()],
    ids=lambda config: config.kind,
)
def test_jobs_that_train_one_model_take_several_processes(config: JobConfig) -> None:
    check_sharing(config, 1)
    check_sharing(config, 2)
    with pytest.raises(BadRequest, match="3 processes"):
        check_sharing(config, 3)


@pytest.mark.parametrize("config", [PruneConfig.create(), CompareConfig.create()], ids=lambda config: config.kind)
def test_other_jobs_take_one(config: JobConfig) -> None:
    check_sharing(config, 1)
    with pytest.raises(BadRequest, match=f"^{config.kind} runs in one process, not 2: start it without a launcher"):
        check_sharing(config, 2)


def test_copies_of_an_image_count_for_reinforce_alone() -> None:
    values = {"batch_size": 8, "copies": 4, "accumulation": 4}
    check_sharing(SearchConfig.create(**values), 1)
    with pytest.raises(BadRequest, match="4 micro-batches x 4 copies"):
        check_sharing(SearchConfig.create(**values, estimator="reinforce"), 1)


def test_a_run_is_not_made_for_unequal_shares(tiny_folder: str, runs) -> None:
    config = FinetuneConfig.create(model=tiny_folder, indices=(0,), batch_size=8, accumulation=3)
    with pytest.raises(BadRequest, match="3 micro-batches"):
        start_run(config)
    assert not runs.exists()


@pytest.mark.parametrize(("flag", "device"), [("1", "cpu"), ("true", "cpu"), ("0", "auto"), (None, "auto")])
def test_several_processes_go_where_the_launcher_says(flag: str | None, device: str, monkeypatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    if flag is not None:
        monkeypatch.setenv("ACCELERATE_USE_CPU", flag)
    config = TrainConfig.create()
    assert on_own_device(config, 2).device == device
    assert on_own_device(config, 1) is config


def test_a_process_without_a_launcher_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert launched() == 1
    assert join_group() is process_group() is ALONE
    assert ALONE.main
    assert ALONE.mean([0.1, 0.2]) == [0.1, 0.2]
    assert (ALONE.any(False), ALONE.any(True)) == (False, True)
    assert ALONE.from_main(lambda: 3) == 3
    assert ALONE.same(4, "the step") == 4


def test_half_a_launcher_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(BadRequest, match="WORLD_SIZE is 2 but RANK is not set: start with torchrun, or unset it"):
        join_group()
