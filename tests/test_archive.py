"""A run as one file: what goes along, that it comes back the same, and that a hostile one is refused in one line."""

from __future__ import annotations

import io
import json
import pickle
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from packed_runs import archived, contents, full_run, metrics_file, png, rewritten, tensor_file, write_zip

from tinylab.archive import unpack
from tinylab.archive.archive import archive_name, pack
from tinylab.archive.unpack import import_archive
from tinylab.config import SearchConfig
from tinylab.errors import BadRequest, Failure
from tinylab.runs.about import About, about, describe
from tinylab.runs.metrics_db import MetricsReader, MetricsWriter
from tinylab.runs.recordings import recordings
from tinylab.runs.run import Run
from tinylab.runs.store import list_runs
from tinylab.training.recorder import StepRecord

TOP = "search-1/"
Files = dict[str, bytes]


@pytest.fixture
def run(runs: Path) -> Run:
    """A finished run with one file of every kind."""
    return full_run(runs)


@pytest.fixture
def archive(run: Run, tmp_path: Path) -> Path:
    """Its archive, checkpoints and all."""
    return archived(run, tmp_path / "run.zip", checkpoints=True)


def test_archive_holds_what_a_run_is_and_nothing_of_its_machine(run: Run, tmp_path: Path) -> None:
    describe(run, name="My run")
    names = set(contents(archived(run, tmp_path / "a.zip")))
    shown = {"config.json", "status.json", "origin.json", "about.json", "plan.json", "log.txt", "metrics.db"}
    results = {"result.json", "samples-0.png", "samples-0.npz", "candidates.csv"}
    model = {"config.json", "README.md", "diffusion_pytorch_model.safetensors"}
    expected = shown | {f"artifacts/{name}" for name in results} | {f"model/{name}" for name in model}
    assert names == {TOP + name for name in expected}
    more = set(contents(archived(run, tmp_path / "b.zip", checkpoints=True)))
    assert more - names == {
        f"{TOP}checkpoints/step-000000002/{name}" for name in ("MANIFEST.json", "state.safetensors")
    }


def test_archive_is_made_piece_by_piece(run: Run) -> None:
    (run.model_path / "diffusion_pytorch_model.safetensors").write_bytes(
        tensor_file({"x": {"dtype": "U8", "shape": [8 << 20], "data_offsets": [0, 8 << 20]}}, bytes(8 << 20))
    )
    pieces = [len(piece) for piece in pack(run)]
    assert sum(pieces) > 8 << 20 and max(pieces) < 3 << 20


def test_run_comes_back_the_same_under_a_name_of_its_own(run: Run, archive: Path, runs: Path) -> None:
    describe(run, name="Größe", notes="two\nlines")
    archived(run, archive, checkpoints=True)
    back = import_archive(archive)
    assert back.path == runs / "search-1-2"
    assert import_archive(archive).path == runs / "search-1-3"
    assert (back.config(), back.result(), back.stored_status()) == (run.config(), run.result(), run.stored_status())
    assert about(back) == About("Größe", "two\nlines")
    for name in ("loss", "odd"):
        assert back.metrics().scalars(name) == run.metrics().scalars(name) != []
    assert back.metrics().vectors("keep/blocks") == run.metrics().vectors("keep/blocks") != []
    same = {path.relative_to(run.path) for path in run.path.rglob("*") if path.is_file()}
    same -= {
        Path(name) for name in ("lock", "owner.json", "metrics.db", "artifacts/.result.json-x.part", "status.json")
    }
    assert {path.relative_to(back.path) for path in back.path.rglob("*") if path.is_file()} == same | {
        Path("metrics.db"),
        Path("status.json"),
    }
    assert all((back.path / name).read_bytes() == (run.path / name).read_bytes() for name in same)


def test_run_at_work_is_packed_at_one_moment_and_is_a_stopped_one_elsewhere(
    run: Run, runs: Path, tmp_path: Path
) -> None:
    run.write_status(replace(run.stored_status(), state="running", pid=1, process_start=1.0, seconds_left=9.0))
    writer = MetricsWriter(run.metrics_path)
    writer.write(4, StepRecord({"loss": 0.25}))  # in the side file of a database that is being written
    pieces = pack(run)
    first = next(pieces)
    writer.write(5, StepRecord({"loss": 0.2}))
    (tmp_path / "a.zip").write_bytes(first + b"".join(pieces))
    writer.close()
    back = import_archive(tmp_path / "a.zip")
    assert [step for step, _ in back.metrics().scalars("loss")] == [1, 2, 3, 4]
    status = back.stored_status()
    assert (status.state, status.pid, status.seconds_left) == ("stopped", 0, None)
    assert "was at work" in status.message and back.status().state == "stopped"


def test_run_in_line_is_a_stopped_one_elsewhere(run: Run, tmp_path: Path) -> None:
    run.write_status(replace(run.stored_status(), state="queued", queued=5.0, slot=1))
    status = import_archive(archived(run, tmp_path / "a.zip")).stored_status()
    assert (status.state, status.queued, status.slot) == ("stopped", 0.0, -1)


def test_long_log_goes_along_with_its_end(run: Run, tmp_path: Path) -> None:
    (run.path / "log.txt").write_bytes(b"begin" + b"\n" * (17 << 20) + b"end")
    log = contents(archived(run, tmp_path / "a.zip"))[TOP + "log.txt"]
    assert len(log) == 16 << 20 and log.endswith(b"\nend")


def test_links_and_damaged_curves_do_not_leave_the_machine(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    (run.artifacts / "secret.json").symlink_to(tmp_path / "secret.json")
    assert TOP + "artifacts/secret.json" not in contents(archived(run, tmp_path / "a.zip"))
    run.metrics_path.write_bytes(b"junk")
    with pytest.raises(BadRequest, match="metrics.db holds no curves"):
        pack(run)


def test_run_without_curves_or_with_an_odd_name_is_packed(runs: Path, tmp_path: Path) -> None:
    odd = Run.create(runs / "mine & yours", SearchConfig.create())
    assert archive_name(odd) == "tinylab-run.zip"
    back = import_archive(archived(odd, tmp_path / "a.zip"))
    assert back.id.startswith("run-") and back.stored_status().state == "created"
    assert back.metrics().names() == []


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def bomb_npz() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as stream:
        size = 300 << 20
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (size,)})
        for _ in range(300):
            stream.write(bytes(1 << 20))
    return buffer.getvalue()


def lying_npz() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("images.npy", "w") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40,)})
    return buffer.getvalue()


def wide_png() -> bytes:
    data = bytearray(png())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def put(name: str, data: bytes) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[TOP + name] = data

    return change


def edit(name: str, **values: object) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[TOP + name] = json.dumps(json.loads(files[TOP + name]) | values).encode()

    return change


def drop(name: str) -> Callable[[Files], None]:
    return lambda files: files.pop(TOP + name)


def second_top(files: Files) -> None:
    files["other/config.json"] = files[TOP + "config.json"]


def no_top(files: Files) -> None:
    for name in list(files):
        files[name.removeprefix(TOP)] = files.pop(name)


DEEP = ("[" * 100_000).encode()
TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
WEIGHTS, PICTURE, ARRAYS = (
    "model/diffusion_pytorch_model.safetensors",
    "artifacts/samples-0.png",
    "artifacts/samples-0.npz",
)
# What is changed in an honest archive, and a word of the line that refuses it.
TRICKS: dict[str, tuple[Callable[[Files], object], str]] = {
    "absolute path": (lambda files: files.update({"/etc/passwd": b""}), "leads somewhere else"),
    "parent folder": (put("../evil.json", b"{}"), "leads somewhere else"),
    "parent folder in between": (put("artifacts/../../evil.json", b"{}"), "leads somewhere else"),
    "parent as the top": (lambda files: files.update({"../config.json": b"{}"}), "leads somewhere else"),
    "folder that leads away": (put("artifacts/../../evil/", b""), "leads somewhere else"),
    "backslash": (put("artifacts\\..\\evil.json", b"{}"), "leads somewhere else"),
    "drive": (lambda files: files.update({"C:/evil.json": b"{}"}), "leads somewhere else"),
    "empty step": (put("artifacts//evil.json", b"{}"), "leads somewhere else"),
    "hidden file": (put("artifacts/.bashrc", b""), "which no run has"),
    "program": (put("artifacts/run.sh", b"rm -rf /"), "which no run has"),
    "pickle": (put("model/weights.pt", pickle.dumps({})), "which no run has"),
    "page": (put("artifacts/page.html", b"<script>"), "which no run has"),
    "drawing with scripts": (put("artifacts/x.svg", b"<svg/>"), "which no run has"),
    "owner": (put("owner.json", b'{"owner": "you"}'), "which no run has"),
    "lock": (put("lock", b""), "which no run has"),
    "side file of the curves": (put("metrics.db-wal", b""), "which no run has"),
    "journal of the curves": (put("metrics.db-journal", b""), "which no run has"),
    "code of a model": (put("model/modeling.py", b"import os"), "which no run has"),
    "letters that look like others": (put("artifacts/rеsult.json", b"{}"), "which no run has"),
    "case": (put("artifacts/Result.json", b"{}"), "twice"),
    "name of two cases": (put("CONFIG.json", b"{}"), "which no run has"),
    "two runs": (second_top, "one run in a folder of its own"),
    "no folder": (no_top, "which no run has"),
    "no config": (drop("config.json"), "one run in a folder"),
    "no status": (drop("status.json"), "one run in a folder"),
    "unknown kind": (edit("config.json", kind="mine"), "is not a job config"),
    "unknown option": (edit("config.json", shell="rm"), "unknown option"),
    "value out of range": (edit("config.json", steps=-1), "greater than"),
    "config without end": (put("config.json", DEEP), "config.json"),
    "large config": (put("config.json", b" " * (2 << 20)), "larger than any"),
    "unknown state": (edit("status.json", state="great"), "there is no state"),
    "number that is none": (edit("status.json", pid="1"), "pid cannot be"),
    "status with more": (edit("status.json", extra=1), "status.json is damaged"),
    "status that is a list": (put("status.json", b"[]"), "status.json is damaged"),
    "long name": (put("about.json", json.dumps({"name": "x" * 81, "notes": ""}).encode()), "80 at most"),
    "name of two lines": (put("about.json", json.dumps({"name": "\x1b[2J", "notes": ""}).encode()), "cannot be shown"),
    "plan of no blocks": (put("plan.json", b"{}"), "is not a plan"),
    "result that is no object": (put("artifacts/result.json", b"7"), "result.json is damaged"),
    "result without end": (put("artifacts/result.json", DEEP), "result.json is damaged"),
    "text that is none": (put("model/README.md", b"\xff\xfe"), "README.md is damaged"),
    "picture that is none": (put(PICTURE, b"<svg/>"), "samples-0.png is damaged"),
    "picture in another form": (put(PICTURE, b"GIF89a" + bytes(100)), "samples-0.png is damaged"),
    "picture cut short": (put(PICTURE, png()[:-20]), "samples-0.png is damaged"),
    "picture that unpacks to gigabytes": (put(PICTURE, wide_png()), "samples-0.png is damaged"),
    "pickled array": (put(ARRAYS, npz(x=np.array([{}], dtype=object))), "something else than numbers"),
    "pickle among arrays": (put(ARRAYS, pickle.dumps({})), "samples-0.npz is damaged"),
    "array that lies": (put(ARRAYS, lying_npz()), "does not hold the arrays"),
    "arrays that unpack to much": (put(ARRAYS, bomb_npz()), "unpacks to 315 MB"),
    "weights that are none": (put(WEIGHTS, pickle.dumps({})), "not a safetensors file"),
    "header longer than the file": (put(WEIGHTS, b"\xff" * 16), "not a safetensors file"),
    "tensors over each other": (put(WEIGHTS, tensor_file({"x": TENSOR, "y": TENSOR})), "do not fill it"),
    "room behind the tensors": (put(WEIGHTS, tensor_file(data=bytes(99))), "do not fill it"),
    "tensor beyond the end": (put(WEIGHTS, tensor_file(data=bytes(4))), "not a safetensors file"),
    "curves that are none": (put("metrics.db", b"junk"), "no SQLite file"),
    "curves cut short": (lambda files: files.update({TOP + "metrics.db": files[TOP + "metrics.db"][:5000]}), "metrics"),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_trick_is_refused_in_one_line_and_leaves_nothing(trick: str, archive: Path, runs: Path) -> None:
    change, word = TRICKS[trick]
    refused(rewritten(archive, change), runs, word)


def refused(archive: Path, runs: Path, word: str, **options: int) -> None:
    before = sorted(runs.parent.rglob("*"))
    with pytest.raises(BadRequest) as refusal:
        import_archive(archive, **options)
    said = str(refusal.value)
    assert word in said and "\n" not in said and str(runs) not in said and len(said) < 400
    incoming = runs / ".incoming"
    assert not incoming.exists() or not list(incoming.iterdir())
    assert [path for path in sorted(runs.parent.rglob("*")) if path != incoming] == before


SQL = {
    "other table": ("CREATE TABLE more (x)",),
    "view": (
        "DROP TABLE scalars",
        "CREATE VIEW scalars AS SELECT 1 AS step, 'loss' AS name, load_extension('x') AS value",
    ),
    "trigger": ("CREATE TRIGGER t AFTER INSERT ON scalars BEGIN DELETE FROM scalars; END",),
    "index on an expression": ("CREATE INDEX i ON scalars (abs(value))",),
    "computed column": (
        "DROP TABLE scalars",
        "CREATE TABLE scalars (step INTEGER, name TEXT, value REAL AS (1), PRIMARY KEY (step, name)) WITHOUT ROWID",
    ),
    "schema that does not fit": ("UPDATE sqlite_schema SET sql = 'CREATE TABLE scalars (x)' WHERE name = 'scalars'",),
    "text as a number": ("INSERT INTO scalars VALUES (1, 'loss', 'much')",),
    "bytes as a number": ("INSERT INTO scalars VALUES (1, 'loss', x'00')",),
    "step of bytes": ("INSERT INTO scalars VALUES (x'00', 'loss', 1)",),
    "negative step": ("INSERT INTO scalars VALUES (-5, 'loss', 1)",),
    "endless name": ("INSERT INTO scalars VALUES (1, printf('%.*c', 5000, 'x'), 1)",),
    "name of two lines": ("INSERT INTO scalars VALUES (1, 'a' || char(10), 1)",),
    "list of words": ("INSERT INTO vectors VALUES (1, 'keep', '[\"a\"]')",),
    "list of lists": ("INSERT INTO vectors VALUES (1, 'keep', '[[1]]')",),
    "no list": ("INSERT INTO vectors VALUES (1, 'keep', '{}')",),
    "list without end": ("INSERT INTO vectors VALUES (1, 'keep', printf('%.*c', 90000, '['))",),
    "cell of megabytes": ("INSERT INTO vectors VALUES (1, 'keep', printf('%.*c', 5000000, ' ') || '[]')",),
}


@pytest.mark.parametrize("trick", SQL)
def test_curves_with_anything_else_in_them_are_refused(trick: str, archive: Path, runs: Path, tmp_path: Path) -> None:
    data = metrics_file(tmp_path / "hand.db", *SQL[trick])
    refused(rewritten(archive, put("metrics.db", data)), runs, "metrics.db holds no curves")


def test_curves_are_copied_into_a_file_of_our_own(archive: Path, tmp_path: Path) -> None:
    hand = metrics_file(tmp_path / "hand.db", "PRAGMA user_version=7", "INSERT INTO scalars VALUES (1, 'loss', 1e999)")
    back = import_archive(rewritten(archive, put("metrics.db", hand)))
    assert back.metrics_path.read_bytes()[60:64] == bytes(4)  # where SQLite keeps the version of a user
    assert MetricsReader(back.metrics_path).scalars("loss") == [(1, float("inf"))]
    assert not list(back.path.glob(".*"))


def low_level(archive: Path, change: Callable[[zipfile.ZipFile, Files], None]) -> Path:
    files = contents(archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        change(opened, files)
        for name, data in files.items():
            opened.writestr(name, data)
    return archive


def link(archive: zipfile.ZipFile, files: Files) -> None:
    files.pop(TOP + "artifacts/result.json")
    info = zipfile.ZipInfo(TOP + "artifacts/result.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def device(archive: zipfile.ZipFile, files: Files) -> None:
    files.pop(TOP + "log.txt")
    info = zipfile.ZipInfo(TOP + "log.txt")
    info.external_attr = (stat.S_IFCHR | 0o666) << 16
    archive.writestr(info, "")


def twice(archive: zipfile.ZipFile, files: Files) -> None:
    archive.writestr(TOP + "config.json", files[TOP + "config.json"])


def many(archive: zipfile.ZipFile, files: Files) -> None:
    for number in range(20_001):
        archive.writestr(f"{TOP}artifacts/{number}.json", b"")


def strange_method(archive: zipfile.ZipFile, files: Files) -> None:
    archive.writestr(TOP + "artifacts/x.json", b"{}", compress_type=zipfile.ZIP_LZMA)


def bomb(archive: zipfile.ZipFile, files: Files) -> None:
    with archive.open(zipfile.ZipInfo(TOP + "artifacts/big.csv"), "w", force_zip64=True):
        pass
    for number in range(2):
        info = zipfile.ZipInfo(f"{TOP}artifacts/{number}.csv")
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w") as stream:
            for _ in range(150):
                stream.write(bytes(1 << 20))


LOW = {
    "link": (link, "a link or a device"),
    "device": (device, "a link or a device"),
    "same name twice": (twice, "twice"),
    "too many files": (many, "more than the 20,000"),
    "another way of packing": (strange_method, "packed in a way"),
    "zip bomb": (bomb, "which no run does"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("trick", LOW)
def test_trick_of_the_zip_itself_is_refused(trick: str, archive: Path, runs: Path) -> None:
    change, word = LOW[trick]
    refused(low_level(archive, change), runs, word)


def patched(archive: Path, name: str, field: str, value: int) -> Path:
    """Set a number in the table of contents, and before the file itself, whatever is really there."""
    data = bytearray(archive.read_bytes())
    places = {"size": (24, 22, "<I"), "flags": (8, 6, "<H"), "crc": (16, 14, "<I")}
    central, local, form = places[field]
    for signature, offset, header in ((b"PK\x01\x02", central, 46), (b"PK\x03\x04", local, 30)):
        at = data.find(signature)
        while at >= 0:
            if data[at + header : at + header + len(name)] == name.encode():
                struct.pack_into(form, data, at + offset, value)
            at = data.find(signature, at + 4)
    archive.write_bytes(bytes(data))
    return archive


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("size", 5, "is damaged"),  # it holds more than it says
        ("size", 50_000, "less of"),
        ("flags", 1, "encrypted"),
        ("crc", 1, "is damaged"),
    ],
)
def test_table_of_contents_that_lies_is_found_out(field: str, value: int, word: str, archive: Path, runs: Path) -> None:
    files = contents(archive)
    write_zip(archive, files)
    refused(patched(archive, f"{TOP}origin.json", field, value), runs, word)


@pytest.mark.parametrize("content", [b"", b"junk" * 100, b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + b"\xff" * 60])
def test_what_is_no_zip_of_a_run_is_refused(content: bytes, runs: Path, tmp_path: Path) -> None:
    runs.mkdir()
    (tmp_path / "x.zip").write_bytes(content)
    refused(tmp_path / "x.zip", runs, "the archive")


def test_table_of_contents_of_gigabytes_is_not_read(archive: Path, runs: Path) -> None:
    data = bytearray(archive.read_bytes())
    at = data.rfind(b"PK\x05\x06")
    struct.pack_into("<I", data, at + 12, 900 << 20)
    with archive.open("wb") as file:
        file.truncate(1 << 30)  # a sparse file: it takes no room
        file.seek(0, 2)
        file.write(data[at:])
    refused(archive, runs, "is damaged or no zip")


def test_size_is_limited_and_so_is_the_disk(archive: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(archive, runs, "more than the 0 MB that are taken here", largest=1000)
    monkeypatch.setattr(unpack, "_SPARE", 10**18)
    with pytest.raises(Failure, match="free some space"):
        import_archive(archive)
    assert [run.id for run in list_runs()] == ["search-1"]


def test_judge_sees_the_run_before_anybody_else_and_may_refuse_it(archive: Path, runs: Path) -> None:
    seen = []

    def judge(run: Run) -> None:
        seen.append((run.result()["loss_full"], len(list_runs())))
        raise BadRequest("not this one")

    with pytest.raises(BadRequest, match="not this one"):
        import_archive(archive, judge=judge)
    assert seen == [(0.5, 1)]
    assert [path.name for path in runs.iterdir()] in (["search-1", ".incoming"], [".incoming", "search-1"])


def test_recording_that_was_packed_does_not_hide_behind_the_one_that_ships(runs: Path, tmp_path: Path) -> None:
    shipped = recordings()[0]
    back = import_archive(archived(shipped, tmp_path / "x.zip"))
    assert back.path == runs / f"{shipped.id}-2" and back.config() == shipped.config()


def test_folders_in_an_archive_are_passed_over(archive: Path) -> None:
    change = {TOP: b"", f"{TOP}artifacts/": b""}
    assert import_archive(rewritten(archive, lambda files: files.update(change))).result()["loss_full"] == 0.5


def test_top_folder_with_a_strange_name_gets_another(archive: Path) -> None:
    def rename(files: Files) -> None:
        for name in list(files):
            files[name.replace(TOP, "<img src=x>/")] = files.pop(name)

    assert import_archive(rewritten(archive, rename)).id.startswith("imported-")
