"""Metrics of one run in one SQLite file: the job is the only writer, readers open it read-only at any time."""

import contextlib
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from tinylab.errors import Failure
from tinylab.training.recorder import StepRecord

__all__ = ["MetricsReader", "MetricsWriter"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scalars (step INTEGER, name TEXT, value REAL, PRIMARY KEY (step, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vectors (step INTEGER, name TEXT, value TEXT, PRIMARY KEY (step, name)) WITHOUT ROWID;
"""


class MetricsWriter:
    """Writes each logged step in one transaction, so that no reader ever sees half a step."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._sound():
            self._db = sqlite3.connect(path, timeout=10)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        """Turn a damaged file into a Failure that names the remedy."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            unopened = "unable to open" in str(error)
            if isinstance(error, sqlite3.OperationalError) and not unopened:
                raise  # as on a full disk: the file is sound, and `disk_errors` names the remedy
            if unopened:  # SQLite has the same message for a disk that takes no more files: that is an OSError here
                tempfile.TemporaryFile(dir=self._path.parent).close()
            raise Failure(f"{self._path} is damaged ({error}); delete it to go on without its curves") from error

    def write(self, step: int, record: StepRecord) -> None:
        """Store (or replace) the record of `step`."""
        with self._sound(), self._db:
            rows = [(step, name, float(value)) for name, value in record.scalars.items()]
            self._db.executemany("INSERT OR REPLACE INTO scalars VALUES (?, ?, ?)", rows)
            lists = [(step, name, _encode(values)) for name, values in record.vectors.items()]
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", lists)

    def rewind(self, step: int, until: int | None = None, *, spare: str = "") -> None:
        """Drop everything after `step`, or the steps after it up to and with `until`.

        Names that begin with `spare` stay: they are of another part of the job, which counts steps of its own.
        """
        span = step, sys.maxsize if until is None else until, f"{spare}*" if spare else ""
        with self._sound(), self._db:
            for table in ("scalars", "vectors"):
                self._db.execute(f"DELETE FROM {table} WHERE step > ? AND step <= ? AND name NOT GLOB ?", span)

    def close(self) -> None:
        """Close the file and leave it alone in its folder, readable where nothing can be written."""
        with contextlib.suppress(sqlite3.Error):  # a reader is at it: the side files stay, which does no harm
            self._db.execute("PRAGMA journal_mode=DELETE")
        self._db.close()


class MetricsReader:
    """Reads the metrics of a run that may still be writing them. A run without metrics reads as empty.

    Args:
        until: the last step that is read.
        spare: names that begin with it are read to their end; see `MetricsWriter.rewind`.
    """

    def __init__(self, path: Path, until: int = sys.maxsize, *, spare: str = "") -> None:
        self._path, self._until, self._spare = path, until, spare

    def scalars(self, name: str, after: int = -1) -> list[tuple[int, float]]:
        """(step, value) pairs of one metric, in order."""
        query = "SELECT step, value FROM scalars WHERE name = ? AND step > ? AND step <= ? ORDER BY step"
        return self._all(query, (name, after, self._end(name)))

    def vectors(self, name: str, after: int = -1) -> list[tuple[int, list[float]]]:
        """(step, values) pairs of one list-valued metric, in order."""
        query = "SELECT step, value FROM vectors WHERE name = ? AND step > ? AND step <= ? ORDER BY step"
        return [(step, json.loads(value)) for step, value in self._all(query, (name, after, self._end(name)))]

    def last_vectors(self) -> dict[str, list[float]]:
        """The newest list of every name."""
        query = "SELECT name, value FROM vectors WHERE step = (SELECT MAX(step) FROM vectors WHERE step <= ?)"
        return {name: json.loads(value) for name, value in self._all(query, (self._until,))}

    def last_scalars(self) -> dict[str, float]:
        """The newest value of every name."""
        query = "SELECT name, value FROM scalars WHERE step = (SELECT MAX(step) FROM scalars WHERE step <= ?)"
        return dict(self._all(query, (self._until,)))

    def names(self) -> list[str]:
        """Names of all scalar metrics."""
        found = self._all("SELECT name, MIN(step) FROM scalars GROUP BY name ORDER BY name", ())
        return [name for name, first in found if first <= self._end(name)]

    def _end(self, name: str) -> int:
        return sys.maxsize if self._spare and name.startswith(self._spare) else self._until

    def _all(self, query: str, arguments: tuple) -> list[tuple]:
        if not self._path.exists():
            return []
        with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?{self._how()}", uri=True, timeout=5)) as db:
            try:
                return db.execute(query, arguments).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):  # opened in the instant before the first write
                    return []
                raise

    def _how(self) -> str:
        """Without a lock where none can be taken: a recording may lie on a disk that nobody can write."""
        fixed = (
            not os.access(self._path.parent, os.W_OK) and not self._path.with_name(f"{self._path.name}-wal").exists()
        )
        return "mode=ro&immutable=1" if fixed else "mode=ro"


def _encode(values: Sequence[float]) -> str:
    return json.dumps([round(float(v), 6) for v in values], separators=(",", ":"))
