"""The command line. Flags derive from the job configs; what a job found goes to stdout, all else to stderr."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import types
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Union, get_args, get_origin

from tinylab import __version__
from tinylab.config import JobConfig, TrainConfig, config_types
from tinylab.errors import BadRequest, Failure, Stopped

if TYPE_CHECKING:
    from tinylab.verify.report import Row

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise BadRequest(f"{message}; see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failure, 2 bad request, 130 stopped by a signal."""
    try:
        options = build_parser().parse_args(arguments)
        return options.handler(options)
    except BadRequest as error:
        return _complain(error, 2)
    except Failure as error:
        return _complain(error, 1)
    except Stopped as stop:
        return _complain(stop, 130)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        return _complain(Failure(f"{error.strerror}: {error.filename}"), 1)


def build_parser() -> argparse.ArgumentParser:
    """The parser with one subcommand a job, and those that look after runs."""
    parser = _Parser(prog="tinylab", description="Make diffusion transformers shallow: learn which layers to keep.")
    parser.add_argument("--version", action="version", version=f"tinylab {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add(commands, "models", "list the built-in models", _models)
    for kind, config in config_types().items():
        command = _add(commands, kind, config.summary, _job, description=config.__doc__)
        command.set_defaults(config=config)
        command.add_argument("--out", metavar="DIR", help="run folder to make (default: a new one below runs/)")
        command.add_argument("--dry-run", action="store_true", help="print the resolved config and stop")
        command.add_argument("--quiet", action="store_true", help="no progress bar")
        if kind == "prune":
            command.add_argument("--list", action="store_true", help="list the methods and stop")
        _add_fields(command, config)
    _add(commands, "runs", "list the runs", _runs)
    resume = _add(commands, "resume", "let a stopped or interrupted run go on", _resume)
    resume.add_argument("run", metavar="RUN", help="id or folder of the run")
    resume.add_argument("--quiet", action="store_true", help="no progress bar")
    _add_convert(commands)
    _add_export(commands)
    _add_push(commands)
    verify = _add(commands, "verify", "recompute golden files of published code and compare", _verify)
    verify.add_argument("files", metavar="FILE", nargs="+", help="golden files (.safetensors)")
    _add(commands, "app", "open the lab in a browser", _app)
    return parser


def _add(commands, name: str, summary: str, handler, description: str | None = None) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, description=description or summary)
    command.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    command.set_defaults(handler=handler)
    return command


def _add_convert(commands) -> None:
    command = _add(
        commands, "convert", "make a model folder of a published checkpoint (DiT, SiT, MAR, TinyFusion)", _convert
    )
    command.add_argument("file", metavar="FILE", help="a .pt, .pth, .ckpt or .safetensors file; nothing in it is run")
    command.add_argument("--out", metavar="DIR", required=True, help="model folder to make")
    command.add_argument("--family", metavar="FAMILY", help="dit, sit or mar (default: told from the file)")
    command.add_argument("--num-heads", metavar="N", type=int, help="attention heads, for widths of no published size")
    command.add_argument("--weights", metavar="WHICH", default="auto", help="auto, ema, model or plain (default: auto)")
    command.add_argument("--patch-size", metavar="N", type=int, help="of a MAR (default: 1)")
    command.add_argument(
        "--vae-stride", metavar="N", type=int, help="of a MAR: picture pixels a latent one (default: 16)"
    )


def _add_export(commands) -> None:
    from tinylab.models.export import EXPORTS

    command = _add(commands, "export", "write a model in another layout", _export)
    command.add_argument("model", metavar="MODEL", help="built-in name, model folder, or run")
    layouts = "; ".join(f"{name}: {EXPORTS.entry(name).summary}" for name in EXPORTS.names())
    command.add_argument("--to", metavar="LAYOUT", default="published", help=f"{layouts} (default: published)")
    command.add_argument("--out", metavar="PATH", required=True, help="file or folder to make")


def _add_push(commands) -> None:
    command = _add(commands, "push", "send a model with its card to the Hugging Face Hub", _push)
    command.add_argument("model", metavar="MODEL", help="built-in name, model folder, or run")
    command.add_argument("--to", metavar="ORG/NAME", required=True, help="repository; made if it is not there")
    command.add_argument("--revision", metavar="BRANCH", help="branch to commit to (default: main)")
    command.add_argument("--private", action="store_true", help="a repository that is made is for you alone")
    command.add_argument("--dry-run", action="store_true", help="print the card and the files, and stop")


def _add_fields(command: argparse.ArgumentParser, config: type[JobConfig]) -> None:
    for name, field in config.model_fields.items():
        if name == "kind":
            continue
        default = "" if field.default in (None, (), "") else f" (default: {_shown(field.default)})"
        metavar = "A,B,…" if _is_list(field.annotation) else name.split("_")[-1].upper()
        choices = _choices(field.annotation)
        text = (field.description or "").replace("%", "%%") + (f": {', '.join(choices)}" if choices else "") + default
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if field.annotation is bool else {}
        command.add_argument(f"--{name.replace('_', '-')}", dest=f"field_{name}", metavar=metavar, help=text, **bare)


def _shown(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_is_list(part) for part in get_args(annotation))
    return get_origin(annotation) is tuple


def _choices(annotation: Any) -> tuple[str, ...]:
    return get_args(annotation) if str(get_origin(annotation)) == "typing.Literal" else ()


def _config(options: argparse.Namespace) -> JobConfig:
    """The config of a job command; values not given keep their defaults, or those of the preset."""
    values: dict[str, Any] = {}
    for name, field in options.config.model_fields.items():
        text = getattr(options, f"field_{name}", None)
        if text is not None:
            values[name] = (
                tuple(p.strip() for p in text.split(",") if p.strip()) if _is_list(field.annotation) else text
            )
    if "preset" not in options.config.model_fields:
        return options.config.create(**values)
    from tinylab.presets import search_config, train_config

    build = train_config if options.config is TrainConfig else search_config
    return build(values.pop("preset", options.config.model_fields["preset"].default), **values)


def _job(options: argparse.Namespace) -> int:
    if getattr(options, "list", False):
        return _methods(options)
    from tinylab.runs.checks import check
    from tinylab.runs.store import new_run_path

    config = _config(options)
    check(config)
    if options.dry_run:
        print(config.to_json(), end="")
        return 0
    from tinylab.runs.execute import start_run

    run = start_run(config, Path(options.out) if options.out else new_run_path(config.kind))
    print(f"{config.kind}: writing to {run.path}", file=sys.stderr)
    return _execute(run, options)


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


def _execute(run, options: argparse.Namespace) -> int:
    from tinylab.runs.threads import share_cores

    share_cores()
    from tinylab.runs.execute import execute

    try:
        result = execute(run, quiet=options.quiet)
    except Stopped as stop:
        raise Stopped(f"{stop}; go on with `tinylab resume {run.path}`") from None
    except (BadRequest, Failure):
        raise
    except Exception as error:
        raise Failure(f"{type(error).__name__}: {error}; the traceback is in {run.path / 'log.txt'}") from error
    _print_result(run, result, options)
    return 0


def _print_result(run, result: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"run": str(run.path), "kind": run.config().kind, **result}))
        return
    _print_values(result)
    print(f"run: {run.path}")


def _print_values(values: dict[str, Any], indent: str = "") -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            print(f"{indent}{name}:")
            _print_values(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for row in value:
                print(f"{indent}{name}:")
                _print_values(row, indent + "  ")
        else:
            print(f"{indent}{name}: {_readable(value)}")


def _readable(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(_readable(v) for v in value) if isinstance(value, list) else str(value)


def _models(options: argparse.Namespace) -> int:
    from tinylab.models.catalog import built_in_models, describe_model

    infos = [describe_model(name) for name in built_in_models()]
    rows = [
        {"model": i.name, "family": i.family.class_name, "depth": i.depth, "parameters": i.parameters} for i in infos
    ]
    return _print_rows(rows, options)


def _methods(options: argparse.Namespace) -> int:
    from tinylab.pruning.criteria import CRITERIA

    entries = [CRITERIA.entry(name) for name in CRITERIA.names()]
    return _print_rows([{"method": e.name, "rule": e.summary} for e in entries], options)


def _runs(options: argparse.Namespace) -> int:
    from tinylab.runs.store import list_runs

    rows = []
    for run in list_runs():
        status = run.status()
        rows.append(
            {
                "run": run.id,
                "kind": run.config().kind,
                "state": status.state,
                "progress": f"{status.step}/{status.steps}",
                "created": time.strftime("%Y-%m-%d %H:%M", time.localtime(status.created)),
                "message": status.message,
            }
        )
    return _print_rows(rows, options)


def _print_rows(rows: list[dict[str, Any]], options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps(rows))
    elif not rows:
        print("none yet", file=sys.stderr)
    else:
        table = [list(rows[0]), *([_cell(v) for v in row.values()] for row in rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        for line in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _convert(options: argparse.Namespace) -> int:
    from tinylab.models.convert import convert
    from tinylab.models.published import Hints

    hints = Hints(options.family, options.num_heads, patch_size=options.patch_size, vae_stride=options.vae_stride)
    made = convert(Path(options.file), Path(options.out), weights=options.weights, hints=hints)
    values = {"model": str(made.folder), "family": made.family, "size": made.size or "of its own", "depth": made.depth}
    return _print_made({**values, "parameters": made.parameters, "weights": made.weights}, made.notes, options)


def _export(options: argparse.Namespace) -> int:
    from tinylab.models.export import export_model

    notes = export_model(options.model, options.to, Path(options.out))
    return _print_made({"model": options.model, "layout": options.to, "out": options.out}, notes, options)


def _verify(options: argparse.Namespace) -> int:
    """One row a quantity; 0 if all hold, 1 if one does not, 2 if a file is unknown or damaged."""
    from tinylab.verify.report import verify_file

    rows, status = [], 0
    for file in options.files:
        try:
            rows += verify_file(Path(file))
        except BadRequest as problem:
            status = _complain(problem, 2)
    if options.json:
        print(
            json.dumps(
                [{**asdict(row), "error": row.error if row.error < math.inf else None, "ok": row.ok} for row in rows]
            )
        )
    elif rows:
        _print_rows([_readable_row(row) for row in rows], options)
    failed = sum(not row.ok for row in rows)
    if not status and failed:
        raise Failure(f"{failed} of {len(rows)} quantities differ by more than their tolerance")
    return status


def _readable_row(row: Row) -> dict[str, Any]:
    numbers = {"error": f"{row.error:.1e}", "tolerance": f"{row.tolerance:.0e}"}
    return {"file": row.file, "quantity": row.quantity, **numbers, "ok": "ok" if row.ok else "NO"}


def _push(options: argparse.Namespace) -> int:
    from tinylab.models.catalog import describe_model
    from tinylab.models.hub import push, upload_of
    from tinylab.models.hub_names import check_repo

    check_repo(options.to)
    folder = describe_model(options.model).path
    upload = upload_of(folder)
    if not options.dry_run:
        done = push(folder, options.to, private=options.private, revision=options.revision)
        return _print_made({"model": options.model, "pushed": str(done), "files": list(upload.files)}, [], options)
    if options.json:
        print(json.dumps({"to": options.to, "private": options.private, "files": upload.sizes, "card": upload.card}))
        return 0
    print(upload.card.rstrip())
    print(f"\n{options.to} would get:", file=sys.stderr)
    return _print_rows([{"file": name, "bytes": size} for name, size in upload.sizes.items()], options)


def _print_made(values: dict[str, Any], notes: Sequence[str], options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps({**values, "notes": list(notes)}))
        return 0
    _print_values(values)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


def _app(options: argparse.Namespace) -> int:
    os.execv(sys.executable, [sys.executable, "-m", "app"])


def _complain(problem: Exception, status: int) -> int:
    print("tinylab:", " ".join(str(problem).split()), file=sys.stderr)
    return status
