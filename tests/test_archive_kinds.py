"""A run of every kind, made by its job, comes out of its archive as everything that pages and reports read of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from encode_inputs import make_autoencoder, make_pictures
from packed_runs import archived

from tinylab.archive.unpack import import_archive
from tinylab.config import (
    CompareConfig,
    CostConfig,
    EncodeConfig,
    EvaluateConfig,
    FinetuneConfig,
    JobConfig,
    PruneConfig,
    RecipesConfig,
    SampleConfig,
    SearchConfig,
    StudyConfig,
    TrainConfig,
    config_types,
)
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.reports.readable import check_readable
from tinylab.reports.sections import section_of
from tinylab.runs.run import Run
from tinylab.runs.trash import delete

SHORT: dict[str, Any] = {"steps": 2, "batch_size": 8, "threads": 1}
FINE: dict[str, Any] = {"lr": 1e-3, "warmup": 0}


@dataclass
class Place:
    """Where the runs of all kinds are, and what they are made from."""

    runs: Path
    model: str
    inputs: Path
    search: str = ""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A tiny model and a finished search in it, which other jobs build on."""
    folder = tmp_path_factory.mktemp("kinds")
    sizes = {"input_size": 8, "patch_size": 4, "in_channels": 1, "num_classes": 10}
    save_model(DiT(**sizes, hidden_size=8, depth=4, num_heads=2), folder / "tiny", card="# Tiny\n")
    found = Place(folder / "runs", str(folder / "tiny"), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYLAB_RUNS", str(found.runs))
        found.search = make(SearchConfig.create(model=found.model, pattern="1:2", log_every=1, **SHORT)).id
        yield found


@pytest.fixture(autouse=True)
def runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All tests of this file share one runs folder."""
    monkeypatch.setenv("TINYLAB_RUNS", str(place.runs))
    return place.runs


def make(config: JobConfig) -> Run:
    run = start_run(config)
    execute(run, quiet=True)
    return run


def encode(place: Place) -> JobConfig:
    make_autoencoder(place.inputs / "vae")
    make_pictures(place.inputs / "pictures", {"ash": 3, "birch": 3})
    return EncodeConfig.create(data=str(place.inputs / "pictures"), vae=str(place.inputs / "vae"), size=16)


# For every kind a small job that leaves every kind of file it can.
KINDS: dict[str, Callable[[Place], JobConfig]] = {
    "train": lambda at: TrainConfig.create(preset="digits-reader", **SHORT),
    "search": lambda at: SearchConfig.create(model=at.model, pattern="1:2", seeds="0,1", **SHORT),
    "prune": lambda at: PruneConfig.create(model=at.model, method="influence", samples=8, threads=1),
    "finetune": lambda at: FinetuneConfig.create(
        run=at.search, snapshot_every=1, scored_samples=20, warm_start="align", warm_steps=1, **SHORT
    ),
    "sample": lambda at: SampleConfig.create(model=at.model, against=(at.search,), n=4, steps=2, threads=1),
    "evaluate": lambda at: EvaluateConfig.create(model=at.model, n=20, steps=2, resamples=0, pictures=True, threads=1),
    "cost": lambda at: CostConfig.create(model=at.model, rounds=1, batch_sizes=(2,), step_counts=(2,), threads=1),
    "compare": lambda at: CompareConfig.create(
        model=at.model, methods=("influence", "random"), plans=(at.search,), samples=8, **SHORT
    ),
    "study": lambda at: StudyConfig.create(model=at.model, keep=1, finetune=2, **SHORT),
    "recipes": lambda at: RecipesConfig.create(
        run=at.search, recipes=("diffusion", "logit"), seeds="0,1", scored_samples=0, **SHORT
    ),
    "encode": encode,
}


def read(run: Run) -> dict[str, Any]:
    """Everything that pages, menus and reports read of a run."""
    section = section_of(run)
    metrics = run.metrics()
    return {
        "config": run.config(),
        "status": replace(run.stored_status(), pid=0, process_start=0.0, slot=-1),
        "result": run.result(),
        "section": (section.title, section.words, section.data),
        "tables": [table.to_json() for table in section.tables],
        "figures": [plot.figure for plot in section.plots],
        "pictures": [picture.png for picture in section.pictures],
        "curves": {name: metrics.scalars(name) for name in metrics.names()},
        "last": (metrics.last_scalars(), metrics.last_vectors()),
        "snapshots": {path.name: path.read_bytes() for path in run.snapshots()},
        "hidden values": run.activations(),
        "files": {
            str(path.relative_to(run.path)): path.read_bytes()
            for folder in ("artifacts", "model", "models", "latents")
            for path in (run.path / folder).rglob("*")
            if path.is_file() and not path.parent.name.startswith("pictures-")
        },
        "plan": run.plan_path.read_bytes() if run.plan_path.is_file() else None,
    }


def test_every_kind_of_job_is_among_these() -> None:
    assert set(KINDS) == set(config_types())


@pytest.mark.parametrize("kind", KINDS)
def test_run_of_every_kind_comes_back_equal(kind: str, place: Place, tmp_path: Path) -> None:
    run = make(KINDS[kind](place))
    before = read(run)
    everything = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    file = archived(run, tmp_path / "x.zip", checkpoints=True)
    delete(run)
    back = import_archive(file, judge=check_readable)
    assert back.id == run.id
    after = read(back)
    for part, value in before.items():
        assert after[part] == value, part
    left = {name for name in everything if not (back.path / name).is_file()}
    assert {name for name in left if "/pictures-" not in f"/{name}"} <= {"lock", "log.txt"}
