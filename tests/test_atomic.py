"""Writing: whoever looks finds the old or the new, never a part."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from tinylab import atomic
from tinylab.errors import BadRequest, Failure


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_bytes_makes_and_replaces_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    atomic.write_bytes(file, b"old")
    atomic.write_bytes(file, b"new")
    assert file.read_bytes() == b"new"
    assert names(tmp_path) == ["a.json"]


def test_write_text_is_utf8(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "a.txt", "ᾱ")
    assert (tmp_path / "a.txt").read_bytes() == "ᾱ".encode()


def test_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    atomic.write_bytes(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    atomic.write_bytes(file, b"old")
    with pytest.raises(TypeError):
        atomic.write_bytes(file, "text is not bytes")  # type: ignore[arg-type]
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_write_onto_a_folder_fails_and_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").touch()
    with pytest.raises(OSError):
        atomic.write_bytes(tmp_path / "taken", b"new")
    assert names(tmp_path) == ["taken"]
    assert names(tmp_path / "taken") == ["inside"]


def test_new_folder_appears_whole_with_its_parents(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with atomic.new_folder(target) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "file").write_text("new")
        assert not target.exists()
    assert (target / "sub" / "file").read_text() == "new"
    assert names(target.parent) == ["target"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_new_folder_replaces_the_old_one_entirely(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for name in ("old", "new"):
        with atomic.new_folder(target) as temporary:
            (temporary / name).touch()
    assert names(target) == ["new"]
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("crash", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_crash_inside_new_folder_leaves_the_old_one(tmp_path: Path, crash: type[BaseException]) -> None:
    target = tmp_path / "target"
    with atomic.new_folder(target) as temporary:
        (temporary / "old").write_text("old")
    with pytest.raises(crash):
        with atomic.new_folder(target) as temporary:
            (temporary / "half").write_text("ha")
            raise crash
    assert names(target) == ["old"]
    assert names(tmp_path) == ["target"]


def test_crash_inside_new_folder_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        with atomic.new_folder(tmp_path / "target"):
            raise RuntimeError
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "disk is full"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "out"), "cannot write out"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "out"), "cannot write out"),
        (sqlite3.OperationalError("database or disk is full"), "disk is full"),
        (ValueError("I/O error: No space left on device (os error 28)"), "disk is full"),
    ],
)
def test_disk_errors_become_a_failure_that_ends_with_the_mend(error: Exception, says: str) -> None:
    with pytest.raises(Failure, match=says) as failed:
        with atomic.disk_errors("free some space"):
            raise error
    assert str(failed.value).endswith("; free some space")


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "gone"), sqlite3.OperationalError("no such table"), BadRequest("no")]
)
def test_other_errors_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)) as passed:
        with atomic.disk_errors("free some space"):
            raise error
    assert passed.value is error
