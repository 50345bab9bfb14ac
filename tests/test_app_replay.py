"""What the server answers to pages that watch a run again, and what thirty pages cost."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi.testclient import TestClient
from run_folders import make_run

import app.page.live as live
from app.access.visitors import HOME, Visitor
from app.page.answer_cache import PollingPace, ReadyAnswers
from app.page.comparison import named_row, no_comparison, other_run
from app.page.live import MOST_FRAMES, answer, frames, live_panel, poll
from app.texts import text
from app.views import compare, finetune, search
from app.views.parts import Payload
from tinylab.config import SearchConfig
from tinylab.runs.metrics_db import MetricsWriter
from tinylab.runs.recordings import recording
from tinylab.runs.replay import replay_steps, run_at
from tinylab.runs.run import Run, own_process
from tinylab.training.recorder import StepRecord

SEARCH, COMPARE, FINETUNE = (f"recorded-{kind}-digits-dit" for kind in ("search", "compare", "finetune"))
PAGES = 30


def ask(view: Any, question: Any, beside: Any = no_comparison, visitor: Visitor = HOME) -> dict[str, Any]:
    return json.loads(frames(view, question, visitor, beside))


def recorded(run_id: str) -> Run:
    run = recording(run_id)
    assert run is not None
    return run


@pytest.fixture(autouse=True)
def nothing_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of other tests are forgotten."""
    monkeypatch.setattr(live, "_ready", ReadyAnswers(2**26))


class Counted:
    """A view that counts how often it is asked, and waits until all who ask are there."""

    def __init__(self, size: int = 1) -> None:
        self.asked, self._words = 0, "x" * size

    def __call__(self, run: Run, other: Any = None) -> Payload:
        self.asked += 1
        threading.Event().wait(0.05)
        return Payload({"status": f"{run.id} {run.status().step} {self._words}"})


@pytest.mark.parametrize(("view", "run_id"), [(search, SEARCH), (compare, COMPARE), (finetune, FINETUNE)])
def test_frames_are_the_views_of_the_moments(view: Any, run_id: str) -> None:
    run = recorded(run_id)
    steps = replay_steps(run)
    found = ask(view.view, {"run": run_id, "start": len(steps) - 2, "count": 2})
    assert found["steps"] == steps
    assert found["unit"] == ("cell" if view is compare else "step")
    now = poll(view.view, {"run": run_id}, HOME)
    assert found["frames"][-1] == {name: now[name] for name in ("html", "figures", "offers")}
    before = view.view(run_at(run, steps[-2], steps[-1]))
    assert found["frames"][0]["html"] == before.html
    assert found["frames"][0]["figures"].keys() == before.figures.keys()
    assert found["revision"] == now["revision"]


def test_two_runs_are_shown_after_the_same_step(tmp_path: Path, runs: Path) -> None:
    shown = ask(finetune.view, {"run": FINETUNE, "other": "other", "start": 40, "count": 1}, other_run)
    assert "differences" not in shown["frames"][0]["html"]  # there is no such run
    other = make_run(runs, recorded(FINETUNE).config(), "other", step=1500, steps=1500)
    writer = MetricsWriter(other.metrics_path)
    for step in range(0, 1501, 100):
        writer.write(step, StepRecord({"loss": 1 / (step + 1), "lr": 1e-3}))
    writer.close()
    shown = ask(finetune.view, {"run": FINETUNE, "other": "other", "start": 40, "count": 1}, other_run)
    step = shown["steps"][40]
    traces = shown["frames"][0]["figures"]["rate"]["data"]
    assert len(traces) == 2 and all(max(trace["x"]) <= step for trace in traces)
    assert max(traces[1]["x"]) == step // 100 * 100


def test_row_that_is_not_there_yet_does_not_matter(runs: Path) -> None:
    last = recorded(COMPARE).result()["rows"][-1]["method"]
    label = {"random": "Random"}[last]
    found = ask(compare.view, {"run": COMPARE, "other": label, "start": 0, "count": 1}, named_row)
    assert "Learned" in found["frames"][0]["html"]["table"] and "pinned" not in found["frames"][0]["html"]["table"]
    end = len(found["steps"]) - 1
    found = ask(compare.view, {"run": COMPARE, "other": label, "start": end, "count": 1}, named_row)
    assert "pinned" in found["frames"][0]["html"]["table"]


HOSTILE: list[Any] = [None, "x", 7, [], {}, {"run": None}, {"run": ["a"]}, {"run": "../x"}, {"run": "recorded-../x"}]


@pytest.mark.parametrize("question", [*HOSTILE, {"run": "/etc/passwd"}, {"run": "a\0b"}, {"run": "recorded-gone"}])
def test_questions_for_anything_but_a_run_are_not_answered(question: Any) -> None:
    assert ask(search.view, question) == {"gone": True}


@pytest.mark.parametrize("start", [None, "0", 1.5, True, [], {}, -1, 10**9, 10**30])
@pytest.mark.parametrize("count", [None, "9", 2.5, True, [], -5, 10**30])
def test_no_more_than_a_few_moments_are_made_whatever_is_asked(start: Any, count: Any) -> None:
    view = Counted()
    found = ask(view, {"run": SEARCH, "start": start, "count": count})
    assert len(found["frames"]) == view.asked <= MOST_FRAMES
    assert len(found["steps"]) > MOST_FRAMES


def test_strangers_run_is_not_answered(runs: Path) -> None:
    make_run(runs, SearchConfig.create(), "mine", step=1, steps=1)
    stranger = Visitor("cookie-somebody", stranger=True)
    assert ask(search.view, {"run": "mine", "count": 1}, visitor=stranger) == {"gone": True}
    assert poll(search.view, {"run": "mine"}, stranger) == {"gone": True}
    assert ask(search.view, {"run": SEARCH, "count": 1}, visitor=stranger)["frames"]


def test_run_at_work_has_no_frames(runs: Path) -> None:
    make_run(runs, SearchConfig.create(), "new", state="running", step=3, steps=9, **own_process())
    found = ask(search.view, {"run": "new", "start": 0, "count": 5})
    assert (found["steps"], found["frames"]) == ([], [])


def test_metrics_that_a_stranger_wrote_end_in_an_answer(runs: Path) -> None:
    run = make_run(runs, SearchConfig.create(), "odd", step=3, steps=9)
    writer = MetricsWriter(run.metrics_path)
    for step in (1, 2, 3):
        writer.write(step, StepRecord({"loss": float("inf")}, {"keep/blocks": [1.0], "options/blocks/0": []}))
    writer.close()
    run.write_result({"loss_full": "much", "kept": 7})
    assert ask(search.view, {"run": "odd", "start": 0, "count": 3}) == {"gone": True}
    assert poll(search.view, {"run": "odd"}, HOME) == {"gone": True}


def test_many_pages_that_watch_one_run_cost_one_computation() -> None:
    view = Counted()
    with ThreadPoolExecutor(PAGES) as pages:
        found = set(pages.map(lambda _: answer(view, {"run": SEARCH}, HOME), range(PAGES)))
    assert (len(found), view.asked) == (1, 1)
    question = {"run": SEARCH, "start": 3, "count": 4}
    with ThreadPoolExecutor(PAGES) as pages:
        found = set(pages.map(lambda _: frames(view, question, HOME), range(PAGES)))
    assert (len(found), view.asked) == (1, 1 + 4)


def test_news_of_a_run_is_made_anew_and_runs_are_kept_apart(runs: Path) -> None:
    view = Counted()
    one, two = (make_run(runs, SearchConfig.create(), name, step=1, steps=9) for name in ("one", "two"))
    first = answer(view, {"run": "one"}, HOME)
    assert json.loads(answer(view, {"run": "two"}, HOME))["html"] == {"status": "two 1 x"}
    one.write_status(own_status(one, step=2))
    second = answer(view, {"run": "one"}, HOME)
    assert json.loads(first)["html"] != json.loads(second)["html"] == {"status": "one 2 x"}
    assert view.asked == 3
    assert answer(view, {"run": "one"}, HOME) == second and view.asked == 3


def own_status(run: Run, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(run.stored_status(), **changes)


def test_error_reaches_all_who_wait_and_is_not_kept() -> None:
    ready, asked = ReadyAnswers(100), []

    def fail() -> bytes:
        asked.append(1)
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            ready.get("q", fail)
    assert len(asked) == 2
    assert ready.get("q", lambda: b"yes") == b"yes"


def test_answers_take_no_more_memory_than_they_may() -> None:
    ready, made = ReadyAnswers(100), []

    def make(name: str, size: int) -> bytes:
        made.append(name)
        return b"0" * size

    for name in ("a", "b", "a", "c", "a", "b"):  # c takes the place of b, which nobody has asked for since
        ready.get(name, lambda name=name: make(name, 40))  # type: ignore[misc]
    assert made == ["a", "b", "c", "b"]
    ready.get("large", lambda: make("large", 101))
    ready.get("large", lambda: make("large", 101))
    assert made[-2:] == ["large", "large"]


def test_pages_ask_less_often_the_more_there_are_and_all_together_ten_times_a_second() -> None:
    now = [0.0]
    crowd = PollingPace(lambda: now[0])
    assert [crowd.pause("a"), crowd.pause("a"), crowd.pause("b")] == [1000, 1000, 1000]
    assert [crowd.pause(f"page {number}") for number in range(30)][-1] == 3200
    assert max(crowd.pause(f"more {number}") for number in range(20_000)) == 10_000
    now[0] = 60.0
    assert crowd.pause("a") == 1000


@pytest.mark.parametrize("page", [None, 7, ["a"], {}, "x" * 41])
def test_page_without_a_name_is_answered_and_not_counted(page: Any) -> None:
    crowd = PollingPace(lambda: 0.0)
    assert {crowd.pause(page) for _ in range(100)} == {1000}


def test_browser_gets_ready_json_with_the_time_to_ask_again_from_the_real_server() -> None:
    with gr.Blocks() as page:
        panel = live_panel("search-live", search.view, search.SLOTS, hint=text("search.hint"), recorded=SEARCH)
    server, _, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
    try:
        client = TestClient(server)

        def call(name: str, question: Any) -> Any:
            body = {"data": question, "component_id": panel._id, "fn_name": name, "session_hash": "s"}
            return client.post("/gradio_api/component_server", json=body)

        found = call("ask", {"run": SEARCH, "page": "p"})
        assert found.status_code == 200 and found.headers["content-type"] == "application/json"
        assert found.json()["pause"] == 1000 and found.json()["state"] == "finished"
        same = call("ask", {"run": SEARCH, "revision": found.json()["revision"]})
        assert same.json() == {"pause": 1000, "same": True, "state": "finished", "working": False}
        again = call("replay", {"run": SEARCH, "start": 0, "count": 1}).json()
        assert len(again["frames"]) == 1 and again["steps"][0] == 1
        for question in HOSTILE:
            assert call("ask", question).json()["gone"] and call("replay", question).json() == {"gone": True}
    finally:
        page.close()
    assert 'data-text="search.hint"' in panel.html_template and f'data-recorded="{SEARCH}"' in panel.html_template
