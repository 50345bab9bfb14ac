"""The fine-tuning job: what it leaves behind, for every family and from every warm start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinylab.config import FinetuneConfig
from tinylab.errors import BadRequest
from tinylab.files.json_file import read_object
from tinylab.jobs.admission import check
from tinylab.jobs.execute import execute, start_run
from tinylab.metrics.layer_activations import activations_from_json
from tinylab.models.load import load_model
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.run import ACTIVATIONS, SNAPSHOTS

QUICK: dict[str, Any] = {"steps": 3, "batch_size": 4, "threads": 1, "log_every": 1, "snapshot_every": 2}
HALVES = {
    "digits-dit": ("0", "1", "2", "3", "4", "6"),
    "digits-sit": ("0", "2", "4", "6", "8", "10"),
    "digits-mar": ("e0", "e1", "e3", "d0", "d2", "d4"),
}


def recovered(path: Path, model: str, **values: Any) -> Any:
    config = FinetuneConfig.create(model=model, indices=HALVES[model], scored_samples=20, **{**QUICK, **values})
    run = start_run(config, path)
    execute(run, quiet=True)
    return run


@pytest.mark.parametrize("model", HALVES)
def test_a_fine_tuning_leaves_model_film_scores_and_hidden_values(tmp_path: Path, model: str) -> None:
    run = recovered(tmp_path / "f", model, loss="masked-kd")
    result, metrics = run.result(), MetricsReader(run.metrics_path)
    assert sorted(p.name for p in (run.artifacts / SNAPSHOTS).iterdir()) == [f"000000{step}.png" for step in (0, 2, 3)]
    for name in ("kernel_distance", "read_correctly"):
        assert [step for step, _ in metrics.scalars(name)] == [0, 2, 3]
    assert {"loss", "mse", "vb", "kd", "features", "lr", "grad_norm"} <= set(metrics.names())
    found = {name: activations_from_json(part) for name, part in read_object(run.artifacts / ACTIVATIONS).items()}
    assert set(found) == {"teacher", "cut", "recovered"}
    depth = load_model(str(run.path)).stack_depths()
    assert sum(depth.values()) == 6
    assert {stack: len(several) for stack, several in found["recovered"].items()} == depth
    assert result["loss_finetuned"] < result["loss_pruned"]
    assert result["learning_rate"] == 1e-3


@pytest.mark.parametrize("warm_start", ["none", "mean", "linear", "align"])
def test_every_warm_start_leads_into_the_training(tmp_path: Path, warm_start: str) -> None:
    quiet = {"snapshot_every": 0, "warm_steps": 2, "loss": "diffusion"}
    run = recovered(tmp_path / warm_start, "digits-dit", warm_start=warm_start, **quiet)
    names = set(MetricsReader(run.metrics_path).names())
    assert ("warm-start/loss" in names) == (warm_start == "align")
    assert not (run.artifacts / SNAPSHOTS).exists()
    assert "kernel_distance" not in names


def test_a_linear_warm_start_alone_undoes_much_of_the_cut(tmp_path: Path) -> None:
    """Two steps at a tiny rate change nothing: what the loss gained, it gained by least squares."""
    config = {"lr": 1e-9, "steps": 2, "snapshot_every": 0, "loss": "diffusion"}
    plain, warm = (
        recovered(tmp_path / start, "digits-dit", warm_start=start, **config).result() for start in ("none", "linear")
    )
    assert plain["loss_finetuned"] == pytest.approx(plain["loss_pruned"], rel=1e-3)
    assert warm["loss_finetuned"] < 0.7 * warm["loss_pruned"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"recipe": "slow"}, "unknown recipe 'slow'"),
        ({"scored_samples": 3}, r"scored-samples: score 20 or more, or 0 for none \(got 3\)"),
        (
            {"loss": "feature", "layer_map": "published", "indices": ("0", "1", "5", "7", "9")},
            "12 blocks do not make 5",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(values: dict[str, Any], said: str) -> None:
    config = FinetuneConfig.create(**{"model": "digits-dit", "indices": HALVES["digits-dit"], **values})
    with pytest.raises(BadRequest, match=said):
        check(config)
