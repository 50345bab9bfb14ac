"""The parser: one subcommand a job, and those that look after runs and models."""

from __future__ import annotations

from tinylab import __version__
from tinylab.cli import activations, app, archive, bench, jobs, keeping, models, record, report, runs, table, verify
from tinylab.cli.commands import Commands, Parser

__all__ = ["build_parser"]


def build_parser() -> Parser:
    """Everything that `tinylab` understands, in the order in which its help lists it."""
    parser = Parser(prog="tinylab", description="Make diffusion transformers shallow: learn which layers to keep.")
    parser.add_argument("--version", action="version", version=f"tinylab {__version__}")
    commands = Commands(parser)
    models.add_listing(commands)
    jobs.add_to(commands)
    runs.add_to(commands)
    jobs.add_resume(commands)
    keeping.add_to(commands)
    archive.add_to(commands)
    table.add_to(commands)
    report.add_to(commands)
    record.add_to(commands)
    activations.add_to(commands)
    models.add_to(commands)
    verify.add_to(commands)
    bench.add_to(commands)
    app.add_to(commands)
    return parser
