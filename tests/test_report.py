"""`tinylab report`: real runs on one page that asks for nothing from elsewhere, and every number beside it."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from measured_results import COST, evaluation
from run_folders import make_run

from tinylab.cli import main
from tinylab.config import (
    CompareConfig,
    CostConfig,
    EncodeConfig,
    EvaluateConfig,
    SampleConfig,
    SearchConfig,
    StudyConfig,
)
from tinylab.jobs.ground_truth import CANDIDATES
from tinylab.pruning.exhaustive import Candidate, CandidateTable
from tinylab.reports.report import build_report
from tinylab.runs.run import Run

QUICK = ["--threads", "1", "--quiet"]
ONE = ["--steps", "1", "--batch-size", "4"]


@pytest.fixture
def chain(tiny_folder: str, runs: Path) -> list[str]:
    """Runs on a tiny model, the ids beginning with their kinds; a study as a job leaves it, which takes processes."""
    model = ["--model", tiny_folder]
    study = make_run(runs, StudyConfig.create(model=tiny_folder, keep=2), "study-x")
    pairs = list(itertools.combinations("0123", 2))
    CandidateTable([Candidate(kept, 0.5 + i / 16, 0.25 + i / 32) for i, kept in enumerate(pairs)]).save(
        study.artifacts / CANDIDATES
    )
    study.write_result({"loss_full": 0.125, "keep": 2, "rank_correlation": 1.0})
    jobs = {
        "search": [*model, "--steps", "4", "--batch-size", "8", "--pattern", "1:2", "--log-every", "1"],
        "prune": [*model, "--method", "first", "--keep", "2"],
        "finetune": ["--run", "search-x", *ONE, "--scored-samples", "0", "--log-every", "1"],
        "sample": [*model, "--against", "finetune-x", "--n", "2", "--steps", "1"],
        "compare": [*model, "--plans", "search-x", "--methods", "first", "--study", "study-x", *ONE],
    }
    for kind, given in jobs.items():
        assert main([kind, *given, *QUICK, "--out", str(runs / f"{kind}-x")]) == 0
    return [*(f"{kind}-x" for kind in jobs), study.id]


def numbers(value: Any) -> set[float]:
    """Every number anywhere in a JSON value."""
    if isinstance(value, dict):
        return set().union(*map(numbers, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(numbers, value)) if value else set()
    return {float(value)} if isinstance(value, int | float) and not isinstance(value, bool) else set()


def as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def own_part(page: str) -> str:
    """The page without the library that draws its figures."""
    start = page.index("<script>/**\n* plotly.js")
    return page[:start] + page[page.index("</script>", start) + len("</script>") :]


def test_a_chain_of_runs_makes_one_page_and_every_number_of_its_tables_is_in_the_json(
    chain: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = tmp_path / "made" / "here" / "report.html"
    assert main(["report", *chain, "--out", str(out), "--json", "--baseline", "First blocks"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == [str(out), str(out.with_suffix(".csv")), str(out.with_suffix(".json"))]
    page, table = out.read_text(), out.with_suffix(".csv").read_text()
    found = json.loads(out.with_suffix(".json").read_text())

    part = own_part(page)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", part)
    assert "@import" not in part and "url(" not in part and "<link" not in part
    assert page.count("plotly.js v") == 1 and page.count("<script") == page.count("</script>")
    for run_id in chain:
        assert f"<code>{run_id}</code>" in part
    assert part.count('role="img" aria-label="') == part.count("data-figure=") > 15
    assert all(re.search(r'alt="[^"]+"', image) for image in re.findall(r"<img[^>]*>", part))
    assert part.count('<span class="tl-pin">') == 1

    lines = list(csv.DictReader(io.StringIO(table)))
    stated = {number for line in lines for text in line.values() if (number := as_number(text)) is not None}
    assert len(stated) > 40 and stated <= numbers(found) | {number for number in stated if number != number}
    chapters = {chapter["run"]: chapter for chapter in found["chapters"]}
    film = chapters["search-x"]["data"]["film"]
    assert len(film["steps"]) == len(film["keep"]) == 4 and film["blocks"] == ["0", "1", "2", "3"]
    assert chapters["finetune-x"]["data"]["curves"]["loss"]
    assert len(chapters["study-x"]["data"]["candidates"]) == 6
    assert found["commands"][0].startswith("tinylab search")
    assert found["commands"][0].endswith("--out runs/search-x")
    assert {line["table"] for line in lines} >= {"compare-x/comparison", "finetune-x/losses", "runs", "versions"}
    assert chapters["search-x"]["origin"]["packages"]["torch"]

    for name, kind in (("report.csv", "text/csv"), ("report.json", "application/json")):  # the same inside the page
        data = re.search(rf'download="{name}" href="data:{kind};charset=utf-8;base64,([^"]+)"', part)
        assert data and base64.b64decode(data[1]).decode() == out.with_suffix(Path(name).suffix).read_text()


def test_scores_and_costs_of_several_runs_stand_together_and_apart(runs: Path) -> None:
    made = []
    for steps in (50, 20):
        made.append(make_run(runs, EvaluateConfig.create(steps=steps), f"scored-{steps}"))
        made[-1].write_result(evaluation(steps=steps))
    for name in ("costs", "costs-again"):
        made.append(make_run(runs, CostConfig.create(), name))
        made[-1].write_result(COST)
    report = build_report(made, title="All")
    assert "All scores" in report.html and "Depth against speed" in report.html
    (scores,) = [
        table
        for chapter in json.loads(report.json)["chapters"]
        for table in chapter["tables"]
        if table["key"] == "scores"
    ]
    assert sum("FID" in column["label"] for column in scores["columns"]) == 2
    assert "FID is biased." in report.html


@pytest.mark.parametrize("kind", ["search", "compare", "sample", "evaluate", "cost", "encode"])
@pytest.mark.parametrize("state", ["running", "failed", "created"])
def test_a_run_that_is_not_finished_is_told_as_far_as_it_has_come(runs: Path, kind: str, state: str) -> None:
    configs = {
        "search": SearchConfig.create(),
        "compare": CompareConfig.create(),
        "sample": SampleConfig.create(),
        "evaluate": EvaluateConfig.create(),
        "cost": CostConfig.create(),
        "encode": EncodeConfig.create(data="d", vae="v"),
    }
    run = make_run(runs, configs[kind], "half", state=state, message="out of <luck>", step=3, steps=9)
    report = build_report([run])
    shown = "interrupted" if state == "running" else state  # its process is gone
    assert f"This run is not finished: it is {shown} at step 3 of 9" in report.html
    assert "<luck>" not in report.html
    assert json.loads(report.json)["chapters"][0]["state"] == shown


def test_text_of_strangers_is_escaped_everywhere(runs: Path) -> None:
    evil = '"><script>alert(1)</script><img src=http://x/y>'
    result = evaluation(names=(evil, "half"))
    result["reference"]["name"] = result["extractor"]["name"] = evil
    result["warnings"] = [evil]
    run = make_run(runs, EvaluateConfig.create(model=evil, reference=evil), "evil")
    run.write_result(result)
    (run.path / "origin.json").write_text(json.dumps({"git": evil, "python": evil, "packages": {evil: evil}}))
    part = own_part(build_report([run], title=evil).html)
    assert "<script>alert" not in part and "<img src=http" not in part
    assert part.count("<script") == part.count("</script>")
    assert part.count("alert(1)") > 5


def test_only_pictures_of_the_run_itself_come_along(runs: Path, tmp_path: Path) -> None:
    secret = b"\x89PNG\r\n\x1a\n a secret"
    (tmp_path / "secret.png").write_bytes(secret)
    run = make_run(runs, EvaluateConfig.create(), "drawn")
    result = evaluation()
    result["rows"][0]["png"], result["rows"][1]["png"] = "../../../secret.png", "images-1.png"
    run.write_result(result)
    (run.artifacts / "images-1.png").symlink_to(tmp_path / "secret.png")
    assert "<img" not in own_part(build_report([run]).html)
    (run.artifacts / "images-1.png").unlink()
    (run.artifacts / "images-1.png").write_bytes(secret)
    assert base64.b64encode(secret).decode() in build_report([run]).html


@pytest.fixture
def scored(runs: Path) -> Run:
    run = make_run(runs, EvaluateConfig.create(), "scored")
    run.write_result(evaluation())
    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no run given"),
        (["nobody"], "'nobody' is not a run folder"),
        (["scored", "--out", "."], "name a file that ends in .html"),
        (["scored", "--out", "report.pdf"], "name a file that ends in .html"),
        (["scored", "--out", "file/report.html"], "is no folder"),
        (["scored", "--baseline", "nobody"], "--baseline takes one of: full, half, Real against real"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    scored: Run,
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file")
    assert main(["report", *arguments]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.strip().splitlines()
    assert words in line and printed.out == ""
    assert not (tmp_path / "report.html").exists()


def test_a_report_is_replaced_and_nothing_else_is(
    scored: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "scored"]) == 0
    assert main(["report", str(scored.path), "--title", "Anew"]) == 0
    assert "<h1>Anew</h1>" in (tmp_path / "report.html").read_text()
    for name, text in (("report.csv", "mine"), ("report.html", "<p>mine</p>"), ("report.json", "{}")):
        kept = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text)
        assert main(["report", "scored"]) == 2
        assert f"{name} is there and is no report" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == text
        (tmp_path / name).write_text(kept)
    (tmp_path / "report.csv").write_text("mine")
    assert main(["report", "scored", "--force"]) == 0
    assert (tmp_path / "report.csv").read_text().startswith("table,")


def test_a_damaged_run_is_refused_in_one_line(scored: Run, capsys: pytest.CaptureFixture[str]) -> None:
    scored.write_result({"rows": [{"label": "a", "scores": 7}]})
    assert main(["report", "scored"]) == 2
    assert "what run scored has stored is damaged" in capsys.readouterr().err
