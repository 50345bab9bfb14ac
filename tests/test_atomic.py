"""Writing: whoever looks finds the old or the new, never a part."""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tinylab.errors import BadRequest, Failure
from tinylab.files import atomic


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


def test_overwriting_leaves_the_new_text_and_blanks(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for text in ('{"state": "running", "step": 12}', '{"state": "failed"}', '{"state": "a word that is much longer"}'):
        file.touch()
        atomic.overwrite(file, text)
        assert json.loads(file.read_text()) == json.loads(text)
    assert names(tmp_path) == ["a.json"]


def test_overwriting_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.overwrite(tmp_path / "a", "text")
    assert names(tmp_path) == []


def test_a_folder_half_removed_is_no_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with atomic.new_folder(tmp_path / "a") as temporary:
        (temporary / "file").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", lambda *_, **__: sys.exit("killed"))
        with pytest.raises(SystemExit):
            atomic.remove_folder(tmp_path / "a")
    assert not (tmp_path / "a").exists() and len(names(tmp_path)) == 1
    atomic.sweep(tmp_path)
    assert names(tmp_path) == []


def test_removing_a_folder_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    atomic.remove_folder(tmp_path / "a")
    assert names(tmp_path) == []


def test_sweeping_removes_what_killed_writers_left_and_nothing_else(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "a", "kept")
    (tmp_path / ".hidden").touch()
    script = (
        "import os, pathlib, sys; from tinylab.files import atomic\n"
        "os.fsync = lambda _: os.kill(os.getpid(), 9)\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "if sys.argv[2] == 'file': atomic.write_text(folder / 'a', 'new')\n"
        "with atomic.new_folder(folder / 'deep' / 'b') as temporary: (temporary / 'c').touch()"
    )
    for what in ("file", "folder"):
        assert subprocess.run([sys.executable, "-c", script, str(tmp_path), what]).returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 4 and len(names(tmp_path / "deep")) == 1
    atomic.sweep(tmp_path)
    assert names(tmp_path) == [".hidden", "a", "deep"]
    assert names(tmp_path / "deep") == []
    assert (tmp_path / "a").read_text() == "kept"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "disk is full"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "disk is full"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "grew beyond what is allowed"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "out"), "cannot write out"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "out"), "cannot write out"),
        (sqlite3.OperationalError("database or disk is full"), "disk is full"),
        (sqlite3.OperationalError("disk I/O error"), "disk is full or broken"),
        (ValueError("I/O error: No space left on device (os error 28)"), "disk is full"),
        (ValueError("I/O error: Disk quota exceeded (os error 122)"), "disk is full"),
        (ValueError("I/O error: File too large (os error 27)"), "grew beyond what is allowed"),
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


def test_a_new_file_takes_its_place_when_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "samples.npz"
    target.write_text("old")
    with atomic.new_file(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["samples.npz"]


def test_a_crash_while_a_new_file_is_written_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "samples.npz"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic.new_file(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["samples.npz"]
