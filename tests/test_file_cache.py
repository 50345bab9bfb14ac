"""What is kept of small files is what the files say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from run_folders import make_run

from tinylab.config import PruneConfig
from tinylab.errors import BadRequest
from tinylab.files.file_cache import FileCache
from tinylab.runs.run import Status
from tinylab.runs.store import list_runs

BY_HAND = PruneConfig.create(indices=(0, 2))


def aged(path: Path, text: str) -> Path:
    """A file that was written a minute ago."""
    path.write_text(text)
    then = path.stat().st_mtime - 60
    os.utime(path, (then, then))
    return path


class Reader:
    """Reads a file and counts how often."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0

    def __call__(self) -> str:
        self.count += 1
        return self.path.read_text()


def test_a_file_that_stays_the_same_is_read_once(tmp_path: Path) -> None:
    path, cache = aged(tmp_path / "a", "one"), FileCache[str]()
    reader = Reader(path)
    assert [cache.read(path, reader) for _ in range(3)] == ["one"] * 3
    assert reader.count == 1


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path, cache = aged(tmp_path / "a", "one"), FileCache[str]()
    reader = Reader(path)
    assert cache.read(path, reader) == "one"
    path.write_text("two")  # as long as the first
    assert cache.read(path, reader) == "two"
    os.replace(aged(tmp_path / "b", "six"), path)  # of the very time of the first, but another file
    assert cache.read(path, reader) == "six"


def test_a_file_written_just_now_is_not_trusted_to_stay(tmp_path: Path) -> None:
    path, cache = tmp_path / "a", FileCache[str]()
    reader = Reader(path)
    path.write_text("one")
    os.utime(path, ns=(2**62, 2**62))  # as if now: no clock goes that far
    assert [cache.read(path, reader) for _ in range(2)] == ["one"] * 2
    assert reader.count == 2


def test_the_first_go_where_there_are_too_many(tmp_path: Path) -> None:
    cache = FileCache[str](most=2)
    readers = [Reader(aged(tmp_path / name, name)) for name in "abc"]
    for reader in [*readers, *readers[1:], readers[0]]:
        assert cache.read(reader.path, reader) == reader.path.name
    assert [reader.count for reader in readers] == [2, 1, 1]


def test_what_cannot_be_read_is_not_kept(tmp_path: Path) -> None:
    path, cache = tmp_path / "a", FileCache[str]()
    with pytest.raises(FileNotFoundError):
        cache.read(path, Reader(path))
    assert cache.read(aged(path, "one"), Reader(path)) == "one"


def test_runs_are_listed_as_their_files_stand_now(runs: Path) -> None:
    first, second = (make_run(runs, BY_HAND, name, created=float(at)) for at, name in enumerate(("first", "second")))
    assert [run.id for run in list_runs()] == ["second", "first"]
    first.write_status(Status(state="stopped", created=2.0))
    assert [(run.id, run.status().state) for run in list_runs()] == [("first", "stopped"), ("second", "finished")]
    (second.path / "config.json").write_text("{")
    assert [run.id for run in list_runs()] == ["first"]
    with pytest.raises(BadRequest):
        second.config()


def test_what_is_kept_beside_the_runs_is_no_run(runs: Path) -> None:
    for name in (".trash", "_kept", "mine"):
        make_run(runs, BY_HAND, name)
    assert [run.id for run in list_runs()] == ["mine"]
    assert list_runs("search") == []
