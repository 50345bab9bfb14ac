"""Names and notes of runs: kept in the folder, tidied, limited, and never a reason for a run not to be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_folders import make_run

from tinylab.cli import main
from tinylab.config import SearchConfig
from tinylab.errors import BadRequest
from tinylab.runs.about import About, about, describe
from tinylab.runs.run import Run
from tinylab.runs.store import has_words


@pytest.fixture
def run(runs: Path) -> Run:
    return make_run(runs, SearchConfig.create(), "search-1")


def test_name_and_notes_are_kept_apart_and_can_be_taken_away(run: Run) -> None:
    assert about(run) == About()
    assert describe(run, name="  My \n best  run ") == About("My best run", "")
    assert describe(run, notes="first\r\nsecond\n") == About("My best run", "first\nsecond")
    assert about(Run(run.path)) == About("My best run", "first\nsecond")
    assert describe(run, name="") == About("", "first\nsecond")
    describe(run, notes="")
    assert not (run.path / "about.json").exists()


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"name": "x" * 81}, "80 at most"),
        ({"name": "a\u202eb"}, "cannot be shown"),
        ({"name": 7}, "must be text"),
        ({"notes": "x" * 5001}, "5,000 at most"),
        ({"notes": "a\x00b"}, "cannot be shown"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_changes_nothing(run: Run, given: dict, word: str) -> None:
    describe(run, name="before", notes="noted")
    with pytest.raises(BadRequest, match=word):
        describe(run, **given)
    assert about(run) == About("before", "noted")


@pytest.mark.parametrize("content", ["{", "[]", '{"name": 7}', '{"name": "' + "x" * 100 + '"}', " " * 100_000])
def test_damaged_file_says_nothing(run: Run, content: str) -> None:
    (run.path / "about.json").write_text(content)
    assert about(run) == About()
    assert describe(run, name="new") == About("new")


def test_runs_are_found_by_words_in_any_order(run: Run) -> None:
    describe(run, name="Große Suche", notes="with Anna")
    for words in ("", "suche GROSSE", "anna", "finished search", "digits-dit", "search-1"):
        assert has_words(run, words)
    for words in ("anna prune", "failed", "x"):
        assert not has_words(run, words)


def test_command_names_and_lists(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["name", run.id, "Best", "--notes", "for the talk", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": run.id, "name": "Best", "notes": "for the talk"}
    assert main(["runs", "--json", "--find", "talk"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["Best"]
    assert main(["runs", "--find", "nothing of the sort"]) == 0
    assert "none yet" in capsys.readouterr().err
    assert main(["name", run.id, "x" * 99]) == 2
    assert main(["name", run.id]) == 0
    assert "for the talk" in capsys.readouterr().out
