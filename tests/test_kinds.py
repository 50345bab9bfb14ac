"""A kind of job is its code and its row: one that is made up here is on the command line, in a report and in a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinylab.cli import main
from tinylab.config import KINDS, Kind, kinds, register_kind
from tinylab.registry import load
from tinylab.runs.replay import replay_steps, run_at
from tinylab.runs.run import Run

CODE = {
    "__init__.py": '"""A kind of job that adds up numbers."""\n',
    "config.py": '''
from typing import ClassVar, Literal
from pydantic import Field
from tinylab.config import JobConfig

class AddConfig(JobConfig):
    """Add the numbers up to a last one."""

    kind: Literal["add"] = "add"
    summary: ClassVar[str] = "add up numbers"
    last: int = Field(5, ge=1, description="the last number that is added")
''',
    "check.py": """
from tinylab.errors import BadRequest

def check(config, facts):
    if config.last == 13:
        raise BadRequest("last: nobody adds thirteen; use another number")
""",
    "job.py": """
from tinylab.training.recorder import StepRecord

def run(config, context):
    total = 0
    for step in range(1, config.last + 1):
        total += step
        context.record(step, StepRecord({"loss": float(total)}))
        context.progress(step, config.last)
    return {"total": total}
""",
    "section.py": """
from tinylab.reports.section import Section

def section(run):
    return Section("Numbers", (f"The numbers up to {run.config().last} come to {run.result()['total']}.",))
""",
}


@pytest.fixture
def added_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kind `add`: a package on the path, and its row."""
    package = tmp_path / "adding" / "added_kind"
    package.mkdir(parents=True)
    for name, code in CODE.items():
        (package / name).write_text(code)
    monkeypatch.syspath_prepend(str(package.parent))
    row = Kind(
        load("added_kind.config:AddConfig"),
        "Sum of numbers",
        run="added_kind.job:run",
        check="added_kind.check:check",
        section="added_kind.section:section",
        replay="steps",
    )
    register_kind(row)
    yield
    del kinds._rows[row.name]
    for name in [name for name in sys.modules if name.partition(".")[0] == "added_kind"]:
        del sys.modules[name]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What a command writes to stdout; to stderr where it refuses."""
    capsys.readouterr()
    assert main(arguments) == status
    found = capsys.readouterr()
    return found.err if status else found.out


@pytest.mark.usefixtures("added_kind")
def test_a_new_kind_runs_on_the_command_line_and_is_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "sum"
    result = json.loads(printed(capsys, "add", "--last", "4", "--out", str(out), "--quiet", "--json"))
    assert result == {"run": str(out), "kind": "add", "total": 10}
    run = Run.open(out)
    assert (run.config().kind, run.config().model_dump()["last"]) == ("add", 4)
    assert run.status().state == "finished"
    assert "total: 10" in printed(capsys, "resume", str(out), "--quiet")
    assert replay_steps(run) == [1, 2, 3, 4]
    assert dict(run_at(run, 2, 4).metrics().scalars("loss")) == {1: 1.0, 2: 3.0}
    (listed,) = json.loads(printed(capsys, "runs", "--json"))
    assert (listed["run"], listed["kind"]) == ("sum", "add")


@pytest.mark.usefixtures("added_kind")
def test_a_new_kind_is_in_the_help_and_has_its_own_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (("--help",), ("add", "add up numbers")),
        (("add", "--help"), ("Add the numbers up to a last one.", "--last", "the last number that is added")),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main(arguments)
        help_text = " ".join(capsys.readouterr().out.split())
        assert all(word in help_text for word in words)
    assert "nobody adds thirteen" in printed(capsys, "add", "--last", "13", "--dry-run", status=2)
    assert "last: input should be greater than or equal to 1" in printed(capsys, "add", "--last", "0", status=2)


@pytest.mark.usefixtures("added_kind")
def test_a_new_kind_has_its_chapter_in_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "runs" / "sum", tmp_path / "report.html"
    printed(capsys, "add", "--out", str(out), "--quiet")
    printed(capsys, "report", "sum", "--out", str(page))
    text = page.read_text()
    assert "The numbers up to 5 come to 15." in text
    assert "Sum of numbers" in text


def test_every_row_leads_to_code_that_is_there() -> None:
    for kind in KINDS.values():
        for target in filter(None, (kind.run, kind.check, kind.section, kind.printed, kind.listed)):
            assert callable(load(target)), f"{kind.name}: {target}"
        fields = set(kind.config.model_fields)
        assert {*kind.models, *kind.files} <= fields, kind.name


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ValueError, match="'search' is registered twice"):
        register_kind(KINDS["search"])
