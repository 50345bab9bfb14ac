"""The Runs tab without a browser: what it lists, shows and does, and what it refuses whoever asks."""

from __future__ import annotations

import json
import re
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from packed_runs import LONG_AGO, archived, full_run
from run_folders import make_run
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.access.downloads import ROUTES
from app.access.settings import lab_settings
from app.access.visitors import COOKIE, HOME, Visitor, visitor_of
from app.tabs.runs import answer, obey, upload
from app.texts import LANGUAGES, entries
from app.views.runs import PAGE
from tinylab.config import CompareConfig, FinetuneConfig, PruneConfig, SearchConfig
from tinylab.runs.about import about, describe
from tinylab.runs.owner import owner_of, write_owner
from tinylab.runs.recordings import recordings
from tinylab.runs.run import Run, own_process
from tinylab.runs.store import list_runs
from tinylab.runs.trash import delete, list_trash

ANNA, BEN = Visitor("anna", stranger=True), Visitor("ben", stranger=True)
NOT_IDS = ["", "..", "../x", "/etc/passwd", ".trash", "search-9", None, 7, ["search-1"], {"a": 1}, "search-1\x00"]


@pytest.fixture
def client() -> TestClient:
    """Asks for downloads as a browser does."""
    return TestClient(Starlette(routes=ROUTES))


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A lab whose visitors are strangers to each other."""
    monkeypatch.setenv("TINYLAB_PUBLIC", "1")
    lab_settings.cache_clear()
    yield
    lab_settings.cache_clear()


def rows(visitor: Visitor = HOME, **asked: Any) -> list[str]:
    """The ids on a page of the list."""
    return [row["id"] for row in answer({"list": asked}, visitor)["list"]["rows"]]


def test_list_is_searched_and_comes_in_pages(runs: Path) -> None:
    for number in range(PAGE + 5):
        make_run(runs, SearchConfig.create(seed=number), f"search-{number}", created=LONG_AGO + number)
    describe(Run(runs / "search-3"), name="For the talk", notes="With Ben")
    first = answer({"list": {}}, HOME)["list"]
    assert (first["count"], first["page"], first["pages"]) == (PAGE + 5, 0, 2)
    assert rows()[0] == f"search-{PAGE + 4}" and len(rows()) == PAGE
    assert rows(page=1) == rows(page=99) == [f"search-{number}" for number in (4, 3, 2, 1, 0)]
    assert rows(words="talk BEN") == ["search-3"]
    assert answer({"list": {"words": "talk"}}, HOME)["list"]["rows"][0]["title"] == "For the talk"
    assert rows(words="nothing") == [] and rows(page=-5, words=7) == rows()


def test_recordings_stand_apart_from_the_runs_and_can_only_be_looked_at(runs: Path) -> None:
    full_run(runs)
    shown = answer({"list": {}}, HOME)["list"]
    assert [row["id"] for row in shown["recorded"]] == [run.id for run in recordings()]
    assert {row["word"] for row in shown["recorded"]} == {"Recorded"}
    assert shown["count"] == len(shown["rows"]) == 1
    searched = answer({"list": {"words": "mar"}}, HOME)["list"]
    assert [row["id"] for row in searched["recorded"]] == ["recorded-search-digits-mar"]
    for visitor in (HOME, ANNA):
        card = answer({"card": "recorded-search-digits-mar"}, visitor)["card"]
        assert (card["word"], card["own"], card["opens"]) == ("Recorded", False, True)
        refused = obey({"do": "delete", "run": "recorded-search-digits-mar"}, visitor)
        assert "can be watched, not changed" in refused["problem"]


def test_damaged_runs_are_passed_over(runs: Path) -> None:
    make_run(runs, SearchConfig.create(), "search-1")
    (make_run(runs, SearchConfig.create(), "search-2").path / "status.json").write_text("{")
    assert rows() == ["search-1"]
    assert answer({"card": "search-2"}, HOME) == {"card": None}


def test_card_tells_what_was_asked_and_what_came_of_it(runs: Path) -> None:
    run = full_run(runs)
    describe(run, notes="a\nb")
    card = answer({"card": run.id}, HOME)["card"]
    assert card["settings"] == [["Steps", "3", "optimizer steps"]]
    assert card["command"] == "tinylab search --steps 3"
    assert ["0.5000", "loss of the full model"] in card["figures"]
    assert (card["notes"], card["kind"], card["opens"], card["own"], card["busy"]) == (
        "a\nb",
        "Mask search",
        True,
        True,
        False,
    )
    assert card["bytes"]["total"] == sum(size for name, size in card["bytes"].items() if name != "total")
    assert str(runs) not in json.dumps(card)


def test_card_of_a_run_whose_results_cannot_be_read_is_shown_all_the_same(runs: Path) -> None:
    run = full_run(runs)
    for content in ('{"loss_full": {}}', "{", '{"rows": [1]}'):
        (run.artifacts / "result.json").write_text(content)
        card = answer({"card": run.id}, HOME)["card"]
        assert card["id"] == run.id and card["command"]


def test_text_of_strangers_in_tables_is_escaped(runs: Path) -> None:
    trick = "<img src=x onerror=alert(1)>"
    one = make_run(runs, CompareConfig.create(methods=(trick,)), "compare-1")
    one.write_result({"rows": [], trick: 1, "full": {"loss": 1, "depth": {"blocks": 4}}})
    two = make_run(runs, PruneConfig.create(method=trick), "prune-1")
    two.write_result({trick: 2})
    describe(one, name=trick)
    shown = answer({"together": ["compare-1", "prune-1"]}, HOME)["together"]["html"]
    assert "&lt;img" in shown and "<img" not in shown
    assert all("<img" not in answer({"card": run.id}, HOME)["card"]["tables"] for run in (one, two))


def test_runs_beside_each_other_show_what_differs_and_what_came_of_it(runs: Path) -> None:
    one = make_run(runs, FinetuneConfig.create(run="x", steps=5, seed=1), "finetune-1")
    two = make_run(runs, FinetuneConfig.create(run="x", steps=9, seed=1), "finetune-2")
    for run, loss in ((one, 0.25), (two, 0.125)):
        run.write_result({"loss_finetuned": loss, "kept": {"blocks": [1]}})
    describe(two, name="Longer")
    html = answer({"together": [one.id, two.id]}, HOME)["together"]["html"]
    for words in ("Steps", "Held-out loss, fine-tuned", "0.25", "0.125", "Longer", "download="):
        assert words in html
    assert "Seed" not in html and "Learning rate" not in html  # they are the same


@pytest.mark.parametrize(
    "asked", [[], ["search-1"], ["search-1", "nope"], "search-1", ["search-1"] * 9, [["a"], 1], None]
)
def test_only_several_known_runs_are_set_beside_each_other(runs: Path, asked: object) -> None:
    make_run(runs, SearchConfig.create(), "search-1")
    assert answer({"together": asked}, HOME) == {"together": None}


@pytest.mark.parametrize("question", [None, 7, "x", [], {}, {"list": 3}, {"unknown": 1}])
def test_question_that_means_nothing_gets_nothing(question: object) -> None:
    assert answer(question, HOME) == {}


def test_orders_name_delete_restore_and_thin(runs: Path) -> None:
    run = full_run(runs)
    assert obey({"do": "describe", "run": run.id, "name": " New  name", "notes": ""}, HOME) == {
        "name": "New name",
        "notes": "",
    }
    assert obey({"do": "thin", "run": run.id}, HOME)["freed"] > 0
    trashed = obey({"do": "delete", "run": run.id}, HOME)["trashed"]
    assert list_runs() == []
    shown = answer({"disk": True}, HOME)
    assert [(one["id"], one["title"]) for one in shown["deleted"]] == [(trashed, "New name")]
    assert shown["disk"]["trash"] == shown["deleted"][0]["bytes"] > 0
    assert obey({"do": "restore", "run": trashed}, HOME) == {"run": run.id}
    assert [run.id for run in list_runs()] == [run.id]


@pytest.mark.parametrize("do", ["describe", "delete", "restore", "thin", "explode", None])
@pytest.mark.parametrize("run_id", NOT_IDS)
def test_orders_about_anything_else_change_nothing(runs: Path, do: object, run_id: object) -> None:
    run = full_run(runs)
    before = sorted(runs.rglob("*"))
    said = obey({"do": do, "run": run_id, "name": "x"}, HOME)["problem"]
    assert said and "\n" not in said and str(runs) not in said
    assert sorted(runs.rglob("*")) == before and about(run).name == ""


def test_busy_run_is_neither_deleted_nor_thinned(runs: Path) -> None:
    run = full_run(runs, state="running", **own_process())
    for do in ("delete", "thin"):
        assert "is at work; stop it" in obey({"do": do, "run": run.id}, HOME)["problem"]
    assert answer({"card": run.id}, HOME)["card"]["busy"]


def test_nobody_touches_what_belongs_to_somebody_else(runs: Path) -> None:
    mine, theirs = full_run(runs, "search-1"), full_run(runs, "search-2")
    write_owner(mine.path, ANNA.name)
    write_owner(theirs.path, BEN.name)
    assert rows(ANNA) == [mine.id] and rows(BEN) == [theirs.id]
    assert answer({"card": theirs.id}, ANNA) == {"card": None}
    assert answer({"together": [mine.id, theirs.id]}, ANNA) == {"together": None}
    for do in ("describe", "delete", "thin"):
        assert "problem" in obey({"do": do, "run": theirs.id, "name": "x"}, ANNA)
    delete(theirs)
    assert answer({"disk": True}, ANNA)["deleted"] == []
    assert "not in the trash" in obey({"do": "restore", "run": theirs.id}, ANNA)["problem"]
    assert obey({"do": "restore", "run": theirs.id}, BEN) == {"run": theirs.id}


def test_downloads_are_whole_and_named(runs: Path, client: TestClient) -> None:
    run = full_run(runs)
    found = client.get(f"/tinylab/archive/{run.id}")
    assert found.headers["content-disposition"] == 'attachment; filename="tinylab-search-1.zip"'
    assert found.headers["content-type"] == "application/zip"
    assert zipfile.ZipFile(BytesIO(found.content)).testzip() is None
    more = zipfile.ZipFile(BytesIO(client.get(f"/tinylab/archive/{run.id}?checkpoints=1").content)).namelist()
    assert "search-1/checkpoints/step-000000002/state.safetensors" in more
    other = make_run(runs, FinetuneConfig.create(run=str(run.path)), "finetune-1")
    text = client.get(f"/tinylab/notebook/{run.id}?also={other.id}").text
    assert len([cell for cell in json.loads(text)["cells"] if "start_run(config)" in "".join(cell["source"])]) == 2
    assert str(runs) not in text


@pytest.mark.parametrize("path", ["nope", "..%2f..", "%2fetc%2fpasswd", ".trash", "search-1%00", "%2e%2e"])
@pytest.mark.parametrize("kind", ["archive", "notebook"])
def test_downloads_of_anything_else_are_not_there(runs: Path, client: TestClient, kind: str, path: str) -> None:
    full_run(runs)
    found = client.get(f"/tinylab/{kind}/{path}")
    assert found.status_code == 404 and str(runs) not in found.text and len(found.text.splitlines()) == 1


def test_damaged_run_is_not_half_downloaded(runs: Path, client: TestClient) -> None:
    run = full_run(runs)
    run.metrics_path.write_bytes(b"junk")
    assert client.get(f"/tinylab/archive/{run.id}").status_code == 404


def test_strangers_download_their_own_alone(runs: Path, client: TestClient, public: None) -> None:
    run = full_run(runs)
    assert client.get(f"/tinylab/archive/{run.id}").status_code == 404

    class Asked:
        cookies = {COOKIE: "x" * 40}

    write_owner(run.path, visitor_of(Asked()).name)
    client.cookies.set(COOKIE, "x" * 40)
    assert client.get(f"/tinylab/archive/{run.id}").status_code == 200
    client.cookies.set(COOKIE, "y" * 40)
    assert client.get(f"/tinylab/notebook/{run.id}").status_code == 404


def test_nobody_downloads_without_the_login(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = full_run(runs)
    monkeypatch.setenv("TINYLAB_LOGIN", "anna:secret")
    lab_settings.cache_clear()
    page = Starlette(routes=ROUTES)
    page.tokens, page.cookie_id = {"right": "anna"}, "x"  # type: ignore[attr-defined]  # as Gradio's app has them
    client = TestClient(page)
    assert client.get(f"/tinylab/archive/{run.id}").status_code == 404
    client.cookies.set("access-token-x", "wrong")
    assert client.get(f"/tinylab/archive/{run.id}").status_code == 404
    client.cookies.set("access-token-x", "right")
    assert client.get(f"/tinylab/archive/{run.id}").status_code == 200
    lab_settings.cache_clear()


class Request:
    """Somebody at home."""

    cookies: dict[str, str] = {}


def uploaded(file: Path, request: object = None) -> tuple[str, Any]:
    """What the page says after an upload, and the run it shows."""
    message, shown = upload(str(file), request or Request())  # type: ignore[arg-type]
    return str(message.value), shown


def test_uploaded_archive_becomes_a_run_and_the_upload_goes(runs: Path, tmp_path: Path) -> None:
    file = archived(full_run(runs), tmp_path / "x.zip")
    said, shown = uploaded(file)
    assert "tl-done" in said and shown == "search-1-2" and not file.exists()
    assert rows() == ["search-1-2", "search-1"] or rows() == ["search-1", "search-1-2"]


@pytest.mark.parametrize(
    ("name", "content"), [("x.zip", b"junk"), ("x.zip", b""), ("x.tar", b"PK"), ("x.zip.exe", b"PK")]
)
def test_bad_upload_is_refused_in_one_line_and_goes(runs: Path, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    said, shown = uploaded(tmp_path / name)
    assert "tl-error" in said and said.count("\n") == 0 and str(tmp_path) not in said
    assert not (tmp_path / name).exists() and not list_runs()


@pytest.mark.parametrize(
    "result",
    [
        {"rows": [{"method": "x", "model": "/etc", "loss_pruned": 1, "loss_finetuned": None}]},
        {"rows": [{"method": "x", "model": "../search-9/model"}]},
        {"rows": "much"},
        {"rows": [[]]},
    ],
)
def test_results_of_another_shape_are_not_taken_in(runs: Path, tmp_path: Path, result: dict[str, Any]) -> None:
    run = make_run(runs, CompareConfig.create(), "compare-1")
    run.write_result({"full": {"loss": 1.0, "depth": {"blocks": 12}}, "keep": 6, **result})
    said, _ = uploaded(archived(run, tmp_path / "x.zip"))
    assert "tl-error" in said and "damaged" in said
    assert [run.id for run in list_runs()] == ["compare-1"]


def test_taken_in_run_belongs_to_who_brought_it(runs: Path, tmp_path: Path, public: None) -> None:
    file = archived(full_run(runs), tmp_path / "x.zip")

    class Anna:
        cookies = {COOKIE: "a" * 40}

    class Nobody:
        cookies: dict[str, str] = {}

    kept = file.read_bytes()
    said, _ = uploaded(file, Nobody())
    assert "keeps no cookie" in said
    file.write_bytes(kept)
    _, shown = uploaded(file, Anna())
    assert owner_of(Run(runs / shown)).startswith("cookie-")
    assert not list_trash()


def test_texts_of_the_tab_are_there_in_every_language() -> None:
    static = Path(__file__).parent.parent / "app" / "static"
    script = "".join(file.read_text() for file in static.glob("runs*.js"))
    named = set(re.findall(r'text\("(\w+)"', script)) | {
        "count",
        "count_one",
        "none",
        "none_found",
        "thin_all",
        "thin_old",
    }
    named |= {f"part_{part}" for part in ("model", "checkpoints", "artifacts", "metrics", "other")}
    for language in LANGUAGES:
        keys = {key.removeprefix("runs.") for key in entries(language) if key.startswith("runs.")}
        assert named - keys == set()
        assert keys - named <= {"intro", "import"}
