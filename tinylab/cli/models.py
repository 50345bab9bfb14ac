"""The commands that look after models: list, convert, export, push."""

import argparse
import json
import sys
from pathlib import Path

from tinylab.cli.commands import Commands
from tinylab.cli.output import print_made, print_rows

__all__ = ["add_listing", "add_to"]

# Options of `convert` that are fields of `Hints`: what the tensors of a checkpoint leave open.
_HINTS = {"family", "path", "num_heads", "decoder_num_heads", "patch_size", "vae_stride"}
_HINTS |= {"num_sampling_steps", "clip_value"}


def add_listing(commands: Commands) -> None:
    """`models`, which a newcomer reads first."""
    commands.add("models", "list the built-in models", _models)


def add_to(commands: Commands) -> None:
    """`convert`, `export` and `push`."""
    _add_convert(commands)
    _add_export(commands)
    _add_push(commands)


def _add_convert(commands: Commands) -> None:
    command = commands.add(
        "convert", "make a model folder of a published checkpoint (DiT, SiT, MAR, TinyFusion)", _convert
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
    command.add_argument("--decoder-num-heads", metavar="N", type=int, help="of a MAR, if its decoder has others")
    command.add_argument("--num-sampling-steps", metavar="N", type=int, help="of a MAR's head (default: 100)")
    command.add_argument("--clip-value", metavar="X", type=float, help="of a MAR of pixels: the largest value")
    command.add_argument("--path", metavar="PATH", help="of a SiT: linear, gvp or vp (default: linear)")


def _add_export(commands: Commands) -> None:
    from tinylab.models.export import EXPORTS

    command = commands.add("export", "write a model in another layout", _export)
    command.add_argument("model", metavar="MODEL", help="built-in name, model folder, or run")
    layouts = "; ".join(f"{name}: {EXPORTS.entry(name).summary}" for name in EXPORTS.names())
    command.add_argument("--to", metavar="LAYOUT", default="published", help=f"{layouts} (default: published)")
    command.add_argument("--out", metavar="PATH", required=True, help="file or folder to make")


def _add_push(commands: Commands) -> None:
    command = commands.add("push", "send a model with its card to the Hugging Face Hub", _push)
    command.add_argument("model", metavar="MODEL", help="built-in name, model folder, or run")
    command.add_argument("--to", metavar="ORG/NAME", required=True, help="repository; made if it is not there")
    command.add_argument("--revision", metavar="BRANCH", help="branch to commit to (default: main)")
    command.add_argument("--private", action="store_true", help="a repository that is made is for you alone")
    command.add_argument("--dry-run", action="store_true", help="print the card and the files, and stop")


def _models(options: argparse.Namespace) -> int:
    from tinylab.models.catalog import built_in_models, describe_model

    infos = [describe_model(name) for name in built_in_models()]
    rows = [
        {"model": i.name, "family": i.family.class_name, "depth": i.depth, "parameters": i.parameters} for i in infos
    ]
    return print_rows(rows, options)


def _convert(options: argparse.Namespace) -> int:
    from tinylab.models.published.convert import convert
    from tinylab.models.published.published import Hints

    hints = Hints(**{name: value for name, value in vars(options).items() if name in _HINTS})
    made = convert(Path(options.file), Path(options.out), weights=options.weights, hints=hints)
    values = {"model": str(made.folder), "family": made.family, "size": made.size or "of its own", "depth": made.depth}
    return print_made({**values, "parameters": made.parameters, "weights": made.weights}, made.notes, options)


def _export(options: argparse.Namespace) -> int:
    from tinylab.models.export import export_model

    notes = export_model(options.model, options.to, Path(options.out))
    return print_made({"model": options.model, "layout": options.to, "out": options.out}, notes, options)


def _push(options: argparse.Namespace) -> int:
    from tinylab.models.catalog import describe_model
    from tinylab.models.hub.reference import check_repo
    from tinylab.models.hub.transfer import push, upload_of

    check_repo(options.to)
    folder = describe_model(options.model).path
    upload = upload_of(folder)
    if not options.dry_run:
        done = push(folder, options.to, private=options.private, revision=options.revision)
        return print_made({"model": options.model, "pushed": str(done), "files": list(upload.files)}, [], options)
    if options.json:
        print(json.dumps({"to": options.to, "private": options.private, "files": upload.sizes, "card": upload.card}))
        return 0
    print(upload.card.rstrip())
    print(f"\n{options.to} would get:", file=sys.stderr)
    return print_rows([{"file": name, "bytes": size} for name, size in upload.sizes.items()], options)
