"""From a request to an admitted job: checked once, its paths pinned, with what was read for it. Free of torch."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tinylab.config import KINDS, JobConfig, LoopConfig, SearchConfig, kind_of
from tinylab.config.recovery import CutConfig
from tinylab.data.catalog import DIGITS, locate_latents
from tinylab.errors import BadRequest
from tinylab.jobs.facts import Facts
from tinylab.models.catalog import built_in_models
from tinylab.models.hub.reference import is_hub_reference
from tinylab.models.sizes import SIZES
from tinylab.paths import exists
from tinylab.registry import load
from tinylab.runs.run import Run
from tinylab.runs.store import find_run, new_run
from tinylab.training.shares import check_shares
from tinylab.training.trackers import check_tracking

__all__ = ["Admitted", "admit", "check", "check_process", "check_sharing", "on_own_device", "resolve_paths"]

C = TypeVar("C", bound=JobConfig)


@dataclass(frozen=True)
class Admitted:
    """A job that may begin.

    Attributes:
        config: what was asked, its paths absolute and its models pinned.
        facts: what the check has read; `execute` takes it where it follows in the same process.
    """

    config: JobConfig
    facts: Facts

    def create_run(self, path: Path | None = None, *, owner: str = "") -> Run:
        """The job's run folder, a new one of the runs folder unless `path` is given."""
        run = Run.create(path, self.config, owner=owner) if path else new_run(self.config, owner=owner)
        if isinstance(self.config, CutConfig):  # until it begins, the source of its plan may go or become another
            self.facts.cut(self.config).save(run.plan_path)
        return run


def admit(config: JobConfig, processes: int = 1) -> Admitted:
    """Check a request and pin what it names.

    Raises:
        BadRequest: it cannot be done as asked, or not by this many processes.
    """
    facts = check(config, processes)
    return Admitted(resolve_paths(config, facts), facts)


def check(config: JobConfig, processes: int = 1) -> Facts:
    """Raise BadRequest for whatever is known to be wrong from the config and the folders it names; what was read."""
    check_process(config, processes)
    facts = Facts()
    load(kind_of(config).check)(config, facts)
    return facts


def check_process(config: JobConfig, processes: int) -> None:
    """BadRequest unless this many processes can do the job, with the libraries that are here."""
    check_sharing(config, processes)
    check_tracking(config)


def check_sharing(config: JobConfig, processes: int) -> None:
    """BadRequest unless this many processes can share the job."""
    if processes > 1 and not kind_of(config).shared:
        *several, last = (name for name, kind in KINDS.items() if kind.shared)
        raise BadRequest(
            f"{config.kind} runs in one process, not {processes}: start it without a launcher "
            f"({', '.join(several)} and {last} take several)"
        )
    if isinstance(config, LoopConfig):
        copies = config.masks_per_image if isinstance(config, SearchConfig) else 1
        check_shares(config.batch_size, processes=processes, accumulation=config.accumulation, copies=copies)


def on_own_device(config: JobConfig, processes: int) -> JobConfig:
    """The config of a job of several processes, on the CPU where the launcher asks for that.

    Raises:
        BadRequest: there are fewer GPUs than processes on this machine.
    """
    if processes == 1 or config.device == "cpu":
        return config
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
        return config.model_copy(update={"device": "cpu"})
    import torch

    gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if 0 < gpus < here:
        raise BadRequest(f"there are {gpus} GPUs for {here} processes on this machine; start as many, or --device cpu")
    return config


def resolve_paths(config: C, facts: Facts) -> C:
    """The config with paths and runs as absolute paths: a resumed run finds them from any working folder."""
    names = {"", "auto", DIGITS, *SIZES, *built_in_models()}

    def absolute(reference: str, place: Callable[[str], Path | None]) -> str:
        """A built-in name as it is, the Hub's `main` as its commit, all else as the path that `place` finds."""
        if reference in names:
            return reference
        if is_hub_reference(reference):
            from tinylab.models.hub.transfer import fetch_pinned

            pinned = str(fetch_pinned(reference).pinned)
        else:
            pinned = str(place(reference) or reference)
        facts.pin(reference, pinned)
        return pinned

    def model(reference: str) -> Path:
        return _home(facts.model(reference).path, "model")

    places: dict[str, Callable[[str], Path | None]] = {
        **dict.fromkeys(("model", "against"), model),
        **dict.fromkeys(("plan", "plans", "run"), _run_place),
        **dict.fromkeys(("study", "known"), lambda reference: _path_place(reference) or _found_run(reference)),
        "data": lambda reference: _home(locate_latents(reference), "latents"),
        **dict.fromkeys(kind_of(config).files, _path_place),
    }
    changes: dict[str, object] = {}
    for name, place in places.items():
        value = getattr(config, name, None)
        if isinstance(value, str):
            changes[name] = absolute(value, place)
        elif value:
            changes[name] = tuple(absolute(one, place) for one in value)
    return config.model_copy(update=changes)


def _path_place(reference: str) -> Path | None:
    return Path(reference).absolute() if exists(Path(reference)) else None


def _found_run(reference: str) -> Path:
    return find_run(reference).path.absolute()


def _run_place(reference: str) -> Path | None:
    """A file as `find_plan` reads it, else the run that `find_run` finds."""
    path = _path_place(reference)
    return path if path and path.is_file() else _found_run(reference)


def _home(folder: Path, part: str) -> Path:
    """The folder of a run, if `folder` is that part of it: people know the run."""
    whole = folder.absolute()
    return whole.parent if whole.name == part and exists(whole.parent / "status.json") else whole
