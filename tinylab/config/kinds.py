"""The kinds of job, one row each: whatever depends on the kind of a job is looked up here, and no list of kinds is kept
elsewhere. To add one, write its code and register its row."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tinylab.config.base import JobConfig, TrainConfig
from tinylab.config.choosing import CompareConfig, PruneConfig, StudyConfig
from tinylab.config.measuring import CostConfig, EvaluateConfig
from tinylab.config.pictures import EncodeConfig, SampleConfig
from tinylab.config.recovery import FinetuneConfig, RecipesConfig
from tinylab.config.search import SearchConfig
from tinylab.errors import BadRequest

__all__ = ["KINDS", "Kind", "config_types", "kind_of", "parse_config", "register_kind"]


@dataclass(frozen=True)
class Kind:
    """A kind of job. Code is named by its place, `package.module:attribute` (see `tinylab.registry.load`): it lies in
    layers above this one, and most of it imports torch.

    Attributes:
        config: its fields, which also name it and summarise it in one line.
        title: what people call such a run.
        run: `run(config, context)` does the job and returns its result.
        check: `check(config, facts)` refuses what cannot be done, with BadRequest; it must not import torch.
        shared: whether several processes can do it together.
        replay: how a run at rest can be watched again: step by step, cell by cell, or "" for not at all.
        section: `section(run)` makes its chapter of a report.
        printed: `printed(result)` prints its result on the command line.
        listed: `listed(options)` prints what may be chosen, for the option `--list`; "" for no such option.
        models: fields that name one model or variant per entry; the time of the job grows with their number.
        files: fields that name files or folders, neither models nor runs.
        tab: the tab of the lab that starts and shows it, "" for none. A public lab does only what has a tab.
        part: the part of that tab, where the tab has several.
    """

    config: type[JobConfig]
    title: str
    run: str
    check: str
    shared: bool = False
    replay: Literal["steps", "cells", ""] = ""
    section: str = "tinylab.reports.sections.plain:plain_section"
    printed: str = "tinylab.cli.output:print_values"
    listed: str = ""
    models: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    tab: str = ""
    part: str = ""

    @property
    def name(self) -> str:
        """What the command line, `config.json` and the names of runs call it."""
        return self.config.model_fields["kind"].default


_rows: dict[str, Kind] = {}
KINDS: Mapping[str, Kind] = MappingProxyType(_rows)  # by name, in the order in which helps list them


def register_kind(kind: Kind) -> None:
    """Add a kind of job; a name that is taken is a programming error."""
    if kind.name in _rows:
        raise ValueError(f"the kind of job {kind.name!r} is registered twice")
    _rows[kind.name] = kind


def kind_of(config: JobConfig) -> Kind:
    """The row of the kind that a config is of."""
    return KINDS[config.kind]


def config_types() -> dict[str, type[JobConfig]]:
    """The config class of every kind of job."""
    return {name: kind.config for name, kind in KINDS.items()}


def parse_config(text: str, source: str) -> JobConfig:
    """Read what `to_json` wrote; `source` is named when it is damaged."""
    try:
        values = json.loads(text)
        kind = KINDS[values["kind"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadRequest(f"{source} is not a job config; start the job again") from None
    return kind.config.create(**values)


_SECTIONS = "tinylab.reports.sections"

for _kind in (
    Kind(
        TrainConfig,
        "Training",
        run="tinylab.jobs.train:run",
        check="tinylab.jobs.checks:check_train",
        shared=True,
    ),
    Kind(
        SearchConfig,
        "Mask search",
        run="tinylab.jobs.search:run",
        check="tinylab.jobs.checks:check_search",
        shared=True,
        replay="steps",
        section=f"{_SECTIONS}.search:search_section",
        tab="search",
    ),
    Kind(
        PruneConfig,
        "Pruning",
        run="tinylab.jobs.prune:run",
        check="tinylab.jobs.checks:check_prune",
        section=f"{_SECTIONS}.prune:prune_section",
        listed="tinylab.cli.jobs:print_methods",
    ),
    Kind(
        FinetuneConfig,
        "Recovery",
        run="tinylab.jobs.finetune:run",
        check="tinylab.jobs.checks:check_finetune",
        shared=True,
        replay="steps",
        section=f"{_SECTIONS}.finetune:finetune_section",
        tab="finetune",
    ),
    Kind(
        RecipesConfig,
        "Recipes of recovery",
        run="tinylab.jobs.recipes:run",
        check="tinylab.jobs.checks:check_recipes",
        section=f"{_SECTIONS}.recipes:recipes_section",
        printed="tinylab.cli.table:print_recipes",
        models=("recipes",),
    ),
    Kind(
        SampleConfig,
        "Samples",
        run="tinylab.jobs.sample:run",
        check="tinylab.jobs.evaluate.check:check_sample",
        section=f"{_SECTIONS}.sample:sample_section",
        models=("against",),
        files=("vae",),
        tab="generate",
    ),
    Kind(
        EvaluateConfig,
        "Scores of samples",
        run="tinylab.jobs.evaluate.job:run",
        check="tinylab.jobs.evaluate.check:check_evaluation",
        shared=True,
        section=f"{_SECTIONS}.evaluate:evaluate_section",
        printed="tinylab.cli.cost_table:print_evaluation",
        models=("against",),
        files=("images", "reference", "vae", "weights"),
        tab="measure",
        part="quality",
    ),
    Kind(
        CostConfig,
        "Costs",
        run="tinylab.jobs.cost.measure:run",
        check="tinylab.jobs.cost.check:check_costs",
        section=f"{_SECTIONS}.cost:cost_section",
        printed="tinylab.cli.cost_table:print_costs",
        models=("against", "caches"),
        tab="measure",
        part="cost",
    ),
    Kind(
        CompareConfig,
        "Comparison of methods",
        run="tinylab.jobs.compare.job:run",
        check="tinylab.jobs.compare.check:check_compare",
        replay="cells",
        section=f"{_SECTIONS}.compare:compare_section",
        printed="tinylab.cli.table:print_comparison",
        models=("methods", "plans"),
        tab="compare",
    ),
    Kind(
        StudyConfig,
        "Study of all choices",
        run="tinylab.jobs.study:run",
        check="tinylab.jobs.checks:check_study",
        section=f"{_SECTIONS}.study:study_section",
    ),
    Kind(
        EncodeConfig,
        "Encoding",
        run="tinylab.jobs.encode:run",
        check="tinylab.jobs.checks:check_encode",
        files=("data", "vae"),
    ),
):
    register_kind(_kind)
