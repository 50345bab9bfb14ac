"""The job `cost` and `tinylab bench sample`: numbers that follow from one another, and what is refused. No time is
judged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tinylab.cli import main
from tinylab.cli.cost_table import explanations
from tinylab.config import CostConfig
from tinylab.errors import BadRequest, Stopped
from tinylab.jobs.admission import check
from tinylab.jobs.cost.contenders import contenders_of, every_second_block, load_or_build
from tinylab.jobs.cost.measure import measure_costs
from tinylab.jobs.cost.timing import Timing, speedup
from tinylab.jobs.execute import execute, start_run
from tinylab.metrics.cost import count_parameters
from tinylab.models.base import Denoiser
from tinylab.models.load import save_model
from tinylab.sampling.generate import Settings, generate

PARTS = ("blocks", "embedders", "head")


def config(**values: Any) -> CostConfig:
    usual = {"device": "cpu", "rounds": 2, "batch_sizes": (2,), "step_counts": (3,)}
    return CostConfig.create(**{**usual, **values})


def measured(asked: CostConfig) -> dict[str, Any]:
    check(asked)
    return json.loads(json.dumps(measure_costs(asked, lambda *_: None, lambda: False)))


@pytest.fixture
def saved(build_tiny: Callable[..., Denoiser], tmp_path: Path) -> Callable[..., str]:
    """Saves tiny models: `saved("sit", depth=5)` is its folder."""

    def save(family: str, name: str = "tiny", **changes: Any) -> str:
        save_model(build_tiny(family, **changes), tmp_path / name, card="# Tiny\n")
        return str(tmp_path / name)

    return save


@pytest.mark.parametrize("family", ["dit", "sit", "mar"])
def test_every_family_is_measured_beside_every_second_block(family: str, saved: Callable[..., str]) -> None:
    found = measured(config(model=saved(family)))
    assert set(found) == {"machine", "sampling", "models", "rows", "shares", "equal_seconds"}
    assert found["sampling"] == {
        "family": family,
        "sampler": {"dit": "ddpm", "sit": "euler", "mar": "masked"}[family],
        "guidance": 1.5,
    }
    full, half = found["models"]
    assert (full["kind"], half["kind"], half["source"]) == ("full", "shallow", full["source"])
    assert [2 * count for count in half["depth"].values()] == list(full["depth"].values())
    for table in ("parameters", "macs"):
        for model in (full, half):
            assert sum(model[table][part] for part in PARTS) == model[table]["total"]
        assert full[table]["blocks"] == 2 * half[table]["blocks"] > 0
        assert full[table]["head"] == half[table]["head"] > 0
        assert full[table]["embedders"] == half[table]["embedders"] > 0
    assert sum(found["shares"].values()) == pytest.approx(1)
    first, second = found["rows"]
    for row in (first, second):
        assert (row["batch"], row["steps"], row["rounds"]) == (2, 3, 2)
        assert row["low"] <= row["seconds"] <= row["high"]
        assert row["images_per_second"] == pytest.approx(2 / row["seconds"])
    assert (first["speedup"], first["limit"], first["expected"]) == (1, 1, pytest.approx(1))
    assert second["limit"] == 2
    assert second["expected"] == pytest.approx(1 / (1 - found["shares"]["blocks"] / 2))
    assert first["peak_bytes"] > second["peak_bytes"] > 4 * half["parameters"]["total"]


def test_rivals_and_cases_come_in_order(saved: Callable[..., str]) -> None:
    full, shallow = saved("dit", "full", depth=6), saved("dit", "shallow", depth=2)
    asked = config(
        model=full, against=(shallow,), caches=("interval:3", "first-block:0"), batch_sizes=(1, 2), step_counts=(3, 5)
    )
    found = measured(asked)
    assert [model["kind"] for model in found["models"]] == ["full", "shallow", "cache", "cache"]
    assert [model["label"] for model in found["models"]] == [
        *("full", "shallow", "cache interval:3", "cache first-block:0")
    ]
    assert [model["source"] for model in found["models"]] == [full, shallow, full, full]
    assert [model["cache"] for model in found["models"]] == [None, None, "interval:3", "first-block:0"]
    assert [(row["batch"], row["steps"], row["model"]) for row in found["rows"]] == [
        (batch, steps, model) for batch in (1, 2) for steps in (3, 5) for model in range(4)
    ]
    limits = [row["limit"] for row in found["rows"][:4]]
    assert limits == [1, 3, None, None]
    assert [row["expected"] is None for row in found["rows"][:4]] == [False, False, True, True]
    whole, _, interval, never = (model["macs"]["blocks"] for model in found["models"])
    assert interval * 3 * 6 == whole * (6 + 2 + 2)  # of three steps of six blocks
    assert never == whole


def test_a_rival_of_another_width_has_no_limit(saved: Callable[..., str]) -> None:
    asked = config(model=saved("dit", "wide", hidden_size=24), against=(saved("dit", "narrow"),))
    row = measured(asked)["rows"][1]
    assert row["limit"] is row["expected"] is None
    assert row["speedup"] > 0


def test_macs_are_of_one_image_with_all_steps_and_looks(saved: Callable[..., str]) -> None:
    def total(**values: Any) -> int:
        full = contenders_of(config(model=folder, **values))[0]
        return full.macs(Settings(values.get("sampler", "auto"), values.get("steps", 1), values["guidance"]))["total"]

    folder = saved("sit")
    once = total(guidance=1.0)
    assert total(guidance=1.0, sampler="heun") == 2 * once
    (full, _) = contenders_of(config(model=folder))
    assert full.macs(Settings("euler", 7, 1.0))["total"] == 7 * once
    assert once < total(guidance=3.0) <= 2 * once


def test_a_mar_takes_one_round_a_token_at_most(saved: Callable[..., str]) -> None:
    found = measured(config(model=saved("mar", img_size=4), step_counts=(4, 99), rounds=1))
    assert [row["steps"] for row in found["rows"]] == [4, 4]  # one case, two models


def test_lower_precision_is_said_and_draws_other_images(saved: Callable[..., str]) -> None:
    for family in ("dit", "mar"):
        folder = saved(family, family)
        exact, low = (contenders_of(config(model=folder, precision=p))[0] for p in ("float32", "bfloat16"))
        labels, settings = torch.arange(3), Settings(steps=2)
        images = exact.draw(labels, settings)
        assert torch.equal(images, generate(exact.model, exact.objective, labels, settings))
        assert low.draw(labels, settings).isfinite().all()
        assert not torch.equal(low.draw(labels, settings), images)
    assert measured(config(model=folder, precision="bfloat16", rounds=1))["machine"]["precision"] == "bfloat16"


def test_published_sizes_get_weights_that_do_something() -> None:
    check(config(model="DiT-XL/2", against=("TinyDiT-D14/2",)))
    model = load_or_build("DiT-S/8", "cpu", seed=3)
    assert all(parameter.any() for parameter in model.parameters())
    again, other = load_or_build("DiT-S/8", "cpu", seed=3), load_or_build("DiT-S/8", "cpu", seed=4)
    assert torch.equal(model.blocks[3].attn.qkv.weight, again.blocks[3].attn.qkv.weight)
    assert not torch.equal(model.blocks[3].attn.qkv.weight, other.blocks[3].attn.qkv.weight)
    assert every_second_block(model).kept == {"blocks": (0, 2, 4, 6, 8, 10)}
    assert count_parameters(model) > 30e6


def test_speedups_are_of_rounds_and_quartiles_of_their_times() -> None:
    full, other = Timing([2.0, 8.0, 3.0], 0), Timing([1.0, 2.0, 3.0], 0)
    assert speedup(full, other) == 2  # of 2, 4 and 1
    assert other.median == 2 and other.quartiles == (1.5, 2.5)
    assert Timing([3.0], 0).quartiles == (3.0, 3.0)


def test_the_explanation_names_limit_share_and_measure() -> None:
    models = [{"label": "a", "kind": "full"}, {"label": "b", "kind": "shallow"}, {"label": "c", "kind": "cache"}]
    row = {"batch": 4, "steps": 20, "blocks_share": 0.969, "limit": 2.0, "expected": 1.94, "speedup": 1.91}
    rows = [{**row, "model": 0}, {**row, "model": 1}, {**row, "model": 2, "limit": None}]
    assert list(explanations({"models": models, "rows": rows})) == [
        "batch 4, 20 steps, b: limit 2.00×; blocks take 96.9% of a step, so 1.94× can be had; measured 1.91×"
    ]


def test_the_job_leaves_its_result_and_tells_how_far_it_is(saved: Callable[..., str]) -> None:
    run = start_run(config(model=saved("dit"), caches=("interval:2",)))
    result = execute(run, quiet=True)
    assert run.result() == json.loads(json.dumps(result))
    status = run.status()
    assert status.state == "finished"
    assert status.step == status.steps == 3 + 4 * 3 + 3  # counted, drawn twice to warm up and in rounds, shares


def test_a_measurement_stops_within_a_drawing(saved: Callable[..., str]) -> None:
    looks = iter([False] * 8)
    with pytest.raises(Stopped, match="resume"):
        measure_costs(config(model=saved("dit"), step_counts=(500,)), lambda *_: None, lambda: next(looks, True))


def test_the_command_prints_json_or_tables(saved: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["bench", "sample", "--model", saved("dit"), "--caches", "interval:2", "--batch-sizes", "2"]
    flags += ["--step-counts", "3", "--rounds", "2", "--device", "cpu", "--threads", "1"]
    assert main([*flags, "--json"]) == 0
    printed = capsys.readouterr()
    made = json.loads(printed.out)
    assert made["machine"]["threads"] == 1 and len(made["rows"]) == 3
    assert "round 2 of 2" in printed.err
    assert main(flags) == 0
    out = capsys.readouterr().out
    assert "every second block" in out and "cache interval:2" in out and "can be had; measured" in out
    assert main([*flags, "--markdown"]) == 0
    assert re.search(r"^\| every second block +\| +2 +\| ", capsys.readouterr().out, flags=re.MULTILINE)


def test_bench_keeps_what_was_given_before_the_part(capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ["--width", "16", "--tokens", "4", "--blocks", "4", "--heads", "2", "--batch", "2", "--weights", "lora"]
    assert main(["bench", "--json", "--rounds", "3", "--modes", "exact", "search", *tiny, "--device", "cpu"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["rounds"] == 3
    assert [(row["mode"], row["width"]) for row in made["rows"]] == [("dense", 16), ("exact", 16)]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batch_sizes": ()}, "batch-sizes"),
        ({"batch_sizes": (0,)}, "batch-sizes"),
        ({"step_counts": (1001,)}, "step-counts"),
        ({"sampler": "euler"}, "does not fit"),
        ({"model": "nowhere"}, "nowhere"),
        ({"against": ("digits-sit",)}, "compare equals"),
        ({"against": ("DiT-S/2",)}, "other images"),
        ({"caches": ("none",)}, "leave it out"),
        ({"caches": ("lru:3",)}, "interval:K"),
        ({"model": "digits-mar", "caches": ("interval:2",)}, "number of tokens"),
        ({"model": "DiT-S/2", "equal_seconds": 100}, "digits"),
        ({"equal_seconds": 19}, "20 samples"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(values: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said) as refused:
        check(config(**values))
    assert "\n" not in str(refused.value)


def test_a_model_of_one_block_needs_a_rival(saved: Callable[..., str]) -> None:
    with pytest.raises(BadRequest, match="--against"):
        check(config(model=saved("dit", depth=1)))
