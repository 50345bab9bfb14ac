"""Whose a run is: written whole, read cheaply, and never trusted further than it goes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from run_folders import make_run

from tinylab.config import PruneConfig
from tinylab.errors import BadRequest
from tinylab.runs.owner import FILE, LONGEST, MOST_READERS, add_reader, owner_of, readers_of, write_owner
from tinylab.runs.run import Run
from tinylab.runs.store import new_run

BY_HAND = PruneConfig.create(indices=(0, 2))


@pytest.fixture
def run(runs: Path) -> Run:
    return make_run(runs, BY_HAND, "mine")


def test_a_run_is_nobodys_until_somebody_is_named(run: Run) -> None:
    assert (owner_of(run), readers_of(run)) == ("", ())
    write_owner(run.path, "ann")
    assert (owner_of(run), readers_of(run)) == ("ann", ())


def test_a_new_run_is_its_owners_from_the_first_moment(runs: Path) -> None:
    run = new_run(BY_HAND, owner="ann")
    assert owner_of(run) == "ann"
    times = [(run.path / name).stat().st_mtime_ns for name in (FILE, "config.json")]
    assert times == sorted(times)  # config.json makes the folder a run
    assert not (new_run(BY_HAND).path / FILE).exists()


def test_readers_come_once_each_and_stay_when_the_owner_changes(run: Run) -> None:
    for reader in ("bob", "cem", "bob", ""):
        add_reader(run, reader)
    write_owner(run.path, "ann")
    assert (owner_of(run), readers_of(run)) == ("ann", ("bob", "cem"))


def test_of_too_many_readers_the_oldest_go(run: Run) -> None:
    (run.path / FILE).write_text(json.dumps({"owner": "ann", "readers": [f"r{n}" for n in range(MOST_READERS)]}))
    add_reader(run, "new")
    found = readers_of(run)
    assert (len(found), found[0], found[-1]) == (MOST_READERS, "r1", "new")


def test_readers_that_are_added_at_once_are_all_kept(run: Run) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_reader(run, f"r{number}"), range(24)))
    assert sorted(readers_of(run)) == sorted(f"r{number}" for number in range(24))


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"owner": 3}', '{"owner": "ann", "readers": "bob"}', '{"owner": "ann", "readers": [1]}'),
        '{"owner": "ann", "readers": [""]}',
        json.dumps({"owner": "x" * (LONGEST + 1)}),
        "[" * 100_000,
    ],
)
def test_a_damaged_file_makes_the_run_nobodys(run: Run, text: str) -> None:
    (run.path / FILE).write_text(text)
    assert (owner_of(run), readers_of(run)) == ("", ())


@pytest.mark.parametrize("name", ["x" * (LONGEST + 1), 3, None])
def test_a_name_that_is_none_is_refused(run: Run, name: str) -> None:
    for write in (lambda: write_owner(run.path, name), lambda: add_reader(run, name)):
        with pytest.raises(BadRequest, match=f"at most {LONGEST} characters"):
            write()
    assert not (run.path / FILE).exists()


def test_names_are_opaque(run: Run) -> None:
    name = '../"\n\u202e<b>' + "ä" * 100
    write_owner(run.path, name)
    assert owner_of(run) == name
    assert owner_of(Run(run.path)) == name
