"""Comparisons over several seeds: what a row tells of its cells, and cells that survive whatever stops the job."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tinylab.config import KINDS, CompareConfig
from tinylab.errors import BadRequest, Stopped
from tinylab.jobs.admission import check
from tinylab.jobs.compare.cell import standard_error
from tinylab.jobs.context import JobContext
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.pruning.plan import DepthPlan
from tinylab.registry import load
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.run import Run

WEIGHTS = "diffusion_pytorch_model.safetensors"
THREE: dict[str, Any] = {
    **{"methods": ("learned", "random", "influence"), "seeds": (0, 3), "search_steps": 3, "steps": 3},
    **{"batch_size": 4, "samples": 8, "threads": 1, "log_every": 1, "checkpoint_every": 1},
}


def compared(path: Path, **values: Any) -> dict[str, Any]:
    return execute(start_run(CompareConfig.create(**{**THREE, **values}), path), quiet=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of four blocks that all do something."""
    small = {"input_size": 8, "patch_size": 4, "in_channels": 1, "num_classes": 10, "hidden_size": 8, "num_heads": 2}
    made, generator = DiT(**small, depth=4), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    folder = tmp_path_factory.mktemp("model") / "small"
    save_model(made, folder, card="# Small\n")
    return str(folder)


@pytest.fixture(scope="module")
def whole(model: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two seeds of three methods, never stopped."""
    path = tmp_path_factory.mktemp("whole") / "c"
    compared(path, model=model)
    return Run.open(path)


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    """The result without what a clock measured."""
    clocked = ("speedup", "seconds_choosing")
    rows = [{name: value for name, value in row.items() if name not in clocked} for row in result["rows"]]
    for row in rows:
        row["cells"] = [{name: value for name, value in cell.items() if name not in clocked} for cell in row["cells"]]
    return {**result, "rows": rows}


def test_rows_are_means_over_seeds_with_their_standard_errors(whole: Run) -> None:
    result = whole.result()
    assert (result["seeds"], result["keep"]) == ([0, 3], 2)
    assert [row["method"] for row in result["rows"]] == list(THREE["methods"])
    for row in result["rows"]:
        assert [cell["seed"] for cell in row["cells"]] == [0, 3]
        assert row["kept"] == row["cells"][0]["kept"]
        for name in ("loss_pruned", "loss_finetuned"):
            one, two = (cell[name] for cell in row["cells"])
            assert row[name] == pytest.approx((one + two) / 2)
            assert row[f"{name}_error"] == pytest.approx(abs(one - two) / 2, abs=1e-12)
        assert row["loss_finetuned_error"] > 0
        assert all(cell["seconds_choosing"] > 0 and cell["speedup"] > 0 for cell in row["cells"])
    random = result["rows"][1]["cells"]
    assert random[0]["kept"] != random[1]["kept"]


def test_standard_error_is_the_deviation_of_the_mean() -> None:
    values = [0.1, 0.4, 0.4, 0.7]
    assert standard_error(values) == pytest.approx(math.sqrt(sum((v - 0.4) ** 2 for v in values) / 3) / 2)
    assert standard_error([0.3]) is None
    assert standard_error([]) is None


def test_a_cell_comes_to_what_a_comparison_with_its_seed_alone_comes_to(model: str, whole: Run, tmp_path: Path) -> None:
    alone = compared(tmp_path / "alone", model=model, seeds=(), seed=3)
    for both, single in zip(without_times(whole.result())["rows"], without_times(alone)["rows"], strict=True):
        assert single["cells"] == both["cells"][1:]
        assert (single["loss_pruned_error"], single["loss_finetuned_error"]) == (None, None)


def test_the_saved_model_is_that_of_the_first_seed(model: str, whole: Run, tmp_path: Path) -> None:
    turned = compared(tmp_path / "c", model=model, seeds=(3, 0), methods=("random",))["rows"][0]
    straight = whole.result()["rows"][1]
    assert turned["loss_finetuned"] == pytest.approx(straight["loss_finetuned"])
    saved = tmp_path / "c" / "models" / "0"
    assert DepthPlan.load(saved / "plan.json").kept["blocks"] == tuple(straight["cells"][1]["kept"]["blocks"])
    assert DepthPlan.load(whole.path / "models" / "1" / "plan.json").kept["blocks"] == tuple(straight["kept"]["blocks"])
    assert "seed 3" in (saved / "README.md").read_text()


def test_equal_choices_with_equal_seeds_are_fine_tuned_once(model: str, tmp_path: Path) -> None:
    DepthPlan.of((0, 1), {"blocks": 4}, "mine", model=model).save(tmp_path / "p.json")
    plans = (str(tmp_path / "p.json"),)
    rows = compared(tmp_path / "c", model=model, plans=plans, methods=("first",))["rows"]
    for mine, first in zip(rows[0]["cells"], rows[1]["cells"], strict=True):
        assert {**mine, "seconds_choosing": 0} == {**first, "seconds_choosing": 0}
        assert mine["seconds_choosing"] is None
    names = {name.split("/")[0] for name in MetricsReader(tmp_path / "c" / "metrics.db").names()}
    assert names == {"mine, seed 0", "mine, seed 3"}
    models = [tmp_path / "c" / row["model"] for row in rows]
    assert (models[0] / WEIGHTS).read_bytes() == (models[1] / WEIGHTS).read_bytes()
    assert [DepthPlan.load(folder / "plan.json").method for folder in models] == ["mine", "first"]
    assert "Chosen by: first" in (models[1] / "README.md").read_text()


class PowerCut(Exception):
    """What no job expects."""


class Frail(JobContext):
    """A context in which the power goes at the n-th report, or somebody asks to stop."""

    def __init__(self, run: Run, reports: int, *, asks: bool = False) -> None:
        super().__init__(run, quiet=True)
        self._left, self._asks = reports, asks

    def progress(self, step: int, steps: int, message: str = "") -> None:
        super().progress(step, steps, message)
        self._left -= 1
        if self._left <= 0 and not self._asks:
            raise PowerCut

    def should_stop(self) -> bool:
        return self._asks and self._left <= 0


def attempt(run: Run, reports: int, *, asks: bool = False) -> bool:
    """Let the job go on up to the n-th report; True once it is done."""
    context = Frail(run, reports, asks=asks)
    try:
        run.write_result(load(KINDS["compare"].run)(run.config(), context))
    except (PowerCut, Stopped):
        context.finish("interrupted")
        return False
    context.finish("finished")
    return True


@pytest.mark.parametrize("asks", [False, True], ids=["power cut", "asked to stop"])
def test_a_job_that_stops_again_and_again_comes_to_the_same(model: str, whole: Run, tmp_path: Path, asks: bool) -> None:
    run = start_run(CompareConfig.create(model=model, **THREE), tmp_path / "frail")
    attempts, written = 1, dict[Path, int]()
    while not attempt(run, attempts, asks=asks):
        attempts += 1
        done = {path: path.stat().st_mtime_ns for path in run.checkpoints.rglob("cell.json")}
        assert written.items() <= done.items()  # a cell that is done is left alone
        written = done
    assert attempts > 4
    assert without_times(run.result()) == without_times(whole.result())
    for row in range(3):
        weights = [load_file(folder / "models" / f"{row}" / WEIGHTS) for folder in (run.path, whole.path)]
        assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[1])
    assert not [*run.checkpoints.rglob("step-*")]


def test_rows_are_there_as_soon_as_a_first_cell_is(model: str, tmp_path: Path) -> None:
    config = CompareConfig.create(model=model, **{**THREE, "methods": ("random", "first")})
    run = start_run(config, tmp_path / "c")
    seen: list[list[int]] = []

    class Watching(JobContext):
        def progress(self, step: int, steps: int, message: str = "") -> None:
            super().progress(step, steps, message)
            seen.append([len(row["cells"]) for row in run.result().get("rows", [])])
            assert 0 <= step <= steps == 12

    load(KINDS["compare"].run)(config, Watching(run, quiet=True))
    distinct = [one for one, after in zip(seen, [*seen[1:], None], strict=True) if one != after]
    assert distinct == [[], [1], [1, 1], [2, 1], [2, 2]]


def test_progress_tells_which_search_is_at_work(model: str, tmp_path: Path) -> None:
    run = start_run(CompareConfig.create(model=model, **THREE), tmp_path / "c")
    said: list[str] = []

    class Listening(JobContext):
        def progress(self, step: int, steps: int, message: str = "") -> None:
            said.append(message)

    load(KINDS["compare"].run)(run.config(), Listening(run, quiet=True))
    assert {"learned, seed 0: searching", "learned, seed 3: fine-tuning", "random, seed 3: choosing layers"} <= {*said}


def test_a_damaged_cell_names_the_mend(model: str, tmp_path: Path) -> None:
    values = {**THREE, "methods": ("first",), "steps": 0, "model": model}
    compared(tmp_path / "c", **values)
    run = Run.open(tmp_path / "c")
    cell = run.checkpoints / "0" / "seed-3" / "cell.json"
    before = without_times(run.result())
    cell.write_text('{"kept": 5}')
    with pytest.raises(BadRequest, match="cell.json is damaged; delete it to compute that cell again"):
        attempt(run, 99)
    cell.unlink()
    assert attempt(run, 99)
    assert without_times(run.result()) == before


def test_learned_searches_by_the_pattern_of_its_name(model: str, tmp_path: Path) -> None:
    methods = ("learned:1:2", "learned:keep=2")
    rows = compared(tmp_path / "c", model=model, methods=methods, seeds=())["rows"]
    plans = [DepthPlan.load(tmp_path / "c" / row["model"] / "plan.json") for row in rows]
    assert [plan.details["pattern"] for plan in plans] == ["1:2", "keep=2"]
    assert [index // 2 for index in rows[0]["kept"]["blocks"]] == [0, 1]  # one of each pair
    assert {plan.method for plan in plans} == {"learned"}


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        ({}, "2:4"),
        ({"keep": 2}, "2:4"),
        ({"keep": 3}, "keep=3"),
        ({"pattern": "1:2"}, "1:2"),
        ({"method": "learned:1:2x1+1:2"}, "1:2x1,1:2"),
    ],
)
def test_learned_keeps_as_many_as_the_others(model: str, tmp_path: Path, values: dict[str, Any], pattern: str) -> None:
    method = values.pop("method", "learned")
    compared(tmp_path / "c", model=model, methods=(method,), seeds=(), steps=0, **values)
    assert DepthPlan.load(tmp_path / "c" / "models" / "0" / "plan.json").details["pattern"] == pattern


def test_a_pattern_binds_every_rule(model: str, tmp_path: Path) -> None:
    methods = ("random", "influence", "sensitivity", "first")
    rows = compared(tmp_path / "c", model=model, methods=methods, pattern="1:2", steps=0)["rows"]
    for cell in (cell for row in rows for cell in row["cells"]):
        assert [index // 2 for index in cell["kept"]["blocks"]] == [0, 1]


def test_a_model_of_two_stacks_is_compared(build_tiny: Callable, tmp_path: Path) -> None:
    save_model(build_tiny("mar"), tmp_path / "mar", card="# Tiny\n")
    values = {"model": str(tmp_path / "mar"), "methods": ("learned", "learned:keep=4", "random")}
    rows = compared(tmp_path / "c", **values, seeds=(0,), steps=1)["rows"]
    assert [sum(map(len, row["kept"].values())) for row in rows] == [4, 4, 4]
    assert rows[0]["kept"].keys() == {"encoder_blocks", "decoder_blocks"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"methods": ("guess",)}, "unknown method 'guess'; choose from: learned, influence,"),
        ({"methods": ("learned:5:7",)}, "patterns that do: 1:2, 2:4"),
        ({"methods": ("learned:",)}, "is not understood"),
        ({"methods": ("learned:keep=3",)}, "keeps 3 blocks, the others keep 2; name another pattern or add --keep 3"),
        ({"methods": ("learned:time=0.5",)}, "keeps no fixed number of blocks"),
        ({"methods": ("learned", "learned")}, "'learned' is named twice"),
        ({"methods": ("random",), "pattern": "1:2", "keep": 3}, "ask for 2 and 3 blocks; compare equals"),
        ({"methods": ("oracle",), "pattern": "keep=3"}, "keeps exactly half"),
        ({"methods": ("random",), "pattern": "time=0.5"}, "time=0.5 is for `tinylab search`"),
        ({"methods": ()}, "nothing to compare"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(model: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check(CompareConfig.create(model=model, **values))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
