"""One frozen, validated config per job. The command line's flags and the app's fields derive from these."""

from tinylab.config.base import JobConfig, LoopConfig, TrainConfig
from tinylab.config.choosing import CompareConfig, PruneConfig, StudyConfig
from tinylab.config.kinds import KINDS, Kind, config_types, kind_of, parse_config, register_kind
from tinylab.config.measuring import CostConfig, EvaluateConfig
from tinylab.config.pictures import EncodeConfig, SampleConfig
from tinylab.config.recovery import FinetuneConfig, RecipesConfig
from tinylab.config.search import SearchConfig

__all__ = [
    "CompareConfig",
    "CostConfig",
    "EncodeConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "KINDS",
    "JobConfig",
    "Kind",
    "LoopConfig",
    "PruneConfig",
    "RecipesConfig",
    "SampleConfig",
    "SearchConfig",
    "StudyConfig",
    "TrainConfig",
    "config_types",
    "kind_of",
    "parse_config",
    "register_kind",
]
