"""What the panels show of real runs, and what they answer to questions that they should not."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html import unescape
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from run_folders import make_run

from app.access.visitors import HOME
from app.page import menus
from app.page.comparison import named_row, no_comparison
from app.page.live import poll
from app.tabs.compare import baseline_menu
from app.views import compare, finetune, generate, search
from app.views.names import run_label
from tinylab.config import CompareConfig, FinetuneConfig, JobConfig, SampleConfig, SearchConfig
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.pruning.exhaustive import Candidate, CandidateTable
from tinylab.reports.names import duration, method_label, model_label
from tinylab.reports.tables import comparison_table, samples_table
from tinylab.runs.run import Run, Status, own_process

VIEWS: dict[str, Any] = {"search": search, "compare": compare, "finetune": finetune, "sample": generate}
EVIL = "<img src=x onerror=alert(1)>"
IDS = {kind: f"{kind}{EVIL}" for kind in VIEWS}  # a run folder is user-given, too
ONLY_SOMETIMES = {"differences", "warm"}  # slots of a comparison, and of one way to start
SAVED = re.compile(r'<a download="([^"]*)" href="data:text/csv;charset=utf-8;base64,([^"]*)"')
every_kind = pytest.mark.parametrize("kind", VIEWS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with one finished run of each kind on a tiny model; folders and model have evil names."""
    home = tmp_path_factory.mktemp("lab")
    model, runs = str(home / f"model{EVIL}"), home / "runs"
    sizes = {"input_size": 8, "patch_size": 4, "in_channels": 1, "num_classes": 10}
    save_model(DiT(**sizes, hidden_size=8, depth=4, num_heads=2), Path(model), card="")
    quick = {"steps": 3, "batch_size": 4, "log_every": 1, "threads": 1}
    candidates = (Candidate((str(i), str(j)), 0.5 + i, 0.1 + j) for i, j in combinations(range(4), 2))
    CandidateTable(list(candidates)).save(home / f"study{EVIL}.csv")
    configs: dict[str, JobConfig] = {
        "search": SearchConfig.create(model=model, pattern="1:2", lora_rank=1, **quick),
        "compare": CompareConfig.create(
            model=model,
            plans=(str(runs / IDS["search"]),),
            methods=("influence", "random"),
            samples=4,
            study=str(home / f"study{EVIL}.csv"),
            **quick,
        ),
        "finetune": FinetuneConfig.create(model=model, indices=(0, 3), loss="diffusion", snapshot_every=2, **quick),
        "sample": SampleConfig.create(
            model=model, against=(str(runs / IDS["finetune"]), str(runs / IDS["search"])), n=2, steps=2, threads=1
        ),
    }
    for kind, config in configs.items():
        execute(start_run(config, runs / IDS[kind]), quiet=True)
    return home


@pytest.fixture
def lab(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that runs folder, where the app looks for runs."""
    runs = tmp_path / "copy"
    shutil.copytree(made / "runs", runs)
    monkeypatch.setenv("TINYLAB_RUNS", str(runs))
    return runs


def ask(kind: str, **request: Any) -> dict[str, Any]:
    beside = named_row if kind == "compare" else no_comparison
    return poll(VIEWS[kind].view, {"run": IDS[kind], **request}, HOME, beside)


@every_kind
def test_answer_fits_the_slots_and_is_json(lab: Path, kind: str) -> None:
    answer = ask(kind)
    assert answer["state"] == "finished"
    assert {*answer["html"], *answer["figures"]} == set(VIEWS[kind].SLOTS) - ONLY_SOMETIMES
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


@every_kind
def test_nothing_user_given_gets_into_the_page_unescaped(lab: Path, kind: str) -> None:
    answer = ask(kind)
    assert "<img src=x" not in "".join(answer["html"].values())
    assert "&lt;img src=x" in answer["html"]["status"]


@every_kind
def test_figures_keep_their_zoom_within_a_run(lab: Path, kind: str) -> None:
    assert {figure["layout"]["uirevision"] for figure in ask(kind)["figures"].values()} <= {IDS[kind]}


@every_kind
def test_same_revision_is_answered_shortly(lab: Path, kind: str) -> None:
    assert ask(kind, revision=ask(kind)["revision"]) == {"same": True, "state": "finished", "working": False}


@pytest.mark.parametrize("change", ["status", "metrics", "result"])
def test_anything_new_is_a_new_revision(lab: Path, change: str) -> None:
    before = ask("search")["revision"]
    run = Run.open(lab / IDS["search"])
    file = {"status": run.path / "status.json", "metrics": run.metrics_path, "result": run.artifacts / "result.json"}
    file[change].write_bytes(file[change].read_bytes())
    assert ask("search", revision=before)["revision"] != before


BAD_REQUESTS = [None, "search", ["search"], 7, {}, {"run": None}, {"run": ["a"]}, {"run": {}}, {"run": "../x"}]


@pytest.mark.parametrize("request_", [*BAD_REQUESTS, {"run": "/etc"}, {"run": ".."}, {"run": "a\0b"}, {"run": "gone"}])
def test_questions_for_anything_but_a_run_are_not_answered(lab: Path, request_: Any) -> None:
    assert poll(search.view, request_, HOME) == {"gone": True}


def test_path_of_a_run_is_no_id(lab: Path) -> None:
    assert poll(search.view, {"run": str(lab / IDS["search"])}, HOME) == {"gone": True}


@pytest.mark.parametrize("name", ["config.json", "status.json", "metrics.db", "artifacts/result.json"])
def test_damaged_run_reads_as_gone(lab: Path, name: str) -> None:
    (lab / IDS["search"] / name).write_text("{ not json, no database")
    assert ask("search") == {"gone": True}


@every_kind
def test_run_that_has_not_measured_anything_shows_its_status_alone(lab: Path, kind: str) -> None:
    run = make_run(lab, Run.open(lab / IDS[kind]).config(), "new", state="created")
    assert set(VIEWS[kind].view(run).html) == {"status"}
    assert VIEWS[kind].view(run).figures == {}


@every_kind
def test_job_at_work_shows_progress_and_message(lab: Path, kind: str) -> None:
    status = {"state": "running", "step": 5, "steps": 20, "seconds": 4, "seconds_left": 12, "message": "random: <b>"}
    run = make_run(lab, Run.open(lab / IDS[kind]).config(), "new", **status, **own_process())
    card = VIEWS[kind].view(run).html["status"]
    assert "step 5 of 20 · 4 s · 12 s left" in card
    assert 'aria-valuenow="25"' in card
    assert "&lt;b&gt;" in card


def test_search_shows_each_group_with_its_confidence_and_the_heatmap_over_all_steps(lab: Path) -> None:
    shown = ask("search")
    assert shown["html"]["decision"].count("<li>") == 2
    assert "blocks 2–3: keep" in shown["html"]["decision"]
    heat = shown["figures"]["heatmap"]["data"][0]
    assert (len(heat["z"]), {len(row) for row in heat["z"]}) == (4, {len(heat["x"])})
    assert heat["x"] == [1, 2, 3]


def test_search_that_is_not_sure_says_so_only_when_it_is_over(lab: Path) -> None:
    words = "not quite made up its mind"
    run = Run.open(lab / IDS["search"])
    doubt = words in search.view(run).html["decision"]
    run.write_status(Status(state="stopped"))
    assert words not in search.view(run).html["decision"]
    confidence = run.result()["confidence"]
    assert doubt == (min(confidence) < 0.5)


def test_comparison_has_a_row_for_each_method_and_the_full_model(lab: Path) -> None:
    shown = ask("compare")
    for words in ("Learned (TinyFusion)", "Block influence (ShortGPT)", "Random", "Full model"):
        assert f'<th scope="row" data-value="{words}">{words}</th>' in shown["html"]["table"]
    assert len(shown["figures"]["strips"]["data"][0]["z"]) == 3


def test_comparison_with_one_seed_and_no_study_says_nothing_of_either(lab: Path) -> None:
    run = Run.open(lab / IDS["compare"])
    result = {name: value for name, value in run.result().items() if name != "study"}
    run.write_result(result)
    shown = compare.view(run)
    assert not {"study", "distribution"} & set(shown.figures)
    assert "±" not in shown.html["table"] and "among all" not in shown.html["table"]


def test_comparison_marks_each_choice_among_all_candidates(lab: Path) -> None:
    shown = ask("compare")
    cloud, *methods = shown["figures"]["study"]["data"]
    assert len(cloud["x"]) == 6
    assert [trace["name"] for trace in methods] == ["Learned (TinyFusion)", "Block influence (ShortGPT)", "Random"]
    points = set(zip(cloud["x"], cloud["y"], strict=True))
    assert all({*zip(trace["x"], trace["y"], strict=True)} <= points for trace in methods)
    lines = [trace for trace in shown["figures"]["distribution"]["data"] if trace["mode"] == "lines"]
    assert lines[0]["name"] == "6 candidates" and len(lines) > 1
    table = comparison_table(Run.open(lab / IDS["compare"]))
    assert all(f'data-value="{rank}"' in shown["html"]["table"] for rank in table.column("rank")[:-1])
    assert "among the 6 choices" in shown["html"]["table"]


def test_comparison_is_set_against_the_row_that_is_asked_for_and_no_other(lab: Path) -> None:
    alone, beside = ask("compare"), ask("compare", other="Random")
    assert "pinned" not in alone["html"]["table"]
    assert '<tr class="pinned"><th scope="row" data-value="Random">' in beside["html"]["table"]
    assert beside["html"]["table"].index("Random") < beside["html"]["table"].index("Learned")
    assert beside["revision"] != alone["revision"]
    assert ask("compare", other="Random", revision=beside["revision"])["same"]
    for nonsense in ("gone", EVIL, ["Random"], 7, "x" * 1000, IDS["search"]):
        assert ask("compare", other=nonsense)["html"] == alone["html"]


def test_menu_of_baselines_goes_by_the_comparison_that_is_shown(lab: Path) -> None:
    with gr.Blocks():
        menu = baseline_menu()
    rows = ["", "Learned (TinyFusion)", "Block influence (ShortGPT)", "Random", "Full model"]
    assert [value for _, value in menu.offer(IDS["compare"], "", gr.Request()).choices] == rows
    assert "value" not in menu.offer(IDS["compare"], "Random", gr.Request()).constructor_args
    assert menu.offer(IDS["compare"], "gone", gr.Request()).value == ""
    assert menu.offer("deleted", "Random", gr.Request()).choices == [("nothing", "")]
    for named, value in (("Random", "Random"), (EVIL, ""), ("", "")):
        request: Any = SimpleNamespace(query_params={"run": IDS["compare"], "baseline": named})
        assert menu.recall(request).value == value
    assert ask("compare")["offers"] == rows[1:]


@pytest.mark.parametrize(("kind", "make"), [("compare", comparison_table), ("sample", samples_table)])
def test_table_is_saved_as_the_report_writes_it(lab: Path, kind: str, make: Any) -> None:
    (name, data), *others = SAVED.findall(ask(kind)["html"]["table"])
    run = Run.open(lab / IDS[kind])
    assert not others
    assert unescape(name) == f"tinylab-{run.id}-{make(run).key}.csv"
    assert base64.b64decode(data).decode() == make(run).to_csv()


def test_comparison_over_seeds_shows_means_with_their_errors(lab: Path) -> None:
    run = Run.open(lab / IDS["compare"])
    result = run.result()
    row = result["rows"][2]
    other = {**row["cells"][0], "seed": 1, "kept": {"blocks": [0, 1]}}
    row["cells"][0]["kept"] = row["kept"] = {"blocks": [0, 3]}
    row |= {"cells": [row["cells"][0], other], "loss_finetuned": 0.25, "loss_finetuned_error": 0.0123}
    run.write_result({**result, "seeds": [0, 1]})
    shown = compare.view(run)
    words = re.sub("<[^>]*>", "", shown.html["table"])
    assert "0.2500 ± 0.0123" in words
    assert "0 3 (seed 0); 0 1 (seed 1)" in words
    assert "Means over 2 seeds" in shown.html["table"]
    bars = [trace for trace in shown.figures["losses"]["data"] if trace.get("error_x", {}).get("array")]
    assert [(trace["name"], trace["error_x"]["array"]) for trace in bars] == [("fine-tuned", [0.0, 0.0, 0.0123])]
    assert shown.figures["strips"]["data"][0]["z"][2] == [1, 0.5, 0, 0.5]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("influence: choosing layers", "Block influence (ShortGPT): choosing layers"),
        ("learned:2:4: searching", "Learned 2:4: searching"),
        ("learned, seed 2: searching", "Learned (TinyFusion), seed 2: searching"),
        ("stopped after 3 of 20 cells", "stopped after 3 of 20 cells"),
    ],
)
def test_comparison_at_work_calls_methods_as_its_table_does(lab: Path, message: str, words: str) -> None:
    run = Run.open(lab / IDS["compare"])
    run.write_status(Status(state="running", message=message, **own_process()))
    assert f">{words}<" in compare.view(run).html["status"]


def test_finetuning_shows_three_losses_and_the_film_from_the_cut_to_the_end(lab: Path) -> None:
    shown = ask("finetune")
    assert shown["html"]["result"].count("tl-figure") - shown["html"]["result"].count("tl-figures") == 3
    captions = ["after the cut", "2 steps", "3 steps"]
    assert [shown["html"]["snapshots"].count(f">{words}<") for words in captions] == [1, 1, 1]


def test_samples_stand_side_by_side_with_what_they_cost(lab: Path) -> None:
    shown = ask("sample")["html"]
    assert shown["samples"].count("<img class=") == 3
    assert shown["samples"].count("data:image/png;base64,") == 3
    assert shown["table"].count("</tr>") == 1 + 3


def test_pictures_come_from_the_run_alone(lab: Path, tmp_path: Path) -> None:
    run = Run.open(lab / IDS["sample"])
    (tmp_path / "secret.png").write_bytes(b"secret")
    result = run.result()
    result["models"][0]["png"] = str(tmp_path / "secret.png")
    run.write_result(result)
    assert ask("sample") == {"gone": True}


def test_menus_offer_runs_plans_and_models(lab: Path) -> None:
    model = Run.open(lab / IDS["search"]).config().model  # type: ignore[attr-defined]
    for kind, run_id in IDS.items():
        own = [value for _, value in menus.run_choices(HOME, kind) if not value.startswith("recorded-")]
        assert own == [run_id]
    assert [value for _, value in menus.learned_plans(HOME, model)] == [IDS["search"]]
    assert len(menus.plan_sources(HOME, model)) == 1 + 3
    assert [value for _, value in menus.shallow_models(HOME, model)][:2] == [IDS["finetune"], IDS["search"]]
    assert len(menus.shallow_models(HOME, model)) == 2 + 3


def test_menus_leave_out_what_was_made_for_other_models(lab: Path) -> None:
    assert [value for _, value in menus.learned_plans(HOME, "digits-dit")] == ["recorded-search-digits-dit"]
    assert menus.shallow_models(HOME, "digits-dit") == []


def test_menus_do_not_follow_an_imported_comparison_out_of_its_folder(lab: Path) -> None:
    model = Run.open(lab / IDS["search"]).config().model  # type: ignore[attr-defined]
    run = Run.open(lab / IDS["compare"])
    result = run.result()
    result["rows"][0]["model"] = f"../{IDS['search']}"
    run.write_result(result)
    assert run.id not in str(menus.plan_sources(HOME, model))


def test_menus_leave_out_what_cannot_be_read(lab: Path) -> None:
    model = Run.open(lab / IDS["search"]).config().model  # type: ignore[attr-defined]
    (lab / IDS["search"] / "plan.json").write_text("{")
    (lab / IDS["compare"] / "artifacts" / "result.json").write_text("[")
    assert menus.learned_plans(HOME, model) == []
    assert menus.plan_sources(HOME, model) == []


def test_labels_tell_what_was_asked(lab: Path) -> None:
    labels = {kind: run_label(Run.open(lab / run_id)) for kind, run_id in IDS.items()}
    assert "1:2 · 3 steps · seed 0" in labels["search"]
    assert "3 methods · 3 steps" in labels["compare"]
    assert "blocks 0 3 · Plain · 3 steps" in labels["finetune"]
    assert "3 models · 2 steps" in labels["sample"]
    assert not any("finished" in label for label in labels.values())


def test_models_are_called_by_how_they_were_made(lab: Path) -> None:
    assert model_label("digits-dit") == "digits-dit"
    assert model_label(IDS["search"]) == "Learned 1:2, cut only"
    assert model_label(IDS["finetune"]) == "By hand, fine-tuned 3 steps"
    row = Run.open(lab / IDS["compare"]).result()["rows"][1]["model"]
    assert model_label(str(lab / IDS["compare"] / row)) == "Block influence (ShortGPT), fine-tuned 3 steps"
    assert model_label("/somewhere/else") == "else"


def test_methods_have_names_for_people() -> None:
    assert method_label("learned") == "Learned (TinyFusion)"
    assert method_label("learned (other-run)") == "Learned (other-run)"
    assert method_label("oracle") == "BK-SDM oracle"
    assert method_label("unheard of") == "unheard of"


@pytest.mark.parametrize(("seconds", "words"), [(3.4, "3 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
