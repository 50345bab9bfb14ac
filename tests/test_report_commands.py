"""How to make a run again: the command of a config is read back as that config, and sources come first."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from run_folders import make_run

from tinylab.cli.fields import config_of
from tinylab.cli.parser import build_parser
from tinylab.config import (
    CompareConfig,
    CostConfig,
    EncodeConfig,
    EvaluateConfig,
    FinetuneConfig,
    JobConfig,
    PruneConfig,
    RecipesConfig,
    SampleConfig,
    SearchConfig,
    StudyConfig,
    config_types,
)
from tinylab.presets import finetune_config, search_config, train_config
from tinylab.reports.reproduction import shared, steps_to
from tinylab.runs.command import command_of

CONFIGS: list[JobConfig] = [
    *(kind.create() for kind in config_types().values()),
    search_config("published", steps=7, seeds="0-2"),
    finetune_config("published", run="a run", lr=1e-7, gradient_checkpointing=True),
    train_config("digits-mar", seed=3),
    CompareConfig.create(methods=(), plans=("one", "two"), seeds="3", study="s"),
    PruneConfig.create(indices=("e0", "d2"), threads=4),
    SampleConfig.create(classes=(3, "a class"), against=("x", "y"), guidance=0.0),
    StudyConfig.create(keep=3, workers=2),
    EncodeConfig.create(data="it's here", vae="v", flips=False),
    RecipesConfig.create(run="-strange", recipes=("logit:beta=0.1", "diffusion")),
    EvaluateConfig.create(images=("a.npz",), metrics=("fid", "kid"), cache="interval:2"),
    CostConfig.create(batch_sizes=(1, 16), step_counts=(20, 50)),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_the_command_line_reads_a_command_as_the_config_it_came_from(config: JobConfig) -> None:
    program, *words = shlex.split(command_of(config, out="runs/x"))
    options = build_parser().parse_args(words)
    assert program == "tinylab" and options.out == "runs/x"
    assert config_of(options) == config


def test_only_what_is_not_usual_is_named() -> None:
    assert command_of(SearchConfig.create()) == "tinylab search"
    assert command_of(search_config("thorough")) == "tinylab search --preset thorough"
    assert command_of(search_config("thorough", steps=250)) == "tinylab search --preset thorough --steps 250"
    assert command_of(StudyConfig.create(keep=3)) == "tinylab study exhaustive --keep 3"


def test_what_a_run_builds_on_is_made_before_it_and_called_by_its_name(runs: Path) -> None:
    search = make_run(runs, SearchConfig.create(steps=7), "learned")
    tuned = make_run(runs, FinetuneConfig.create(run=str(search.path)), "tuned")
    compare = make_run(runs, CompareConfig.create(plans=(str(search.path),)), "all")
    drawn = make_run(runs, SampleConfig.create(against=("tuned", f"{compare.path}/models/0", "digits-sit")), "drawn")
    steps = steps_to([drawn, search])
    assert [step.run.id for step in steps] == ["learned", "tuned", "all", "drawn"]
    assert steps[0].command == "tinylab search --steps 7 --out runs/learned"
    assert steps[1].command == "tinylab finetune --run learned --out runs/tuned"
    assert steps[3].command == "tinylab sample --against tuned,runs/all/models/0,digits-sit --out runs/drawn"
    assert [step.run.id for step in steps_to([tuned])] == ["learned", "tuned"]


def test_a_source_that_is_gone_or_a_circle_ends_the_chain(runs: Path) -> None:
    gone = make_run(runs, FinetuneConfig.create(run="/nowhere/at/all"), "gone")
    assert [step.command for step in steps_to([gone])] == ["tinylab finetune --run '…/all' --out runs/gone"]
    assert shared("/nowhere/at/all") == "…/all"  # a report is for others: no places of this machine
    assert (shared(str(gone.path)), shared(str(gone.path / "model"))) == ("gone", "gone/model")
    assert shared("a/b, or so") == "a/b, or so"
    one = make_run(runs, FinetuneConfig.create(run="two"), "one")
    make_run(runs, FinetuneConfig.create(run="one"), "two")
    assert [step.run.id for step in steps_to([one])] == ["two", "one"]


def test_assets_are_called_as_in_any_clone_and_runs_of_one_name_are_told_apart(runs: Path, tmp_path: Path) -> None:
    from tinylab.paths import assets_folder

    study = str(assets_folder() / "studies" / "digits-dit")
    first = make_run(runs, CompareConfig.create(study=study), "same")
    other = make_run(tmp_path / "elsewhere", SearchConfig.create(), "same")
    commands = [step.command for step in steps_to([first, other])]
    assert commands == [
        "tinylab compare --study assets/studies/digits-dit --out runs/same",
        "tinylab search --out runs/same-2",
    ]
