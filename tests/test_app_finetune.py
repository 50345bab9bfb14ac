"""The Fine-tune tab without a browser: its many fields, and what it shows of one run and of two."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import gradio as gr
import pytest
from run_folders import make_run

from app.live import poll
from app.panel import launch_form
from app.tabs.finetune import _plain_fields as plain_fields
from app.tabs.finetune import make_config, offer_others, recall_other
from app.tabs.finetune_fields import more_fields, only_used, recipe_values
from app.views import finetune
from app.views.settings import CHOICES, DEPENDS, LABELS, LOSS_INFOS, in_use, setting_words
from tinylab.config import FinetuneConfig, SearchConfig
from tinylab.errors import BadRequest
from tinylab.models.dit import DiT
from tinylab.models.load import save_model
from tinylab.presets import FINETUNE_RECIPES, finetune_config
from tinylab.runs.execute import execute, start_run
from tinylab.runs.metrics_db import MetricsReader, MetricsWriter
from tinylab.runs.record import Run, Status, own_process
from tinylab.training.losses import LOSSES
from tinylab.training.recorder import StepRecord

EVIL = "<img src=x onerror=alert(1)>"
MASKED, PLAIN = f"masked{EVIL}", "plain"
# What the form leaves to the command line: where to compute, and what only some machines have.
NOT_ASKED = {"kind", "run", "model", "device", "threads", "workers", "tracker"}


@pytest.fixture
def fields() -> dict[str, Any]:
    """The fields of the form by the setting they are for."""
    with gr.Blocks():
        return {"model": gr.HTML("digits-dit"), **plain_fields(), **more_fields()[0]}


def values_of(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: field.value for name, field in fields.items()} | {"indices": "0, 2, 4, 7, 9, 11", "plan": None}


def test_form_asks_for_every_setting_that_is_not_left_to_the_command_line(fields: dict[str, Any]) -> None:
    assert set(fields) == set(FinetuneConfig.model_fields) - NOT_ASKED | {"model"}
    labels = [field.label for name, field in fields.items() if name != "model"]
    assert len(set(labels)) == len(labels)
    named = set(fields) & set(LABELS) - {"model"}
    assert {name: fields[name].label for name in named} == {name: LABELS[name] for name in named}


def test_untouched_form_is_the_quick_recipe(fields: dict[str, Any]) -> None:
    config = make_config(**values_of(fields))
    assert config == finetune_config("quick", model="digits-dit", indices=(0, 2, 4, 7, 9, 11))


@pytest.mark.parametrize("recipe", FINETUNE_RECIPES)
def test_recipe_fills_the_form_with_all_it_says(recipe: str, fields: dict[str, Any]) -> None:
    names = [name for name in fields if name in LABELS and name not in ("model", "recipe", "seed", "data")]
    assert set(FINETUNE_RECIPES[recipe]) <= set(names)
    filled = values_of(fields) | dict(zip(names, recipe_values(recipe, names), strict=True)) | {"recipe": recipe}
    assert make_config(**filled) == finetune_config(recipe, model="digits-dit", indices=(0, 2, 4, 7, 9, 11))


NUMBERS: dict[str, Any] = {
    **{"alpha": 0.25, "beta": 0.55, "mask_sigma": 3.5, "warm_steps": 7, "steps": 11, "seed": 5, "lr": 3.1e-4},
    **{"lr_batch": 64, "lr_floor": 0.23, "warmup": 3, "batch_size": 24, "accumulation": 2, "clip": 0.7},
    **{"ema_decay": 0.51, "label_dropout": 0.33, "snapshot_every": 4, "scored_samples": 40, "log_every": 2},
    **{"checkpoint_every": 6, "gradient_checkpointing": True, "compile": True, "data": "here"},
}


@pytest.mark.parametrize("recipe", FINETUNE_RECIPES)
def test_every_field_reaches_the_config_whatever_the_recipe(recipe: str, fields: dict[str, Any]) -> None:
    usual = finetune_config(recipe)
    others = {
        name: next(value for _, value in reversed(entries) if value != getattr(usual, name))
        for name, entries in CHOICES.items()
        if name != "recipe"
    }
    edited = NUMBERS | others
    assert set(edited) == set(fields) - {"model", "plan", "indices", "recipe"}
    assert all(getattr(usual, name) != value for name, value in edited.items())
    config = make_config(**values_of(fields) | edited | {"recipe": recipe})
    assert {name: getattr(config, name) for name in edited} == edited


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"alpha": 1.5}, "Weight of the teacher: .*less than or equal to 1"),
        ({"beta": -1}, "Weight of hidden states: .*greater than or equal to 0"),
        ({"mask_sigma": 0}, "Mask width: .*greater than 0"),
        ({"mask_sigma": None}, "Mask width: give a number"),
        ({"warm_steps": 0}, "Steps of the warm start: .*1"),
        ({"lr": 2}, "Learning rate: .*less than or equal to 1"),
        ({"lr_floor": 2}, "Rate at the end: .*less than or equal to 1"),
        ({"ema_decay": 1}, "Averaging decay: .*less than 1"),
        ({"label_dropout": -0.1}, "Hidden classes: .*greater than or equal to 0"),
        ({"clip": 0}, "Gradient norm at most: .*greater than 0"),
        ({"batch_size": -3}, "Images a step: .*greater than or equal to 1"),
        ({"scored_samples": 3}, "Scored.samples.*: score 20 or more"),
        ({"loss": "nonsense"}, "Loss: input should be .*'masked-kd'"),
        ({"indices": "0, 99"}, ".*99 is out of range"),
    ],
)
def test_mistake_in_a_field_is_one_line_that_names_it(
    wrong: dict[str, Any], sentence: str, fields: dict[str, Any], runs: Path
) -> None:
    given = values_of(fields) | {"loss": "masked-kd"} | wrong
    with pytest.raises(BadRequest, match=f"(?i)^{sentence}") as caught:
        launch_form(make_config, fields, [given[name] for name in fields])
    assert "\n" not in str(caught.value)
    assert not runs.exists()


def test_losses_are_called_as_their_registry_calls_them() -> None:
    assert dict(CHOICES["loss"]) == {LOSSES.entry(name).label: name for name in LOSSES.names()}
    assert set(LOSS_INFOS) == set(LOSSES.names())


@pytest.mark.parametrize("loss", LOSSES.names())
def test_form_shows_what_the_loss_looks_at(loss: str) -> None:
    config = finetune_config("quick", loss=loss, alpha=0.3, beta=0.7, beta_decay="none", mask_sigma=9.0, mask="joint")
    built = LOSSES.get(loss).of(config)
    shown = {name for name, (master, _) in DEPENDS.items() if master == "loss" and in_use(name, config.model_dump())}
    taken = {field.name for field in dataclass_fields(built)} if is_dataclass(built) else set()
    named = {"decay": "beta_decay", "sigma": "mask_sigma"}
    assert shown - {"layer_map"} == {named.get(name, name) for name in taken}
    assert ("layer_map" in shown) == built.needs_states


def test_choices_are_those_that_the_config_knows() -> None:
    for name, entries in CHOICES.items():
        if name == "recipe":
            assert {value for _, value in entries} == set(FINETUNE_RECIPES)
        else:
            assert {value for _, value in entries} == set(get_args(FinetuneConfig.model_fields[name].annotation))


def test_fields_that_a_choice_does_not_look_at_are_hidden_and_never_left_empty() -> None:
    given = finetune_config("published", loss="logit").model_dump() | {"mask_sigma": None, "beta": 0.4, "alpha": None}
    *updates, loss, heading = only_used("published", given)
    found = dict(zip(DEPENDS, updates, strict=True))
    assert {name for name, update in found.items() if update["visible"]} == {"alpha"}
    assert found["mask_sigma"]["value"] == 2.0
    assert "value" not in found["alpha"] and "value" not in found["beta"]
    assert (loss["info"], heading["visible"]) == ("also from the teacher's output", True)
    *updates, loss, heading = only_used("quick", finetune_config("quick", loss="diffusion").model_dump())
    assert not heading["visible"] and not any(update["visible"] for update in updates)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("loss", "masked-kd", "Masked KD"),
        ("lr", 2e-4, "0.0002"),
        ("steps", 100_000, "100,000"),
        ("compile", True, "yes"),
    ],
)
def test_settings_read_as_in_the_form(name: str, value: Any, words: str) -> None:
    assert setting_words(name, value) == words


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
    return poll(finetune.view, {"run": MASKED, **request})


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
    shown = ask(beside=PLAIN)
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
    table = ask(beside=PLAIN)["html"]["differences"]
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
    shown = ask(run=PLAIN, beside="again")
    assert "All their settings are the same" in shown["html"]["differences"]
    names = named_lines(shown["figures"]["rate"])
    assert len(set(names)) == 2 and all(name.startswith("Plain · ") for name in names)


def test_nothing_of_a_second_run_gets_into_the_page_unescaped(lab: Path) -> None:
    config = lab / PLAIN / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"data": EVIL}))
    assert "<img src=x" not in "".join(ask(beside=PLAIN)["html"].values())
    assert "&lt;img src=x" in ask(beside=PLAIN)["html"]["differences"]


@pytest.mark.parametrize("beside", ["", None, "gone", "../x", "..", ["a"], 7, MASKED])
def test_run_beside_that_is_none_is_left_out(lab: Path, beside: Any) -> None:
    assert ask(beside=beside) == ask()


def test_run_of_another_kind_or_a_damaged_one_is_left_out(lab: Path) -> None:
    make_run(lab, SearchConfig.create(), "search")
    assert ask(beside="search") == ask()
    (lab / PLAIN / "metrics.db").write_text("no database")
    assert ask(beside=PLAIN)["html"] == ask()["html"]


def test_news_of_either_run_are_news(lab: Path) -> None:
    before = ask(beside=PLAIN)
    assert ask(beside=PLAIN, revision=before["revision"])["same"]
    assert "same" not in ask(revision=before["revision"])
    Run.open(lab / PLAIN).write_status(Status(state="running", step=1, steps=3, **own_process()))
    after = ask(beside=PLAIN, revision=before["revision"])
    assert (after["state"], after["working"]) == ("finished", True)


def test_menu_to_compare_offers_all_others_and_keeps_what_was_picked(lab: Path) -> None:
    menu = offer_others(MASKED, "")
    assert [value for _, value in menu.choices] == ["", PLAIN]
    kept = offer_others(MASKED, PLAIN)
    assert "value" not in kept.constructor_args
    assert offer_others(PLAIN, PLAIN).value == ""  # it is shown itself now
    assert offer_others(MASKED, "deleted").value == ""


@pytest.mark.parametrize(("named", "value"), [(PLAIN, PLAIN), ("", ""), ("gone", ""), ("../..", "")])
def test_new_page_compares_with_the_run_that_the_address_names(lab: Path, named: str, value: str) -> None:
    request: Any = SimpleNamespace(query_params={"beside": named})
    assert recall_other(request).value == value


@pytest.mark.parametrize("make", [lambda run: finetune.view(run), lambda run: finetune.view(run, run)])
def test_run_without_a_single_number_has_no_pictures(lab: Path, make: Callable[[Run], Any]) -> None:
    assert make(make_run(lab, Run.open(lab / MASKED).config(), "new", state="created")).figures == {}
