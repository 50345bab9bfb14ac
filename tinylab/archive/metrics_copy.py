"""Copying curves row by row into a file of our own: a snapshot while a job writes, and a way to take a stranger's."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.runs.metrics_db import MetricsWriter

__all__ = ["copy_metrics"]

_SIGNATURE = b"SQLite format 3\x00"
_LONGEST_NAME, _LONGEST_LIST, _LARGEST_CELL = 200, 100_000, 4 * 2**20
_MOST_STEPS = 10**9
_TABLES = ("scalars", "vectors")


def copy_metrics(source: Path, target: Path, *, alone: bool = False) -> None:
    """Write all rows of `source` to the new file `target`, each checked on the way.

    Args:
        alone: that nobody writes `source`, and that it may be a stranger's: nothing beside it is looked for.

    Raises:
        BadRequest: not a metrics file as Tinylab writes them.
    """
    try:
        with source.open("rb") as file:
            sound = file.read(len(_SIGNATURE)) == _SIGNATURE
        if not sound:
            raise ValueError("it is no SQLite file")
        MetricsWriter(target).close()  # makes the two tables
        mode = "mode=ro&immutable=1" if alone else "mode=ro"
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?{mode}", uri=True, timeout=10)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            _guard(old)
            old.execute("BEGIN")  # one moment for both tables
            _check_schema(old, new)
            for table in _TABLES:
                new.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", _rows(old, table))
            new.commit()
    except (sqlite3.DatabaseError, ValueError, OverflowError, RecursionError) as error:
        target.unlink(missing_ok=True)
        reason = " ".join(str(error).split())[:100]
        raise BadRequest(f"metrics.db holds no curves of Tinylab ({reason}); get a whole copy of it") from None


def _guard(db: sqlite3.Connection) -> None:
    """Let nothing in the file be carried out."""
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_CELL)
    db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "query_only=ON"):
        db.execute(f"PRAGMA {pragma}")


def _check_schema(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Only the two tables, word for word: no view, trigger, index or computed column of somebody else's."""
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
    if old.execute(query).fetchmany(10) != new.execute(query).fetchall():
        raise ValueError("it has other tables")
    ((verdict,),) = old.execute("PRAGMA quick_check(1)").fetchmany(1)
    if verdict != "ok":
        raise ValueError("it is damaged")


def _rows(db: sqlite3.Connection, table: str) -> Iterator[tuple[int, str, Any]]:
    for step, name, value in db.execute(f"SELECT step, name, value FROM {table}"):
        if type(step) is not int or not 0 <= step <= _MOST_STEPS:
            raise ValueError("a step is not a number of steps")
        if type(name) is not str or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise ValueError("a curve has no proper name")
        if table == "vectors":
            yield step, name, _list(value)
        elif value is None or type(value) in (int, float):  # SQLite keeps nan as NULL
            yield step, name, value
        else:
            raise ValueError(f"{name} at step {step} is no number")


def _list(value: Any) -> str:
    """A list of numbers as JSON, as it was stored."""
    found = json.loads(value) if isinstance(value, str) else None
    if not isinstance(found, list) or len(found) > _LONGEST_LIST:
        raise ValueError("a list of numbers is none")
    if not all(type(one) in (int, float) for one in found):
        raise ValueError("a list of numbers holds something else")
    return json.dumps(found, separators=(",", ":"))
