"""From JSON back to a config."""

from __future__ import annotations

import json

from tinylab.config.base import JobConfig
from tinylab.config.choosing import CompareConfig, PruneConfig, StudyConfig
from tinylab.config.measuring import CostConfig, EvaluateConfig
from tinylab.config.pictures import EncodeConfig, SampleConfig
from tinylab.config.recovery import FinetuneConfig, RecipesConfig
from tinylab.config.search import SearchConfig
from tinylab.config.train import TrainConfig
from tinylab.errors import BadRequest

__all__ = ["config_types", "parse_config"]


def config_types() -> dict[str, type[JobConfig]]:
    """The config class of every kind of job."""
    kinds = (
        TrainConfig,
        SearchConfig,
        PruneConfig,
        FinetuneConfig,
        RecipesConfig,
        SampleConfig,
        EvaluateConfig,
        CostConfig,
        CompareConfig,
        StudyConfig,
        EncodeConfig,
    )
    return {kind.model_fields["kind"].default: kind for kind in kinds}


def parse_config(text: str, source: str) -> JobConfig:
    """Read what `to_json` wrote; `source` is named when it is damaged."""
    try:
        values = json.loads(text)
        kind = config_types()[values["kind"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadRequest(f"{source} is not a job config; start the job anew") from None
    return kind.create(**values)
