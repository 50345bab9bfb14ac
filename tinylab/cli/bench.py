"""The command that measures: what drawing pictures costs, what steps of searches and of recoveries cost."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tinylab.cli import bench_sample
from tinylab.cli.bench_sample import say
from tinylab.cli.commands import Commands, Parser
from tinylab.cli.output import print_rows
from tinylab.errors import BadRequest
from tinylab.processes import share_cores, use_threads

if TYPE_CHECKING:
    from tinylab.bench.sampling import SamplingRow
    from tinylab.bench.search import SearchRow
    from tinylab.bench.subject import SearchOptions
    from tinylab.bench.train import TrainRow

__all__ = ["PARTS", "add_options", "add_to"]


# Flag, metavar, type, default, help; the default goes behind the help.
_COMMON = (
    ("--rounds", "N", int, 11, "times that each is measured"),
    ("--device", "NAME", str, "auto", "auto, cpu or cuda"),
    ("--threads", "N", int, 0, "CPU threads; 0 leaves the choice to torch"),
)
_SEARCH = (
    ("--width", "N", int, 384, "of the hidden state"),
    ("--tokens", "N", int, 64, "of an image, a square number"),
    ("--blocks", "N", int, 8, "in the model"),
    ("--heads", "N", int, 6, "of the attention"),
    (
        *("--model", "MODEL", str, None),
        "in place of these sizes: a published size such as DiT-XL/2 with random weights, or a model as for search",
    ),
    ("--batch", "N,N,…", str, "64", "images a step, each with a mask"),
    ("--pattern", "PATTERN", str, "1:2", "what stays, as in a search"),
    ("--weights", "A,B,…", str, "full,lora,frozen", "what moves along with the mask"),
    (
        *("--modes", "A,B,…", str, "dense,exact,sampled"),
        "how dropped samples run; dense is always there to compare with",
    ),
    ("--share", "X", float, 0.25, "of the dropped samples, for sampled"),
    ("--dtype", "NAME", str, "float32", "float32, or bfloat16 through autocast"),
)
_TRAIN = (
    ("--losses", "A,B,…", str, "diffusion,logit,masked-kd", "what is learned"),
    ("--steps", "N", int, 10, "of each loss in a round"),
    ("--workers", "N", int, 0, "threads that read ahead"),
)
_TRAIN_TITLE = "training steps (with the sizes, batch, dtype and compile of the search steps)"


def add_options(command: Parser) -> list[argparse.Action]:
    """The options of all parts but `sample`; the actions that were added."""
    search, train = command.add_argument_group("search steps"), command.add_argument_group(_TRAIN_TITLE)
    flags = []
    for group, rows in ((command, _COMMON), (search, _SEARCH), (train, _TRAIN)):
        for flag, metavar, kind, default, words in rows:
            shown = "" if default is None else f" (default: {default})"
            flags.append(group.add_argument(flag, metavar=metavar, type=kind, default=default, help=words + shown))
    compiled = "every mode also with compiled blocks (torch.compile)"
    return [*flags, search.add_argument("--compile", action="store_true", help=compiled)]


PARTS = {
    "search": "steps of the mask search, with the ways that gates can run",
    "sampling": "drawing pictures with all blocks and with half of them, two models",
    "train": "steps of recovery with some losses, and what the loop adds",
}

_ABOUT = """Measure, in one process and in turn. "sample": what drawing pictures costs, with any model, shallow ones and
caches. "search": steps of the mask search (draw masks, forward, backward; no optimizer, whose time is the same for
all) where dropped samples run densely, without gradients (exact) or only in part (sampled). "sampling": drawing
pictures with all blocks and with half of them. "train": steps of recovery with some losses, and what the loop adds to
forward, backward and optimizer. Without a part: sampling and search, and search steps of the built-in digits-dit."""


def add_to(commands: Commands) -> None:
    """`bench` and its parts."""
    command = commands.add("bench", "measure what pruning and the ways of searching save", _bench, _ABOUT)
    command.epilog, command.formatter_class = bench_sample.EPILOG, argparse.RawDescriptionHelpFormatter
    add_options(command)
    parts = command.add_subparsers(metavar="PART", dest="part", parser_class=Parser)
    bench_sample.add_to(parts)
    for part, summary in PARTS.items():
        parser = parts.add_parser(part, help=summary, description=summary)
        flags = [parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")]
        for flag in flags + add_options(parser):
            flag.default = argparse.SUPPRESS  # what was given before the part, or its default, stays


def _bench(options: argparse.Namespace) -> int:
    if options.threads < 0 or options.threads > 256:
        raise BadRequest(f"--threads {options.threads}: use 1 to 256, or 0 to leave the choice to torch")
    share_cores()
    from tinylab.bench.sampling import measure_sampling
    from tinylab.bench.search import measure_search

    asked = _search_options(options)
    use_threads(options.threads)
    if options.part == "train":
        return _bench_train(asked, options)
    rows: list[SearchRow] = []
    drawn: list[SamplingRow] = []
    if options.part != "search":
        drawn = measure_sampling(asked.rounds, asked.device, say)
    if options.part is None:
        digits = replace(asked, model="digits-dit", pattern="6:12", weights=("full",))
        rows += measure_search(digits, say)
    if options.part != "sampling":
        rows += measure_search(asked, say)
    about = _about(asked)
    if options.json:
        parts = {"rows": [_finite(asdict(row)) for row in rows]} if options.part != "sampling" else {}
        parts |= {"sampling": [asdict(row) for row in drawn]} if options.part != "search" else {}
        print(json.dumps({**about, **parts}))
        return 0
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    if drawn:
        print_rows([_readable_sampling(row) for row in drawn], options)
    _print_search(rows, options)
    return 0


def _bench_train(sizes: SearchOptions, options: argparse.Namespace) -> int:
    from tinylab.bench.train import TrainOptions, measure_training

    if len(sizes.batches) > 1:
        raise BadRequest(f"--batch {options.batch}: name one number of images for training steps")
    asked = TrainOptions(sizes, _list(options.losses), options.steps, options.workers)
    rows, about = measure_training(asked, say), _about(sizes)
    if options.json:
        print(json.dumps({**about, "rows": [asdict(row) for row in rows]}))
        return 0
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print_rows([_readable_training(row) for row in rows], options)
    return 0


def _about(sizes: SearchOptions) -> dict[str, Any]:
    """What all rows have in common."""
    import torch

    name = "cpu" if not _on_gpu(sizes) else torch.cuda.get_device_name()
    return {"torch": torch.__version__, "device": name, "threads": torch.get_num_threads(), "rounds": sizes.rounds}


def _readable_training(row: TrainRow) -> dict[str, Any]:
    return {
        "loss": row.loss,
        "batch": str(row.batch),
        "blocks": f"{row.blocks} of {row.teacher_blocks}",
        "samples/s": f"{row.samples_per_second:.4g}",
        "step": _milliseconds(row.seconds),
        "bare step": _milliseconds(row.bare_seconds),
        "overhead": f"{row.overhead:.1%}",
        "data wait": f"{row.data_wait:.1%}",
    }


def _search_options(options: argparse.Namespace) -> SearchOptions:
    from tinylab.bench.subject import SearchOptions

    same = ("width", "tokens", "blocks", "heads", "model", "pattern", "share", "rounds", "dtype", "device")
    try:
        batches = tuple(int(part) for part in _list(options.batch))
    except ValueError:
        raise BadRequest(f"--batch {options.batch}: name numbers of images, such as 64 or 32,128") from None
    return SearchOptions(
        **{name: getattr(options, name) for name in same},
        batches=batches,
        weights=_list(options.weights),
        modes=_list(options.modes),
        with_compile=options.compile,
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _on_gpu(options: SearchOptions) -> bool:
    from tinylab.models.load import pick_device

    return pick_device(options.device).type == "cuda"


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _print_search(rows: Sequence[SearchRow], options: argparse.Namespace) -> None:
    """A table for every model; what a row has in common with the others is said above it."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        sizes = f"width {row.width}, {row.tokens} tokens, {row.blocks} blocks"
        title = f"search steps, {f'{row.model}: ' if row.model else ''}{sizes}, {row.pattern}, {row.dtype}"
        tables.setdefault(title, []).append(_readable(row))
    for title, table in tables.items():
        print(f"\n{title}")
        print_rows(table, options)


def _readable(row: SearchRow) -> dict[str, Any]:
    shown = {
        "weights": row.weights,
        "batch": str(row.batch),
        "mode": row.mode,
        "time": _milliseconds(row.seconds),
        "spread": _milliseconds(row.spread),
        "speed": f"{row.speedup:.2f}x",
        "memory": f"{row.memory_bytes / 2**20:,.0f} MiB",
        "of dense": f"{row.memory_ratio:.2f}x",
        "gradient error": _error(row.gradient_error),
        "of the mask": _error(row.mask_gradient_error),
        "TFLOP/s": f"{row.tflops:.3g}",
    }
    if row.device == "cuda":
        shown["of the peak"] = "–" if row.peak_share is None else f"{row.peak_share:.0%}"
    shown["compiling"] = "–" if row.compile_seconds is None else f"{row.compile_seconds:.0f} s"
    return shown


def _readable_sampling(row: SamplingRow) -> dict[str, Any]:
    times = {"all blocks": _milliseconds(row.seconds), "half": _milliseconds(row.half_seconds)}
    return {"sampling": row.model, "blocks": row.blocks, **times, "speed": f"{row.speedup:.2f}x"}


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.2f} ms"


def _error(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"
