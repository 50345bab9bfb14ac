"""Rivals at equal seconds an image: who gets how many steps, and whose pictures are scored. No time is judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tinylab.config import CostConfig
from tinylab.jobs.admission import check
from tinylab.jobs.cost.contenders import Contender
from tinylab.jobs.cost.equal_seconds import compare_at_equal_seconds, steps_that_fit
from tinylab.jobs.cost.measure import measure_costs
from tinylab.jobs.cost.timing import Ticker
from tinylab.metrics.fidelity.extractors import open_extractor
from tinylab.metrics.fidelity.reference import open_reference, reference_features
from tinylab.metrics.fidelity.scores import score
from tinylab.models.base import Denoiser
from tinylab.models.load import save_model
from tinylab.sampling.caches import CacheSpec
from tinylab.sampling.generate import Settings
from tinylab.sampling.images import to_uint8


@pytest.fixture(autouse=True)
def features_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLAB_CACHE", str(tmp_path / "features"))


@pytest.mark.parametrize(
    ("seconds", "budget", "fits"), [(2.0, 2.0, 20), (4.0, 2.0, 10), (3.0, 2.0, 13), (2.0, 0.01, 1), (0.001, 2.0, 1000)]
)
def test_the_steps_that_fit_are_the_most(
    seconds: float, budget: float, fits: int, build_tiny: Callable[..., Denoiser]
) -> None:
    contender = Contender("a", "a", "full", build_tiny("dit"))
    assert steps_that_fit(contender, {"seconds": seconds, "steps": 20}, budget) == fits


def test_a_mar_fits_one_round_a_token_at_most(build_tiny: Callable[..., Denoiser]) -> None:
    assert steps_that_fit(Contender("a", "a", "full", build_tiny("mar")), {"seconds": 1.0, "steps": 8}, 99.0) == 16


def test_each_draws_its_own_steps_and_its_own_pictures_are_scored(build_tiny: Callable[..., Denoiser]) -> None:
    """Against the same drawn in one batch and scored by hand."""
    full, shallow = build_tiny("dit", depth=4), build_tiny("dit", depth=2)
    contenders = [
        Contender("full", "full", "full", full),
        Contender("shallow", "shallow", "shallow", shallow),
        Contender("cache", "full", "cache", full, CacheSpec("interval", 2)),
    ]
    config = CostConfig.create(equal_seconds=23, device="cpu", guidance=2.0, seed=5)
    rows = [{"model": i, "seconds": s, "steps": 6, "batch": 8} for i, s in enumerate((2.0, 1.0, 1.5))]
    told: list[int] = []
    ticker = Ticker(9, lambda done, total, message: told.append(done), lambda: False)
    found = compare_at_equal_seconds(contenders, rows, config, ticker)
    assert told == [0, 3, 6, 9]
    assert (found["seconds_per_image"], found["images"], found["extractor"]) == (1 / 8, 23, "digit-reader")
    assert [(row["label"], row["steps"]) for row in found["rows"]] == [("full", 3), ("shallow", 6), ("cache", 4)]
    extractor = open_extractor("digit-reader")
    real, labels = reference_features(open_reference("digits"), extractor), torch.arange(23) % 10
    for row, contender in zip(found["rows"], contenders, strict=True):
        images = contender.draw(labels, Settings("auto", row["steps"], 2.0, 5))
        wanted = score(("fid", "accuracy"), extractor.features(to_uint8(images)), real, labels=labels)
        for name, value in wanted.items():
            assert row["scores"][name]["value"] == pytest.approx(value.value, rel=1e-3)
        assert row["seconds_per_image"] > 0
    fid = found["rows"][0]["scores"]["fid"]
    assert fid["biased"] is True and fid["low"] <= fid["high"]


def test_a_measurement_ends_with_the_comparison(build_tiny: Callable[..., Denoiser], tmp_path: Path) -> None:
    save_model(build_tiny("dit"), tmp_path / "tiny", card="# Tiny\n")
    asked = CostConfig.create(
        model=str(tmp_path / "tiny"), equal_seconds=20, batch_sizes=(8,), step_counts=(4,), rounds=2, device="cpu"
    )
    check(asked)
    told: list[tuple[int, int]] = []
    found = json.loads(json.dumps(measure_costs(asked, lambda *at: told.append(at[:2]), lambda: False)))
    equal = found["equal_seconds"]
    assert [row["label"] for row in equal["rows"]] == [model["label"] for model in found["models"]]
    assert equal["rows"][1]["steps"] == 4
    assert equal["seconds_per_image"] == found["rows"][1]["seconds"] / 8
    assert told == sorted(told) and told[-1][0] == told[-1][1]
