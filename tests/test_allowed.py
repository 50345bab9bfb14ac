"""What a stranger may ask a job to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from public_lab import public_settings
from run_folders import make_run

from app.access.allowed import _OFF, _RUNS, _sizes, check_allowed, check_may_go_on
from app.access.quota import check_quota
from app.access.settings import LabSettings, Limits
from app.access.visitors import HOME, Visitor
from tinylab.config import (
    CompareConfig,
    CostConfig,
    EvaluateConfig,
    FinetuneConfig,
    JobConfig,
    SampleConfig,
    SearchConfig,
    kind_of,
)
from tinylab.errors import BadRequest
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.owner import write_owner
from tinylab.runs.run import Run

ANNA, BEN = Visitor("anna", stranger=True), Visitor("ben", stranger=True)


@pytest.fixture(autouse=True)
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[LabSettings]:
    """A public lab with small limits."""
    small = {"STEPS": "100", "IMAGES": "50", "BATCH": "128", "SAMPLING": "40", "RUNS": "3", "MEGABYTES": "1"}
    with public_settings(monkeypatch, **{f"TINYLAB_MAX_{name}": value for name, value in small.items()}) as found:
        yield found


def of_anna(runs: Path, run_id: str) -> Run:
    """A run of Anna's."""
    run = make_run(runs, SearchConfig.create(), run_id)
    write_owner(run.path, ANNA.name)
    return run


FINE = [
    SearchConfig.create(steps=100),
    CompareConfig.create(steps=30, methods=("influence", "random")),
    FinetuneConfig.create(steps=100, model="digits-dit", indices=(0, 1)),
    SampleConfig.create(n=50, steps=40),
    EvaluateConfig.create(model="digits-dit", n=50, steps=40),
    CostConfig.create(equal_seconds=50),
]
TOO_MUCH = [
    (SearchConfig.create(steps=101), "steps"),
    (SearchConfig.create(steps=60, seeds=(0, 1)), "steps"),
    (SearchConfig.create(steps=1, batch_size=129), "batch-size"),
    (SearchConfig.create(steps=1, seeds=tuple(range(6))), "seeds"),
    (CompareConfig.create(steps=60, methods=("influence", "random")), "steps"),
    (CompareConfig.create(steps=30, search_steps=1000), "search-steps"),
    (FinetuneConfig.create(steps=9, model="digits-dit", indices=(0,), scored_samples=201), "scored-samples"),
    (FinetuneConfig.create(steps=9, model="digits-dit", indices=(0,), warm_steps=201), "warm-steps"),
    (FinetuneConfig.create(steps=9, model="digits-dit", indices=(0,), accumulation=100), "accumulation"),
    (SampleConfig.create(n=51), "--n"),
    (SampleConfig.create(n=1, steps=41), "steps"),
    (EvaluateConfig.create(model="digits-dit", n=51), "--n"),
    (EvaluateConfig.create(model="digits-dit", n=9, steps=10, resamples=5000), "resamples"),
    (CostConfig.create(step_counts=(9, 41)), "step-counts"),
    (CostConfig.create(batch_sizes=(129,)), "batch-sizes"),
    (CostConfig.create(rounds=100), "rounds"),
]
FILES = [
    SearchConfig.create(steps=1, data="/etc"),
    SampleConfig.create(n=1, vae="/models/vae"),
    EvaluateConfig.create(model="digits-dit", n=9, steps=9, weights="/models/inception.pth"),
    EvaluateConfig.create(model="digits-dit", n=9, steps=9, reference="/data/pictures"),
    EvaluateConfig.create(images=("/data/pictures",), n=9, steps=9),
]


@pytest.mark.parametrize("config", FINE, ids=lambda config: config.kind)
def test_what_keeps_within_the_limits_is_allowed(config: JobConfig) -> None:
    check_allowed(config, ANNA)


@pytest.mark.parametrize(("config", "flag"), TOO_MUCH, ids=lambda value: getattr(value, "kind", value))
def test_what_is_too_much_is_refused_with_what_would_be_allowed(config: JobConfig, flag: str) -> None:
    with pytest.raises(BadRequest, match=rf"{flag}: at most \d+ in a public lab") as refused:
        check_allowed(config, ANNA)
    assert "\n" not in str(refused.value)
    check_allowed(config, HOME)


@pytest.mark.parametrize("config", FILES, ids=lambda config: config.kind)
def test_files_of_the_server_are_not_read_for_strangers(config: JobConfig) -> None:
    with pytest.raises(BadRequest, match="reads no files of its server"):
        check_allowed(config, ANNA)


# What takes neither time nor room beyond what is capped, and leads nowhere.
HARMLESS = {
    *("kind", "seed", "device", "precision", "gradient_checkpointing", "clip", "log_every", "checkpoint_every"),
    *("preset", "pattern", "estimator", "objective", "decision", "skip", "share", "lr_mask", "lr_weights", "scaling"),
    *("tau_start", "tau_end", "ema_decay", "lora_rank", "lora_alpha", "label_dropout", "keep", "lr", "warmup"),
    *("indices", "recipe", "loss", "alpha", "beta", "beta_decay", "mask_sigma", "mask", "layer_map", "warm_start"),
    *("lr_scaling", "lr_batch", "lr_floor", "snapshot_every", "classes", "sampler", "guidance", "guidance_schedule"),
    *("temperature", "extractor", "metrics", "cache", "pictures"),
}


@pytest.mark.parametrize("config", FINE, ids=lambda config: config.kind)
def test_every_setting_is_checked_or_known_to_be_harmless(config: JobConfig) -> None:
    weighed = {name for name, _, _ in _sizes(config, Limits())}
    checked = {*weighed, *_RUNS, *_OFF, *kind_of(config).files, "data", "weights"}
    assert not checked & HARMLESS
    assert set(type(config).model_fields) - checked - HARMLESS == set()


@pytest.mark.parametrize("name", ["plan", "run"])
def test_runs_of_others_are_not_trained_from(runs: Path, name: str) -> None:
    run = of_anna(runs, "searched")
    DepthPlan.of([0, 1], {"blocks": 12}, "by hand", model="digits-dit").save(run.plan_path)
    config = FinetuneConfig.create(**{"steps": 9, name: "searched"})
    check_allowed(config, ANNA)
    with pytest.raises(BadRequest, match="not yours to load"):
        check_allowed(config, BEN)


def test_a_plan_of_ones_own_does_not_lead_to_the_model_of_another(runs: Path, build_tiny_dit: Any) -> None:
    annas = of_anna(runs, "annas")
    save_model(build_tiny_dit(), annas.model_path, card="")
    bens = make_run(runs, SearchConfig.create(), "bens")
    write_owner(bens.path, BEN.name)
    DepthPlan.of([0, 1], {"blocks": 4}, "by hand", model=str(annas.path)).save(bens.plan_path)
    config = FinetuneConfig.create(steps=9, run="bens")
    with pytest.raises(BadRequest, match="'annas' is not yours to load"):
        check_allowed(config, BEN)


def test_a_model_that_is_too_large_is_refused(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = DiT(input_size=8, patch_size=4, in_channels=1, num_classes=10, hidden_size=144, depth=6, num_heads=2)
    with public_settings(monkeypatch, TINYLAB_MAX_WEIGHTS="1", TINYLAB_MAX_MEGABYTES="50"):
        save_model(large, of_anna(runs, "large").model_path, card="")
        check_allowed(SampleConfig.create(n=1, steps=9), ANNA)
        with pytest.raises(BadRequest, match="at most 1 million weights in a public lab, not 2"):
            check_allowed(SampleConfig.create(n=1, steps=9, model="large"), ANNA)


def test_who_keeps_too_many_runs_is_asked_to_delete_some(runs: Path) -> None:
    for name in "ab":
        of_anna(runs, name)
    begun = make_run(runs, FINE[0], "c", state="stopped")
    write_owner(begun.path, ANNA.name)
    with pytest.raises(BadRequest, match="you keep 3 runs.*delete some in the Runs tab"):
        check_quota(ANNA)
    check_allowed(FINE[0], ANNA)  # to be told the command takes no room
    check_may_go_on(begun, ANNA)  # nor does what is there already
    check_quota(BEN)


def test_who_fills_the_disk_is_asked_to_make_room(runs: Path) -> None:
    (of_anna(runs, "a").artifacts / "large.png").write_bytes(bytes(2 * 2**20))
    with pytest.raises(BadRequest, match="your runs take 2 MB"):
        check_quota(ANNA)
    check_quota(BEN)


def test_a_full_lab_says_so(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (of_anna(runs, "a").artifacts / "large.png").write_bytes(bytes(2 * 2**20))
    with (
        public_settings(monkeypatch, TINYLAB_MAX_DISK="1"),
        pytest.raises(BadRequest, match="disk of this public lab is full"),
    ):
        check_quota(BEN)


def test_a_browser_that_keeps_no_cookie_starts_nothing() -> None:
    with pytest.raises(BadRequest, match="keeps no cookie"):
        check_quota(Visitor("", stranger=True))
