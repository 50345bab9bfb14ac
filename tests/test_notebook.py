"""Notebooks that do again what runs did: sound files whose code runs, and means the same jobs."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tinylab.cli import main
from tinylab.config import CompareConfig, FinetuneConfig, JobConfig, SampleConfig, SearchConfig, config_types
from tinylab.jobs.execute import execute, start_run
from tinylab.presets import preset_config
from tinylab.runs.command import own_choices
from tinylab.runs.notebook import notebook_of
from tinylab.runs.store import list_runs

SHORT = {"steps": 2, "batch_size": 8, "threads": 1}
# A notebook of version 4.5 as https://github.com/jupyter/nbformat describes it (nbformat.v4.5.schema.json).
CELL = {"markdown": {"id", "cell_type", "metadata", "source"}}
CELL["code"] = CELL["markdown"] | {"execution_count", "outputs"}


def cells(text: str) -> list[dict[str, Any]]:
    """The cells of a notebook, whose form is looked at."""
    document = json.loads(text)
    assert set(document) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert document["metadata"]["kernelspec"].keys() >= {"name", "display_name"}
    ids = [cell["id"] for cell in document["cells"]]
    assert len(set(ids)) == len(ids) and all(1 <= len(one) <= 64 for one in ids)
    for cell in document["cells"]:
        assert set(cell) == CELL[cell["cell_type"]]
        assert all(isinstance(line, str) for line in cell["source"]) and cell["metadata"] == {}
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    return document["cells"]


def code(text: str) -> list[str]:
    """The source of its code cells, which are Python."""
    found = ["".join(cell["source"]) for cell in cells(text) if cell["cell_type"] == "code"]
    for source in found:
        ast.parse(source)
    return found


def words(text: str) -> str:
    """All that its other cells say."""
    return "\n".join("".join(cell["source"]) for cell in cells(text) if cell["cell_type"] == "markdown")


def test_code_of_a_whole_experiment_runs_and_comes_to_the_same(
    tiny_folder: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = start_run(SearchConfig.create(model=tiny_folder, pattern="1:2", **SHORT))
    execute(search, quiet=True)
    tuned = start_run(FinetuneConfig.create(run=search.id, scored_samples=0, snapshot_every=0, **SHORT))
    execute(tuned, quiet=True)
    pair = [search, tuned]
    text = notebook_of([run.config() for run in pair], homes=[run.path for run in pair])
    assert str(runs) not in text  # the second job takes the run that the notebook makes, not the one of this machine
    before = {run.id for run in list_runs()}
    names: dict[str, Any] = {}
    for source in code(text):
        exec(compile(source, "cell", "exec"), names)
    made = {run.config().kind: run for run in list_runs() if run.id not in before}
    assert set(made) == {"search", "finetune"}
    assert made["finetune"].config().run == str(made["search"].path)
    assert made["search"].config() == search.config()
    assert made["finetune"].result()["loss_finetuned"] == pytest.approx(tuned.result()["loss_finetuned"], rel=0.2)
    printed = capsys.readouterr().out
    assert "Which layers to keep, learned" in printed and "<table" in printed


@pytest.mark.parametrize("kind", config_types())
def test_every_kind_of_job_is_written_as_the_config_it_is(kind: str) -> None:
    config = config_types()[kind].create(seed=7)
    assert preset_config(type(config), own_choices(config)) == config
    names: dict[str, Any] = {"start_run": FakeRun}
    for source in code(notebook_of([config])):
        if source.startswith(("config =", "from", "import")) and "start_run(" not in source.splitlines()[0]:
            exec(source.replace(", start_run", ""), names)
    assert names["config"] == config


class FakeRun:
    """Stands where a notebook would make a run: only the config is looked at."""

    def __init__(self, config: JobConfig) -> None:
        self.path = config


def test_presets_and_recipes_stay_what_they_are() -> None:
    for kind, values in (
        (SearchConfig, {"preset": "published", "steps": 7}),
        (FinetuneConfig, {"recipe": "plain", "run": "x"}),
    ):
        config = preset_config(kind, values)
        assert own_choices(config) == values
        assert preset_config(kind, own_choices(config)) == config


def test_words_tell_what_was_chosen_and_its_command() -> None:
    text = words(notebook_of([SearchConfig.create(steps=40, pattern="2:4")], title="For the class"))
    assert text.startswith("# For the class")
    assert "- `steps` = `40`: optimizer steps" in text
    assert "tinylab search --steps 40 --pattern 2:4" in text


def test_later_jobs_take_models_and_plans_from_earlier_ones(tmp_path: Path) -> None:
    homes = [tmp_path / "runs" / "compare-1", tmp_path / "runs" / "search-1", tmp_path / "runs" / "sample-1"]
    sample = SampleConfig.create(model=str(homes[1]), against=(f"{homes[0]}/models/0", "digits-sit"))
    text = notebook_of([CompareConfig.create(), SearchConfig.create(), sample], homes=homes)
    assert str(tmp_path) not in text
    (source,) = [one for one in code(text) if "SampleConfig,\n" in one]
    assert '"model": str(search_run.path),' in source
    assert '"against": (str(compare_run.path / "models/0"), "digits-sit"),' in source
    assert "search_run/models" not in text and "compare_run/models/0" in words(text)


def test_two_runs_of_a_kind_have_names_of_their_own() -> None:
    text = notebook_of([SearchConfig.create(seed=1), SearchConfig.create(seed=2)])
    assert "search_run = start_run(config)" in "\n".join(code(text))
    assert "search_run_2 = start_run(config)" in "\n".join(code(text))


def test_text_of_strangers_stays_text() -> None:
    trick = 'x"""\n```\n__import__("os").system("true")\n# <script>'
    text = notebook_of([SampleConfig.create(model=trick, against=(trick,))])
    (source,) = [one for one in code(text) if "SampleConfig,\n" in one]
    calls = {node.func.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}  # type: ignore[attr-defined]
    assert calls == {"preset_config", "start_run"}
    values = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    assert values.count(trick) == 2
    assert words(text).count("```") == 2


def test_command_writes_a_notebook_and_no_other_file(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start_run(SearchConfig.create())
    out = tmp_path / "deep" / "x.ipynb"
    assert main(["notebook", run.id, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"runs": [run.id], "file": str(out), "bytes": out.stat().st_size}
    assert code(out.read_text())
    assert main(["notebook", run.id, "--out", str(out)]) == 2 and "already" in capsys.readouterr().err
    assert main(["notebook", run.id, "--out", str(out), "--force"]) == 0
    assert main(["notebook", run.id, "--out", str(tmp_path / "x.py")]) == 2
    assert "ends in .ipynb" in capsys.readouterr().err
