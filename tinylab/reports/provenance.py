"""Where runs come from: their state, seeds, versions and commits, as tables."""

from collections.abc import Sequence
from typing import Any

from tinylab.config import kind_of
from tinylab.files.json_file import read_object
from tinylab.reports.names import when
from tinylab.reports.table import Column, Row, Table
from tinylab.runs.run import Run

__all__ = ["origin_of", "runs_table", "versions_table"]

_RUNS = (
    Column("run", "Run"),
    Column("kind", "Kind"),
    Column("state", "State"),
    Column("made", "Begun"),
    Column("seconds", "Computed for", unit="s", format=",.0f"),
    Column("seeds", "Seeds"),
    Column("git", "Git commit"),
)


def origin_of(run: Run) -> dict[str, Any]:
    """Versions and commit that the run was begun with; {} if they are not known."""
    return read_object(run.path / "origin.json") or {}


def runs_table(runs: Sequence[Run]) -> Table:
    """What every run is, and how it stands."""
    return Table("runs", "The runs", _RUNS, tuple(_run_row(run) for run in runs))


def _run_row(run: Run) -> Row:
    config, status = run.config(), run.status()
    seeds = getattr(config, "seeds", ()) or (config.seed,)
    commit = origin_of(run).get("git")
    return Row(
        (
            run.id,
            kind_of(config).title,
            status.state,
            when(status.created),
            status.seconds,
            ", ".join(map(str, seeds)),
            str(commit)[:12] if commit else None,
        )
    )


def versions_table(runs: Sequence[Run]) -> Table:
    """Python and the packages by version; a column for each set of versions that differs."""
    groups: dict[tuple[tuple[str, str | None], ...], list[str]] = {}
    for run in runs:
        groups.setdefault(_versions(run), []).append(run.id)
    sets = [dict(versions) for versions in groups]
    names = list(dict.fromkeys(name for versions in sets for name in versions))
    labels = ["Version"] if len(groups) == 1 else [", ".join(several) for several in groups.values()]
    columns = (
        Column("package", "Package"),
        *(Column("version" if len(groups) == 1 else f"version_{i}", label) for i, label in enumerate(labels)),
    )
    rows = tuple(Row((name, *(versions.get(name) for versions in sets))) for name in names)
    return Table("versions", "Versions", columns, rows)


def _versions(run: Run) -> tuple[tuple[str, str | None], ...]:
    origin = origin_of(run)
    packages = origin.get("packages")
    found = {"python": origin.get("python"), **(packages if isinstance(packages, dict) else {})}
    return tuple((str(name), None if version is None else str(version)) for name, version in found.items())
