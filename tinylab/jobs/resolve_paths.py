"""Configs whose paths mean the same from any working folder. Free of torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tinylab.config import JobConfig, kind_of
from tinylab.data.catalog import DIGITS, locate_latents
from tinylab.models.catalog import built_in_models, locate_model
from tinylab.models.hub.reference import is_hub_reference
from tinylab.models.sizes import SIZES
from tinylab.paths import exists
from tinylab.runs.store import find_run

__all__ = ["resolve_paths"]

C = TypeVar("C", bound=JobConfig)


def resolve_paths(config: C) -> C:
    """The config with paths and runs as absolute paths: a resumed run finds them from any working folder."""
    changes: dict[str, object] = {}
    files = dict.fromkeys(kind_of(config).files, _path_place)
    for name, place in {**_PLACES, **files}.items():
        value = getattr(config, name, None)
        if isinstance(value, str):
            changes[name] = _absolute(value, place)
        elif value:
            changes[name] = tuple(_absolute(one, place) for one in value)
    return config.model_copy(update=changes)


def _absolute(reference: str, place: Callable[[str], Path | None]) -> str:
    """A built-in name as it is, the Hub's `main` as its commit, all else as the absolute path that `place` finds."""
    if is_hub_reference(reference):
        from tinylab.models.hub.transfer import fetch_pinned

        return str(fetch_pinned(reference).pinned)
    if reference in ("", "auto", DIGITS, *SIZES, *built_in_models()):
        return reference
    found = place(reference)
    return str(found) if found else reference


def _path_place(reference: str) -> Path | None:
    return Path(reference).absolute() if exists(Path(reference)) else None


def _run_place(reference: str) -> Path | None:
    """A file as `find_plan` reads it, else the run that `find_run` finds."""
    if exists(Path(reference)) and Path(reference).is_file():
        return Path(reference).absolute()
    return find_run(reference).path.absolute()


def _model_place(reference: str) -> Path | None:
    return _home(locate_model(reference), "model")


def _data_place(reference: str) -> Path | None:
    return _home(locate_latents(reference), "latents")


def _home(folder: Path, part: str) -> Path:
    """The folder of a run, if `folder` is that part of it: people know the run."""
    whole = folder.absolute()
    return whole.parent if whole.name == part and exists(whole.parent / "status.json") else whole


def _study_place(reference: str) -> Path | None:
    return Path(reference).absolute() if exists(Path(reference)) else find_run(reference).path.absolute()


_PLACES: dict[str, Callable[[str], Path | None]] = {
    **{"model": _model_place, "against": _model_place, "data": _data_place},
    **{"plan": _run_place, "plans": _run_place, "run": _run_place, "study": _study_place, "known": _study_place},
}
