"""The parser: one subcommand a job, and those that look after runs and models."""

import os
from collections.abc import Sequence

from tinylab import __version__
from tinylab.cli import activations, archive, bench, jobs, keeping, models, report, runs, table, verify
from tinylab.cli.commands import Commands, Parser
from tinylab.cli.output import complain
from tinylab.errors import BadRequest, Failure, Stopped

__all__ = ["build_parser", "main"]


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
    keeping.add_recording(commands)
    activations.add_to(commands)
    models.add_to(commands)
    verify.add_to(commands)
    bench.add_to(commands)
    runs.add_app(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failure, 2 bad request, 130 stopped by a signal."""
    try:
        options = build_parser().parse_args(arguments)
        return options.handler(options)
    except BadRequest as error:
        return complain(error, 2)
    except Failure as error:
        return complain(error, 1)
    except Stopped as stop:
        return complain(stop, 130)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        return complain(Failure(f"{error.strerror}: {error.filename}"), 1)
