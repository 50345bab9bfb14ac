"""How to make runs again: the commands in order, those of the runs that they build on first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinylab.config import JobConfig
from tinylab.errors import BadRequest
from tinylab.paths import assets_folder, exists, runs_folder
from tinylab.runs.command import command_of
from tinylab.runs.run import Run

__all__ = ["Step", "shared", "steps_to"]

_REFERENCES = ("model", "plan", "run", "against", "plans", "data", "vae", "study", "known", "images", "reference")
_DEEP = 3  # folders between a run and what a config names of it, such as models/0


@dataclass(frozen=True)
class Step:
    """One command, and the run that it made here."""

    run: Run
    command: str


def steps_to(runs: Sequence[Run]) -> list[Step]:
    """The commands that make `runs` in a fresh clone, and before them all runs they use, as far as those are there."""
    order: dict[Path, Run] = {}
    for run in runs:
        _visit(run, order, ())
    names = _names(list(order))
    return [Step(run, _command(run, names)) for run in order.values()]


def _visit(run: Run, order: dict[Path, Run], above: tuple[Path, ...]) -> None:
    """Put what a run uses before the run itself; a circle, which only a forged config has, is left open."""
    place = run.path.absolute()
    if place in order or place in above:
        return
    for reference in _references(run.config()):
        source = _home(reference)
        if source is not None:
            _visit(source[0], order, (*above, place))
    order[place] = run


def _references(config: JobConfig) -> Iterator[str]:
    """Everything in a config that may name a run."""
    for name in _REFERENCES:
        value = getattr(config, name, None)
        yield from (value,) if isinstance(value, str) else (one for one in value or () if isinstance(one, str))


def _home(reference: str) -> tuple[Run, Path] | None:
    """The run that a reference is about, or lies in, and the place in it."""
    candidates = [runs_folder() / reference] if Path(reference).name == reference else []
    for candidate in (*candidates, Path(reference)):
        whole = candidate.absolute()
        for place in (whole, *whole.parents[:_DEEP]):
            if exists(place / "config.json") and exists(place / "status.json"):
                try:
                    run = Run.open(place)
                    run.config()
                except BadRequest:
                    return None
                return run, whole.relative_to(place)
    return None


def _names(places: Sequence[Path]) -> dict[Path, str]:
    """Every run by the name of its folder, two of one name told apart."""
    names: dict[Path, str] = {}
    for place in places:
        name, count = place.name, 1
        while name in names.values():
            count += 1
            name = f"{place.name}-{count}"
        names[place] = name
    return names


def _command(run: Run, names: dict[Path, str]) -> str:
    def called(text: str) -> str:
        home = _home(text) if text else None
        if home is not None and home[0].path.absolute() in names:
            name, rest = names[home[0].path.absolute()], home[1].as_posix()
            return name if rest == "." else f"runs/{name}/{rest}"
        return _in_clone(text)

    return command_of(run.config(), out=f"runs/{names[run.path.absolute()]}", called=called)


def _in_clone(text: str) -> str:
    """A path below the assets as it is called in any clone; of another place on this machine only its last part, since
    a report is for others; all else as it is."""
    try:
        return f"assets/{Path(text).relative_to(assets_folder()).as_posix()}"
    except ValueError:
        return f"…/{Path(text).name}" if Path(text).is_absolute() else text


def shared(text: str) -> str:
    """What others read in place of a text that may be a place of this machine: the run that it is, or its last part."""
    if not text.startswith("/") or not Path(text).is_absolute():
        return text
    home = _home(text)
    if home is None:
        return _in_clone(text)
    return home[0].id if home[1] == Path() else f"{home[0].id}/{home[1].as_posix()}"
