"""What the Fine-tune tab shows of one run and of two."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from run_folders import make_run

from app.access.visitors import HOME
from app.page.comparison import ComparisonMenu, other_run
from app.page.live import poll
from app.tabs.finetune import comparison_menu
from app.views import finetune
from tinylab.config import SearchConfig
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.presets import finetune_config
from tinylab.runs.metrics_db import MetricsReader, MetricsWriter
from tinylab.runs.run import Run, Status, own_process
from tinylab.training.recorder import StepRecord

EVIL = "<img src=x onerror=alert(1)>"
MASKED, PLAIN = f"masked{EVIL}", "plain"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with two fine-tunings of a tiny model that draws digits."""
    home = tmp_path_factory.mktemp("lab")
    sizes = {"input_size": 8, "patch_size": 4, "in_channels": 1, "num_classes": 10}
    save_model(DiT(**sizes, hidden_size=8, depth=4, num_heads=2), home / "model", card="")
    common: dict[str, Any] = {"model": str(home / "model"), "indices": (0, 3), "batch_size": 4, "log_every": 1}
    common |= {"snapshot_every": 2, "scored_samples": 20, "threads": 1}
    masked = finetune_config("quick", loss="masked-kd", steps=5, warm_start="align", warm_steps=2, **common)
    execute(start_run(masked, home / "runs" / MASKED), quiet=True)
    plain = finetune_config("plain", steps=3, **common)
    execute(start_run(plain, home / "runs" / PLAIN), quiet=True)
    return home / "runs"


@pytest.fixture
def lab(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that runs folder, where the app looks for runs."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.setenv("TINYLAB_RUNS", str(tmp_path / "copy"))
    return tmp_path / "copy"


def ask(**request: Any) -> dict[str, Any]:
    return poll(finetune.view, {"run": MASKED, **request}, HOME, other_run)


@pytest.fixture
def menu() -> ComparisonMenu:
    """The menu of other fine-tunings, on a page of its own."""
    with gr.Blocks():
        return comparison_menu()


def named_lines(figure: dict[str, Any]) -> list[str]:
    return [trace["name"] for trace in figure["data"] if trace.get("showlegend") is not False]


def test_every_term_of_the_loss_has_its_line(lab: Path) -> None:
    figure = ask()["figures"]["loss"]
    assert named_lines(figure) == ["loss", "images", "variance", "teacher's output", "hidden states"]
    assert figure["layout"]["yaxis"]["type"] == "log"
    recorded = MetricsReader(Run.open(lab / MASKED).metrics_path)
    raw = {trace["name"]: trace["y"] for trace in figure["data"]}
    for name, words in (("kd", "teacher's output"), ("features", "hidden states"), ("mse", "images")):
        assert raw[f"{words}, as measured"] == [value for _, value in recorded.scalars(name)]


def test_loss_of_the_full_model_is_drawn_only_where_it_is_the_same_loss(lab: Path) -> None:
    assert not any("full model" in name for name in named_lines(ask()["figures"]["loss"]))
    assert any("full model" in name for name in named_lines(ask(run=PLAIN)["figures"]["loss"]))


def test_rate_norm_and_fidelity_have_a_picture_each(lab: Path) -> None:
    shown = ask()["figures"]
    for slot, name in (
        ("rate", "lr"),
        ("norm", "grad_norm"),
        ("distance", "kernel_distance"),
        ("read", "read_correctly"),
    ):
        recorded = MetricsReader(Run.open(lab / MASKED).metrics_path).scalars(name)
        assert recorded
        assert (shown[slot]["data"][0]["x"], shown[slot]["data"][0]["y"]) == tuple(
            map(list, zip(*recorded, strict=True))
        )
        assert not shown[slot]["layout"]["showlegend"]
    assert shown["distance"]["data"][0]["x"] == [0, 2, 4, 5]
    assert shown["read"]["layout"]["yaxis"]["range"][0] == 0


@pytest.mark.parametrize(("distance", "scale"), [(0.5, "log"), (-0.01, "linear")])
def test_distance_below_zero_is_not_lost_on_a_log_scale(lab: Path, distance: float, scale: str) -> None:
    writer = MetricsWriter(Run.open(lab / MASKED).metrics_path)
    writer.write(9, StepRecord({"kernel_distance": distance}))
    writer.close()
    figure = ask()["figures"]["distance"]
    assert figure["layout"]["yaxis"].get("type", "linear") == scale
    assert figure["data"][0]["y"][-1] == distance


def test_long_curves_are_thinned_and_keep_their_last_point(lab: Path) -> None:
    run = Run.open(lab / PLAIN)
    writer = MetricsWriter(run.metrics_path)
    for step in range(4, 2600):
        writer.write(step, StepRecord({"lr": 0.5}))
    writer.close()
    x = finetune.view(run).figures["rate"]["data"][0]["x"]
    assert len(x) <= 1001 and (x[0], x[-1]) == (1, 2599)


def test_warm_start_has_a_picture_of_its_own_while_it_is_known(lab: Path) -> None:
    run = Run.open(lab / MASKED)
    writer = MetricsWriter(run.metrics_path)
    for step in (1, 2):
        writer.write(step, StepRecord({"warm-start/loss": 0.5 / step}))
    writer.close()
    figure = finetune.view(run).figures["warm"]
    assert figure["data"][0]["y"] == [0.5, 0.25]
    assert figure["layout"]["xaxis"]["range"] == [0, 2]


def test_hidden_values_of_all_three_models_are_shown(lab: Path) -> None:
    assert named_lines(ask()["figures"]["activations"]) == ["full model", "after the cut", "fine-tuned"]


def test_two_runs_share_every_picture(lab: Path) -> None:
    shown = ask(other=PLAIN)
    for slot in ("distance", "read", "rate", "norm"):
        figure = shown["figures"][slot]
        assert named_lines(figure) == ["Masked KD", "Plain"]
        assert [trace["line"]["dash"] == "solid" for trace in figure["data"]] == [True, False]
    figure = shown["figures"]["loss"]
    terms = ["loss", "images", "variance", "teacher's output", "hidden states"]
    assert named_lines(figure) == [*terms, "Masked KD", "Plain"]
    assert figure["layout"]["xaxis"]["range"] == [0, 5]
    ends = {(trace["name"], trace["line"]["dash"] == "solid"): trace["x"][-1] for trace in figure["data"]}
    assert (ends["images", True], ends["images", False]) == (5, 3)
    assert ("hidden states", False) not in ends
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


def test_table_tells_what_differs_and_nothing_else(lab: Path) -> None:
    table = ask(other=PLAIN)["html"]["differences"]
    rows = dict(re.findall(r'<th scope="row">([^<]*)</th>(.*?)</tr>', table))
    cells = {name: re.findall(r"<td>([^<]*)</td>", row) for name, row in rows.items()}
    assert cells["Loss"] == ["Masked KD", "Plain"]
    assert cells["Steps"] == ["5", "3"]
    assert cells["Mask width"] == ["2", "–"]
    assert cells["Warm start"] == ["block by block", "none"]
    assert cells["Recipe"] == ["Quick digits", "Plain"]
    found = Run.open(lab / PLAIN).result()
    assert cells["Held-out loss, fine-tuned"][1] == f"{found['loss_finetuned']:.4f}"
    assert {"Distance from real digits", "Read correctly"} <= set(cells)
    assert not {"Seed", "Images a step", "Learning rate", "Model", "Data", "Blocks"} & set(cells)


def test_equal_recipes_say_so_and_are_told_apart_by_their_time(lab: Path) -> None:
    shutil.copytree(lab / PLAIN, lab / "again")
    again = Run.open(lab / "again")
    again.write_status(replace(again.stored_status(), created=again.stored_status().created + 100))
    shown = ask(run=PLAIN, other="again")
    assert "All their settings are the same" in shown["html"]["differences"]
    names = named_lines(shown["figures"]["rate"])
    assert len(set(names)) == 2 and all(name.startswith("Plain · ") for name in names)


def test_nothing_of_a_second_run_gets_into_the_page_unescaped(lab: Path) -> None:
    config = lab / PLAIN / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"data": EVIL}))
    assert "<img src=x" not in "".join(ask(other=PLAIN)["html"].values())
    assert "&lt;img src=x" in ask(other=PLAIN)["html"]["differences"]


@pytest.mark.parametrize("beside", ["", None, "gone", "../x", "..", ["a"], 7, MASKED])
def test_run_beside_that_is_none_is_left_out(lab: Path, beside: Any) -> None:
    assert ask(other=beside) == ask()


def test_run_of_another_kind_or_a_damaged_one_is_left_out(lab: Path) -> None:
    make_run(lab, SearchConfig.create(), "search")
    assert ask(other="search") == ask()
    (lab / PLAIN / "metrics.db").write_text("no database")
    assert ask(other=PLAIN)["html"] == ask()["html"]


def test_news_of_either_run_are_news(lab: Path) -> None:
    before = ask(other=PLAIN)
    assert ask(other=PLAIN, revision=before["revision"])["same"]
    assert "same" not in ask(revision=before["revision"])
    Run.open(lab / PLAIN).write_status(Status(state="running", step=1, steps=3, **own_process()))
    after = ask(other=PLAIN, revision=before["revision"])
    assert (after["state"], after["working"]) == ("finished", True)


def test_menu_to_compare_offers_all_others_and_keeps_what_was_picked(lab: Path, menu: ComparisonMenu) -> None:
    others = [value for _, value in menu.offer(MASKED, "", gr.Request()).choices]
    assert others == ["", PLAIN, "recorded-finetune-digits-dit"]
    kept = menu.offer(MASKED, PLAIN, gr.Request())
    assert "value" not in kept.constructor_args
    assert menu.offer(PLAIN, PLAIN, gr.Request()).value == ""  # it is shown itself now
    assert menu.offer(MASKED, "deleted", gr.Request()).value == ""


@pytest.mark.parametrize(("named", "value"), [(PLAIN, PLAIN), ("", ""), ("gone", ""), ("../..", "")])
def test_new_page_compares_with_the_run_that_the_address_names(
    lab: Path, menu: ComparisonMenu, named: str, value: str
) -> None:
    request: Any = SimpleNamespace(query_params={"run": MASKED, "beside": named})
    assert menu.recall(request).value == value


def test_run_without_a_single_number_has_no_pictures(lab: Path) -> None:
    new = make_run(lab, Run.open(lab / MASKED).config(), "new", state="created")
    assert finetune.view(new).figures == finetune.view(new, Run.open(lab / PLAIN)).figures == {}
