"""What the Measure tab shows of real runs, and of results of every shape that they may have."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from run_folders import make_run

from app.access.visitors import HOME
from app.page.comparison import named_row
from app.page.live import poll
from app.tabs import measure_cost as measure_cost_tab
from app.tabs import measure_quality as measure_quality_tab
from app.views import measure_cost, measure_quality
from app.views.names import run_label
from tinylab.config import CostConfig, EvaluateConfig, JobConfig
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.reports.tables import cost_table, score_table, size_table
from tinylab.runs.run import Run

VIEWS: dict[str, Any] = {"evaluate": measure_quality, "cost": measure_cost}
EVIL = "<img src=x onerror=alert(1)>"
IDS = {kind: f"{kind}{EVIL}" for kind in VIEWS}
SAVED = re.compile(r'<a download="([^"]*)" href="data:text/csv;charset=utf-8;base64,([^"]*)"')
every_kind = pytest.mark.parametrize("kind", VIEWS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a finished run of both kinds on a tiny model of digits; folders and model have evil names."""
    home = tmp_path_factory.mktemp("lab")
    model = str(home / f"model{EVIL}")
    sizes = {"input_size": 8, "patch_size": 4, "in_channels": 1, "num_classes": 10}
    save_model(DiT(**sizes, hidden_size=8, depth=4, num_heads=2), Path(model), card="")
    configs: dict[str, JobConfig] = {
        "evaluate": EvaluateConfig.create(model=model, against=(model,), n=40, steps=2, resamples=5, threads=1),
        "cost": CostConfig.create(
            model=model, caches=("interval:2",), batch_sizes=(1, 2), step_counts=(2,), rounds=1, threads=1
        ),
    }
    for kind, config in configs.items():
        execute(start_run(config, home / "runs" / IDS[kind]), quiet=True)
    return home / "runs"


@pytest.fixture
def lab(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that runs folder, where the app looks for runs."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.setenv("TINYLAB_RUNS", str(tmp_path / "copy"))
    return tmp_path / "copy"


def ask(kind: str, **request: Any) -> dict[str, Any]:
    return poll(VIEWS[kind].view, {"run": IDS[kind], **request}, HOME, named_row)


@every_kind
def test_answer_fits_the_slots_and_is_json(lab: Path, kind: str) -> None:
    answer = ask(kind)
    assert answer["state"] == "finished"
    assert {*answer["html"], *answer["figures"]} <= set(VIEWS[kind].SLOTS)
    assert len(answer["figures"]) >= 2
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


@every_kind
def test_nothing_user_given_gets_into_the_page_unescaped(lab: Path, kind: str) -> None:
    answer = ask(kind)
    assert "<img src=x" not in "".join(answer["html"].values())
    drawn = [figure | {"layout": figure["layout"] | {"uirevision": ""}} for figure in answer["figures"].values()]
    assert "<img src=x" not in json.dumps(drawn)  # what keeps the zoom is the id, and is never shown
    assert "&lt;img src=x" in answer["html"]["status"]


@every_kind
def test_run_that_has_not_measured_anything_shows_its_status_alone(lab: Path, kind: str) -> None:
    run = make_run(lab, Run.open(lab / IDS[kind]).config(), "new", state="created")
    shown = VIEWS[kind].view(run)
    assert (set(shown.html), shown.figures) == ({"status"}, {})


def test_scores_stand_with_their_setting_the_floor_and_what_to_keep_in_mind(lab: Path) -> None:
    run = Run.open(lab / IDS["evaluate"])
    shown, result = ask("evaluate"), run.result()
    table = unescape(shown["html"]["scores"])
    for words in ("Real against real", "40 samples", "2 steps", "guidance 1.5", "seed 0", "digit-reader"):
        assert words in table
    assert result["extractor"]["hash"] in table and result["reference"]["hash"] in table
    assert result["warnings"] and all(f"<li>{line}</li>" in table for line in result["warnings"])
    fid = result["rows"][0]["scores"]["fid"]
    assert f'data-value="{fid["value"]!r}"' in table
    assert len(shown["figures"]) == len(result["rows"][0]["scores"]) == 6
    assert "real against real" in json.dumps(shown["figures"]["score-0"])


def test_samples_stand_side_by_side_and_come_from_the_run_alone(lab: Path, tmp_path: Path) -> None:
    assert ask("evaluate")["html"]["samples"].count('src="data:image/png;base64,') == 2
    run = Run.open(lab / IDS["evaluate"])
    (tmp_path / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\nsecret")
    result = run.result()
    result["rows"][0]["png"] = str(tmp_path / "secret.png")
    (run.artifacts / result["rows"][1]["png"]).unlink()
    run.write_result(result)
    assert "data:image" not in ask("evaluate")["html"]["samples"]


@pytest.mark.parametrize(
    ("kind", "slot", "part", "key"),
    [
        ("evaluate", "scores", measure_quality_tab, "quality-baseline"),
        ("cost", "times", measure_cost_tab, "cost-baseline"),
    ],
)
def test_rows_are_set_against_the_one_that_is_asked_for(lab: Path, kind: str, slot: str, part: Any, key: str) -> None:
    run = Run.open(lab / IDS[kind])
    labels = list(dict.fromkeys((score_table([run.result()]) if kind == "evaluate" else cost_table(run)).labels))
    assert list(dict.fromkeys(ask(kind)["offers"])) == labels
    assert 'class="pinned"' in ask(kind, other=labels[1])["html"][slot]
    assert ask(kind, other="gone")["html"] == ask(kind)["html"]
    with gr.Blocks():
        menu = part.baseline_menu()
    assert [value for _, value in menu.offer(IDS[kind], "", gr.Request()).choices] == ["", *labels]
    request: Any = SimpleNamespace(query_params={"run": IDS[kind], key: labels[1]})
    assert menu.recall(request).value == labels[1]


def test_tables_are_saved_as_the_report_writes_them(lab: Path) -> None:
    for kind, slot, make in (
        ("evaluate", "scores", lambda run: score_table([run.result()])),
        ("cost", "times", cost_table),
        ("cost", "sizes", size_table),
    ):
        [(_, data)] = SAVED.findall(ask(kind)["html"][slot])
        assert base64.b64decode(data).decode() == make(Run.open(lab / IDS[kind])).to_csv()


def test_sentence_explains_the_gap_between_the_limit_and_what_was_measured(lab: Path) -> None:
    run = Run.open(lab / IDS["cost"])
    result = run.result()
    shallow = next(row for row in result["rows"] if result["models"][row["model"]]["kind"] == "shallow")
    shallow |= {"limit": 2.0, "expected": 1.9388, "speedup": 1.9061, "blocks_share": 0.969}
    run.write_result(result)
    said = ask("cost")["html"]["gap"]
    assert "limit 2.00×; blocks take 96.9% of a step, so 1.94× can be had; measured 1.91×." in said
    assert said.count('class="tl-gap"') == 2  # the shallow model and the cache, at the first batch size alone
    assert "interval:2: measured" in said
    assert "Batches of 1, 2 steps." in said


def test_measurement_names_the_machine_and_draws_depth_and_shares(lab: Path) -> None:
    shown, machine = ask("cost"), Run.open(lab / IDS["cost"]).result()["machine"]
    assert f"torch {machine['torch']}" in shown["html"]["times"]
    assert len(shown["figures"]) == 2 and "equal" not in shown["html"]
    assert [figure["layout"]["title"]["text"] for figure in shown["figures"].values()] == [
        "Depth against speed",
        "Where the time of the full model goes",
    ]


def test_scores_at_equal_seconds_are_shown_where_they_were_asked_for(lab: Path) -> None:
    run = Run.open(lab / IDS["cost"])
    scores = {"fid": {"value": 1.5, "low": 1.25, "high": 2.0, "biased": True}}
    rows = [{"label": name, "steps": steps, "seconds_per_image": 0.01, "scores": scores} for name, steps in RIVALS]
    equal = {"seconds_per_image": 0.01, "extractor": "digit-reader", "images": 20, "rows": rows}
    run.write_result(run.result() | {"equal_seconds": equal})
    shown = ask("cost")
    assert "1.5 1.25 to 2" in re.sub("<[^>]*>", "", shown["html"]["equal"])
    assert "&lt;img src=x" in shown["html"]["equal"] and "<img src=x" not in shown["html"]["equal"]
    assert "at equal seconds" in shown["figures"]["plot-2"]["layout"]["title"]["text"]


RIVALS = (("whole", 20), (f"half{EVIL}", 38))


@every_kind
def test_damaged_result_reads_as_gone(lab: Path, kind: str) -> None:
    run = Run.open(lab / IDS[kind])
    for broken in ({"rows": [{}]}, {"rows": [7]}, {"rows": "no"}, {"rows": [None]}):
        run.write_result(run.result() | broken)
        assert ask(kind) == {"gone": True}


def test_labels_tell_what_was_asked(lab: Path) -> None:
    make_run(lab, EvaluateConfig.create(images=("a.npz",)), "files")
    labels = {kind: run_label(Run.open(lab / run_id)) for kind, run_id in {**IDS, "files": "files"}.items()}
    assert "2 models · 40 images each · 2 steps" in labels["evaluate"]
    assert "3 models · 2 steps" in labels["cost"]
    assert labels["files"].startswith("1 files")
