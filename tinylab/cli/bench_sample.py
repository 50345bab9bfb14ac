"""`bench sample`: what drawing pictures costs, without a run folder; the job `cost` leaves the same in one."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from typing import Any

from tinylab.cli.commands import Parser
from tinylab.cli.cost_table import print_costs, print_pipeline
from tinylab.cli.fields import add_fields, config_of
from tinylab.config import CostConfig
from tinylab.processes import share_cores, use_threads

__all__ = ["EPILOG", "add_to", "say"]

_FLAGS = ", ".join(f"--{name.replace('_', '-')}" for name in CostConfig.model_fields if name != "kind")
EPILOG = textwrap.fill(
    f"bench sample has options of its own: {_FLAGS}, --pipeline, --markdown; see `tinylab bench sample --help`",
    break_on_hyphens=False,
)

_ABOUT = """Measure what drawing pictures costs: weights and multiply-adds of blocks, embedders and head; seconds of a
batch, images a second and memory of the model, of shallow ones and of caches, in turn in one process. The speed-up is
set against its limit, the ratio of depths, and against what the shares of time explain."""


def add_to(parts: argparse._SubParsersAction[Parser]) -> None:
    """The part `sample`."""
    parser = parts.add_parser("sample", help="what drawing pictures costs, any model", description=_ABOUT)
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    parser.add_argument(
        "--pipeline",
        action="store_true",
        help="in place of all that: the model's own sampling beside diffusers' DiTPipeline on the same weights",
    )
    parser.add_argument("--markdown", action="store_true", help="tables for a document")
    add_fields(parser, CostConfig)
    parser.set_defaults(handler=_sample, config=CostConfig)


def say(message: str) -> None:
    """Progress, beside what a program reads."""
    print(message, file=sys.stderr, flush=True)


def _sample(options: argparse.Namespace) -> int:
    from tinylab.jobs.admission import check

    config = config_of(options)
    assert isinstance(config, CostConfig)
    check(config)
    share_cores()
    use_threads(config.threads)
    if options.pipeline:
        return _pipeline(config, options)
    from tinylab.jobs.cost.measure import measure_costs

    def progress(done: int, total: int, message: str) -> None:
        say(f"{done:>{len(str(total))}} of {total}: {message}")

    result = measure_costs(config, progress, lambda: False)
    if options.json:
        print(json.dumps(result))
    else:
        print_costs(result, markdown=options.markdown)
    return 0


def _pipeline(config: CostConfig, options: argparse.Namespace) -> int:
    from tinylab.bench.pipeline import measure_pipeline

    result: dict[str, Any] = measure_pipeline(config, say)
    if options.json:
        print(json.dumps(result))
    else:
        print_pipeline(result, markdown=options.markdown)
    return 0
