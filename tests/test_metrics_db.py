"""Run metrics: one writer, readers at any time, never half a step."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinylab.runs.metrics_db import MetricsReader, MetricsWriter
from tinylab.training.recorder import StepRecord


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.db"


@pytest.fixture
def writer(path: Path) -> Iterator[MetricsWriter]:
    writer = MetricsWriter(path)
    yield writer
    writer.close()


def record(step: int) -> StepRecord:
    return StepRecord({"loss": step / 10, "lr": step / 100}, {"kept": [step / 2, 1.0]})


def test_run_without_metrics_reads_as_empty(path: Path) -> None:
    reader = MetricsReader(path)
    assert (reader.scalars("loss"), reader.vectors("kept"), reader.names()) == ([], [], [])
    assert (reader.last_scalars(), reader.last_vectors()) == ({}, {})
    assert not path.exists()


def test_file_without_tables_reads_as_empty(path: Path) -> None:
    sqlite3.connect(path).close()
    path.touch()
    reader = MetricsReader(path)
    assert (reader.scalars("loss"), reader.last_vectors(), reader.names()) == ([], {}, [])


def test_what_is_written_is_read_in_order_while_the_writer_is_open(path: Path, writer: MetricsWriter) -> None:
    for step in (30, 10, 20):
        writer.write(step, record(step))
    reader = MetricsReader(path)
    assert reader.scalars("loss") == [(10, 1.0), (20, 2.0), (30, 3.0)]
    assert reader.vectors("kept") == [(10, [5.0, 1.0]), (20, [10.0, 1.0]), (30, [15.0, 1.0])]
    assert reader.names() == ["loss", "lr"]
    assert reader.scalars("nonsense") == []


def test_reader_can_ask_for_what_is_new(path: Path, writer: MetricsWriter) -> None:
    for step in (0, 10, 20):
        writer.write(step, record(step))
    reader = MetricsReader(path)
    assert reader.scalars("loss", after=10) == [(20, 2.0)]
    assert reader.vectors("kept", after=0) == [(10, [5.0, 1.0]), (20, [10.0, 1.0])]
    assert reader.scalars("loss", after=20) == []


def test_last_values_are_those_of_the_newest_step(path: Path, writer: MetricsWriter) -> None:
    for step in (10, 20):
        writer.write(step, record(step))
    assert MetricsReader(path).last_scalars() == {"loss": 2.0, "lr": 0.2}
    assert MetricsReader(path).last_vectors() == {"kept": [10.0, 1.0]}


def test_writing_a_step_again_replaces_it(path: Path, writer: MetricsWriter) -> None:
    writer.write(10, record(10))
    writer.write(10, record(99))
    assert MetricsReader(path).scalars("loss") == [(10, 9.9)]


def test_rewind_forgets_what_came_later(path: Path, writer: MetricsWriter) -> None:
    for step in (10, 20, 30):
        writer.write(step, record(step))
    writer.rewind(20)
    reader = MetricsReader(path)
    assert [step for step, _ in reader.scalars("loss")] == [10, 20]
    assert [step for step, _ in reader.vectors("kept")] == [10, 20]
    writer.rewind(0)
    assert (reader.names(), reader.vectors("kept")) == ([], [])


def test_rewind_can_leave_what_is_behind_a_step(path: Path, writer: MetricsWriter) -> None:
    for step in (10, 20, 30, 40):
        writer.write(step, record(step))
    writer.rewind(10, 30)
    reader = MetricsReader(path)
    assert [step for step, _ in reader.scalars("loss")] == [10, 40]
    assert [step for step, _ in reader.vectors("kept")] == [10, 40]


def test_rewind_can_spare_another_part_of_the_job(path: Path, writer: MetricsWriter) -> None:
    for step in (10, 20):
        writer.write(step, StepRecord({"loss": 1.0, "warm-start/loss": 2.0}, {"kept": [1.0], "warm-start/kept": [2.0]}))
    writer.rewind(0, spare="warm-start/")
    assert MetricsReader(path).names() == ["warm-start/loss"]
    assert MetricsReader(path).last_vectors() == {"warm-start/kept": [2.0]}


def test_metrics_survive_closing_and_opening_again(path: Path) -> None:
    for step in (10, 20):
        writer = MetricsWriter(path)
        writer.write(step, record(step))
        writer.close()
    assert [step for step, _ in MetricsReader(path).scalars("loss")] == [10, 20]


def test_failed_write_leaves_no_part_of_its_step(path: Path, writer: MetricsWriter) -> None:
    writer.write(10, record(10))
    with pytest.raises(ValueError):
        writer.write(20, StepRecord({"loss": 2.0}, {"kept": ["x"]}))  # type: ignore[list-item]
    assert MetricsReader(path).scalars("loss") == [(10, 1.0)]


def test_reader_sees_whole_steps_while_they_are_written(path: Path, writer: MetricsWriter) -> None:
    names = [f"m{index}" for index in range(20)]
    writer.write(0, StepRecord(dict.fromkeys(names, 0.0)))
    seen: list[dict[str, float]] = []
    done = threading.Event()

    def read() -> None:
        reader = MetricsReader(path)
        while not done.is_set():
            seen.append(reader.last_scalars())

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for step in range(1, 200):
            writer.write(step, StepRecord(dict.fromkeys(names, float(step))))
    finally:
        done.set()
        thread.join()
    assert seen
    assert all(sorted(values) == sorted(names) and len(set(values.values())) == 1 for values in seen)


def test_a_read_finished_run_consists_of_its_one_file(path: Path, writer: MetricsWriter) -> None:
    writer.write(10, record(10))
    writer.close()
    assert MetricsReader(path).scalars("loss") == [(10, 1.0)]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["a b", "50%", "ü", "a#b", "a?b", "a%41"])
def test_run_folder_may_have_an_odd_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    writer = MetricsWriter(folder / "metrics.db")
    writer.write(10, record(10))
    assert MetricsReader(folder / "metrics.db").scalars("loss") == [(10, 1.0)]
    writer.close()
