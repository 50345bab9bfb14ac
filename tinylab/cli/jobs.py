"""The jobs: a command each, and `resume`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylab.cli.commands import Commands
from tinylab.cli.fields import add_fields, config_of
from tinylab.cli.output import print_rows
from tinylab.cli.shared import shared
from tinylab.config import KINDS, kind_of
from tinylab.distributed import process_group
from tinylab.errors import BadRequest, Failure, Stopped
from tinylab.registry import load

if TYPE_CHECKING:
    from tinylab.jobs.facts import Facts
    from tinylab.runs.run import Run

__all__ = ["add_resume", "add_to", "print_methods"]


def add_to(commands: Commands) -> None:
    """One command a kind of job."""
    for name, kind in KINDS.items():
        config = kind.config
        command = commands.add(name, config.summary, shared(_job), description=config.__doc__)
        command.set_defaults(config=config, kind=kind)
        command.add_argument("--out", metavar="DIR", help="run folder to make (default: a new one below runs/)")
        command.add_argument("--dry-run", action="store_true", help="print the resolved config and stop")
        command.add_argument("--quiet", action="store_true", help="no progress bar")
        if kind.listed:
            command.add_argument("--list", action="store_true", help="list the methods and stop")
        add_fields(command, config)


def add_resume(commands: Commands) -> None:
    """The command that lets a job go on."""
    command = commands.add("resume", "let a stopped or interrupted run go on", shared(_resume))
    command.add_argument("run", metavar="RUN", help="id or folder of the run")
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def _job(options: argparse.Namespace) -> int:
    if getattr(options, "list", False):
        return load(options.kind.listed)(options)
    from tinylab.jobs.admission import admit, check, on_own_device

    processes = process_group().size
    config = on_own_device(config_of(options), processes)
    if options.dry_run:
        check(config, processes)
        print(config.to_json(), end="")
        return 0
    admitted = admit(config, processes)
    run = admitted.create_run(Path(options.out) if options.out else None)
    print(f"{config.kind}: writing to {run.path}", file=sys.stderr)
    try:
        return _execute(run, options, admitted.facts)
    except BadRequest:
        run.discard_unused()
        raise


def _resume(options: argparse.Namespace) -> int:
    from tinylab.runs.store import find_run

    run = find_run(options.run)
    status = run.status()
    if status.active:
        raise BadRequest(f"run {run.id} is at work already (process {status.pid})")
    if status.state == "finished":
        print(f"{run.id} is finished already", file=sys.stderr)
        _print_result(run, run.result(), options)
        return 0
    return _execute(run, options)


def _execute(run: Run, options: argparse.Namespace, facts: Facts | None = None) -> int:
    from tinylab.processes import share_cores

    share_cores()
    from tinylab.jobs.execute import execute

    try:
        result = execute(run, quiet=options.quiet, facts=facts)
    except Stopped as stop:
        raise Stopped(f"{stop}; go on with `tinylab resume {run.path}`") from None
    except (BadRequest, Failure):
        raise
    except Exception as error:
        raise Failure(f"{type(error).__name__}: {error}; the traceback is in {run.path / 'log.txt'}") from error
    _print_result(run, result, options)
    return 0


def _print_result(run: Run, result: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"run": str(run.path), "kind": run.config().kind, **result}))
        return
    load(kind_of(run.config()).printed)(result)
    print(f"run: {run.path}")


def print_methods(options: argparse.Namespace) -> int:
    """Every method of choosing blocks: its rule, what it needs and what it costs."""
    from tinylab.pruning.criteria import CRITERIA

    rows = [{"method": m.name, "rule": m.rule, "needs": m.needs, "cost": m.cost or "none"} for m in CRITERIA.rows()]
    return print_rows(rows, options)
