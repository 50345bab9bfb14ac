"""The app without a browser: the page, its forms, buttons, menus and messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from run_folders import make_run

from app.access.visitors import HOME
from app.page.lab import Lab, Menu
from app.page.panel import JobPanel, launch_form
from app.page.prose import confirm, problem
from app.tabs import TABS, compare, finetune, generate, load, measure_cost, measure_quality, search
from app.ui import CSS, HEAD, build_page
from app.views import search as search_view
from tinylab.config import CostConfig, EvaluateConfig, JobConfig, SearchConfig
from tinylab.errors import BadRequest
from tinylab.models.load import save_model
from tinylab.runs.run import own_process

KINDS = ("search", "compare", "finetune", "sample", "evaluate", "cost")


def test_page_has_every_tab_in_order_and_the_controls_of_each_job() -> None:
    page = build_page()
    ids = {block.elem_id for block in page.blocks.values()}
    assert [tab.ID for tab in TABS] == ["learn", "load", "search", "compare", "finetune", "generate", "measure", "runs"]
    for kind in KINDS:
        assert {f"{kind}-{part}" for part in ("start", "stop", "resume", "message", "runs", "live")} <= ids


def test_page_loads_nothing_from_elsewhere() -> None:
    assert not re.search(r"""(src|@import|url\()\s*=?\s*["']?(https?:)?//""", HEAD + CSS)


FORMS: dict[str, tuple[Callable[..., JobConfig], dict[str, Any]]] = {
    "search": (
        search.make_config,
        {"model": "digits-dit", "pattern": "2:4", "weights": "full", "steps": 5, "seed": 1, "batch_size": 8}
        | {"lr_mask": 0.1, "lr_weights": 0.01, "tau_start": 2.0, "tau_end": 0.5},
    ),
    "compare": (
        compare.make_config,
        {"model": "digits-dit", "plans": ["a", "b"], "methods": ["random"], "steps": 5, "seed": 1},
    ),
    "finetune": (
        finetune.make_config,
        {"model": "digits-dit", "plan": None, "indices": "0, 2 4", "recipe": "published", "loss": "logit", "steps": 5}
        | {"seed": 1, "lr": 0.1, "batch_size": 8, "ema_decay": 0.9, "snapshot_every": 2, "alpha": 0.5},
    ),
    "sample": (
        generate.make_config,
        {"model": "digits-dit", "against": ["a"], "sampler": "ddim", "steps": 5, "guidance": 2.0, "classes": "3,5"}
        | {"n": 4, "seed": 1},
    ),
    "evaluate": (
        measure_quality.make_config,
        {"model": "digits-dit", "against": ["a"], "sampler": "ddim", "steps": 5, "guidance": 2.0, "n": 40, "seed": 1}
        | {"metrics": ["fid"], "extractor": "dinov2", "weights": "w", "reference": "r", "cache": "interval:2"}
        | {"vae": "v", "batch_size": 20, "resamples": 9},
    ),
    "cost": (
        measure_cost.make_config,
        {"model": "digits-dit", "against": ["a"], "caches": ["interval:2"], "batch_sizes": "1, 16", "step_counts": "4"}
        | {"sampler": "ddim", "guidance": 2.0, "precision": "bfloat16", "rounds": 3, "seed": 1, "equal_seconds": 20},
    ),
}
AS_CONFIG = {"plans": ("a", "b"), "methods": ("random",), "against": ("a",), "classes": (3, 5), "indices": (0, 2, 4)}
AS_CONFIG |= {"metrics": ("fid",), "caches": ("interval:2",), "batch_sizes": (1, 16), "step_counts": (4,)}


@pytest.mark.parametrize("kind", FORMS)
def test_form_becomes_the_config_of_its_job(kind: str) -> None:
    make_config, values = FORMS[kind]
    config = make_config(**values)
    assert config.kind == kind
    assert {name: getattr(config, name) for name in values} == {
        name: AS_CONFIG.get(name, value) for name, value in values.items()
    }


def test_empty_menus_and_texts_become_nothing() -> None:
    assert compare.make_config(plans=None, methods=["random"], model="digits-dit").plans == ()
    with pytest.raises(BadRequest, match="nothing to compare"):
        compare.make_config(plans=None, methods=[])
    assert generate.make_config(against=None, classes="  ", model="digits-dit").classes is None
    plain = EvaluateConfig.create(model="digits-dit")
    assert measure_quality.make_config(None, model="digits-dit", weights=" ", reference="", vae="", cache="") == plain
    assert measure_cost.make_config(None, None, " ", "", model="digits-dit") == CostConfig.create()


def test_finetune_form_prefers_blocks_named_by_hand_and_asks_for_some() -> None:
    assert finetune.make_config("digits-dit", "plan", None).plan == "plan"
    by_hand = finetune.make_config("digits-dit", "plan", "1,3")
    assert (by_hand.plan, by_hand.indices) == (None, (1, 3))
    with pytest.raises(BadRequest, match="pick which blocks to keep"):
        finetune.make_config("digits-dit", None, " ")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"steps": None}, "Steps of mine: give a number"),
        ({"steps": 0}, "Steps of mine: .*1"),
        ({"model": ""}, "load a model first"),
        ({"model": "nonsense"}, "unknown model 'nonsense'"),
        ({"tau_end": 9.0}, "Mine: must not be above the first temperature"),
        ({"pattern": "5:7"}, "pattern 5:7 does not fit 12 blocks; patterns that do: .*6:12"),
    ],
)
def test_form_with_a_mistake_names_the_field_and_starts_nothing(
    runs: Path, values: dict[str, Any], sentence: str
) -> None:
    with gr.Blocks():
        fields = {"model": gr.HTML(), "pattern": gr.Dropdown(), "steps": gr.Number(label="Steps of mine")}
        fields |= {"tau_end": gr.Number(label="Mine")}
    given = {"model": "digits-dit", "pattern": "6:12", "steps": 5, "tau_end": 0.1, **values}
    with pytest.raises(BadRequest, match=sentence):
        launch_form(search.make_config, fields, [given[name] for name in fields], HOME)
    assert not runs.exists()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"reference": "/no/such"}, "^Real ones /no/such: nothing is there"),
        ({"extractor": "digit-reader", "weights": __file__}, "leave out Its weights$"),
        ({"cache": "sometimes"}, "unknown cache 'sometimes'"),
        ({"n": 1}, "^How many: .*2"),
    ],
)
def test_form_speaks_of_fields_and_not_of_flags(runs: Path, values: dict[str, Any], sentence: str) -> None:
    with gr.Blocks():
        fields: dict[str, Any] = {"model": gr.HTML(), "against": gr.Dropdown(), "n": gr.Number(label="How many")}
        labels = {"reference": "Real ones", "extractor": "Seen by", "weights": "Its weights", "cache": "Cache"}
        fields |= {name: gr.Textbox(label=label) for name, label in labels.items()}
    given = {"model": "digits-dit", "against": [], "n": 4, "reference": "auto", "extractor": "auto", "weights": ""}
    given |= {"cache": "none", **values}
    with pytest.raises(BadRequest, match=sentence):
        launch_form(measure_quality.make_config, fields, [given[name] for name in fields], HOME)
    assert not runs.exists()


def test_caches_are_offered_to_models_that_can_take_them() -> None:
    offered = measure_cost.offer_caches("digits-dit")
    assert ([value for _, value in offered.choices], offered.value, offered.visible) == (
        ["interval:2", "interval:3", "first-block:0.1"],
        [],
        True,
    )
    none = measure_cost.offer_caches("digits-mar")
    assert (none.choices, none.value, none.visible) == ([], [], False)
    assert measure_cost.offer_caches("nonsense") == gr.skip()


@pytest.fixture
def panel() -> JobPanel:
    """A search panel on a page of its own."""
    with gr.Blocks():
        panel = JobPanel("search", "Search", search_view.view, search_view.SLOTS, hint="")
        panel.controls()
        panel.display()
    return panel


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        ("running", [False, True, False]),
        ("finished", [True, False, False]),
        ("stopped", [True, False, True]),
        ("failed", [True, False, True]),
    ],
)
def test_buttons_are_usable_when_they_make_sense(runs: Path, panel: JobPanel, state: str, usable: list[bool]) -> None:
    make_run(runs, SearchConfig.create(), "mine", state=state, **own_process())
    message, picker, shown, *buttons = panel.show_run("mine", HOME)
    assert [button.interactive for button in buttons] == usable
    assert (message.visible, picker.value, shown) == (False, "mine", "mine")


def test_stop_button_is_red_only_while_there_is_something_to_stop(runs: Path, panel: JobPanel) -> None:
    make_run(runs, SearchConfig.create(), "busy", state="running", **own_process())
    make_run(runs, SearchConfig.create(), "done")
    variants = [panel.show_run(run_id, HOME)[4].variant for run_id in ("busy", "done")]
    assert variants == ["stop", "secondary"]


@pytest.mark.parametrize("run_id", [None, "", "deleted", "../.."])
def test_panel_without_a_run_to_show_only_offers_to_start(panel: JobPanel, run_id: str | None) -> None:
    _, picker, _, *buttons = panel.show_run(run_id, HOME)
    assert picker.value is None
    assert [button.interactive for button in buttons] == [True, False, False]


def menu(entries: list[str], *, multiselect: bool) -> Menu:
    with gr.Blocks():
        dropdown = gr.Dropdown(multiselect=multiselect)
        return Menu(lambda visitor, model: [(entry.upper(), entry) for entry in entries], dropdown, gr.State(None))


@pytest.mark.parametrize(
    ("picked", "suggested", "value"),
    [
        (None, None, "new"),  # a page just opened
        ("old", "old", "new"),  # nobody touched the suggestion, and there is something newer
        ("old", "new", "old"),  # somebody picked
        ("deleted", "new", None),
    ],
)
def test_menu_suggests_the_newest_until_somebody_picks(picked: Any, suggested: Any, value: Any) -> None:
    single, now = menu(["new", "old"], multiselect=False).fill("digits-dit", picked, suggested, gr.Request())
    both = menu(["new", "old"], multiselect=True)
    several, _ = both.fill("digits-dit", [picked] if picked else [], suggested, gr.Request())
    assert now == "new"
    assert single.value == (value or "new")
    assert several.value == ([value] if value else [])


def test_menu_that_was_emptied_on_purpose_stays_empty() -> None:
    assert menu(["new"], multiselect=True).fill("digits-dit", [], "new", gr.Request())[0].value == []


def test_menu_without_entries_has_nothing_picked() -> None:
    assert menu([], multiselect=False).fill("digits-dit", "gone", None, gr.Request())[0].value is None
    assert menu([], multiselect=True).fill("digits-dit", ["gone"], None, gr.Request())[0].value == []


@pytest.mark.parametrize("say", [problem, confirm])
def test_messages_are_escaped_sentences(say: Callable[[str], gr.HTML]) -> None:
    said = say("unknown model '<script>alert(1)</script>'")
    assert said.visible
    assert "<script>" not in said.value
    assert ">Unknown model " in said.value


def test_loading_a_model_confirms_it_and_a_mistake_leaves_the_old_one() -> None:
    message, model = load.load(" digits-dit ", gr.Request())
    assert (model, "Loaded digits-dit" in message.value) == ("digits-dit", True)
    message, model = load.load("<img src=x>", gr.Request())
    assert model == gr.skip()
    assert "Unknown model &#x27;&lt;img src=x&gt;&#x27;" in message.value


def test_model_card_tells_what_was_cut(tmp_path: Path, build_tiny_dit: Any) -> None:
    folder = tmp_path / "a<b>c"
    save_model(build_tiny_dit(depth=2, kept={"blocks": [1, 3]}, full_depth={"blocks": 4}), folder, card="")
    card = load.model_card(str(folder))
    assert "2 of 4 blocks: 1 3" in card
    assert "<b>c" not in card


def test_model_that_was_deleted_has_no_card() -> None:
    assert load.show("nonsense") == load.show("") == ""


def test_patterns_are_those_of_the_loaded_model() -> None:
    menu = search.offer_patterns("digits-dit")
    assert menu.value == "6:12"
    assert ("1:2", "1:2") in menu.choices
    assert search.offer_patterns("nonsense") == gr.skip()


def test_a_search_preset_fills_in_the_form() -> None:
    assert search.preset_values("quick", ["steps", "batch_size"]) == [250, 64]
    assert search.preset_values("published", ["steps", "batch_size", "lr_weights"]) == [10_000, 128, 1e-4]
    config = search.make_config("6:12", "published", steps=20)
    assert (config.preset, config.steps, config.log_every) == ("published", 20, 50)


def test_what_follows_the_model_is_updated_once_for_each_model() -> None:
    with gr.Blocks():
        lab = Lab(gr.HTML(), gr.State(None))
        lab.follow_model(str.upper, gr.HTML())
    assert lab.follow("a", None, gr.Request()) == ["a", "A"]
    assert lab.follow("a", "a", gr.Request()) == [gr.skip(), gr.skip()]
