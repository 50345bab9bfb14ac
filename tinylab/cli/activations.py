"""The command that shows massive activations: how large the values behind every block are, and how far out they lie."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylab.cli.commands import Commands
from tinylab.cli.output import print_rows
from tinylab.errors import BadRequest
from tinylab.processes import share_cores, use_threads

if TYPE_CHECKING:
    from tinylab.metrics.layer_activations import Activations, LayerActivations

__all__ = ["add_to"]

_ABOUT = """For every block the mean of the values behind it, their deviation σ within a sample, the largest |h|, how
far the furthest lies from the mean of its sample, the share of values that lie 2σ, 3σ and 5σ and more from it, and the
channel of the largest. A few huge values would rule a loss on hidden states: masked distillation leaves out those
beyond 2σ."""


def add_to(commands: Commands) -> None:
    """`activations`."""
    command = commands.add("activations", "show how large the values behind every block are", _activations, _ABOUT)
    command.add_argument(
        "--model",
        metavar="MODEL",
        action="append",
        help="built-in name, model folder or run; several are set side by side (default: digits-dit)",
    )
    command.add_argument(
        "--data", metavar="DATA", default="auto", help="digits, a folder of latents, or an encode run (default: auto)"
    )
    command.add_argument(
        "--samples", metavar="N", type=int, default=256, help="noised held-out images to measure on (default: 256)"
    )
    command.add_argument("--seed", metavar="N", type=int, default=0, help="of times and noise (default: 0)")
    command.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu or cuda (default: auto)")
    command.add_argument(
        "--threads", metavar="N", type=int, default=0, help="CPU threads; 0 leaves the choice to torch (default: 0)"
    )
    command.add_argument("--out", metavar="FILE", help="also write the figures to this HTML file")


def _activations(options: argparse.Namespace) -> int:
    models = list(dict.fromkeys(options.model or ["digits-dit"]))
    _check(options, models)
    share_cores()
    use_threads(options.threads)
    measured = {model: _measure(model, options) for model in models}
    if options.out:
        _write_page(measured, options)
    if options.json:
        from tinylab.metrics.layer_activations import activations_to_json

        about = {"samples": options.samples, "seed": options.seed}
        print(json.dumps({**about, "models": {name: activations_to_json(found) for name, found in measured.items()}}))
        return 0
    for number, (name, found) in enumerate(measured.items()):
        print("\n" * bool(number) + name)
        print_rows([_row(layer) for layers in found.values() for layer in layers], options)
    return 0


def _check(options: argparse.Namespace, models: list[str]) -> None:
    """BadRequest for whatever can be seen to be wrong before a model is loaded."""
    from tinylab.jobs.facts import Facts

    if not 1 <= options.samples <= 1_000_000:
        raise BadRequest(f"--samples {options.samples}: use 1 to 1000000")
    if not 0 <= options.threads <= 256:
        raise BadRequest(f"--threads {options.threads}: use 1 to 256, or 0 to leave the choice to torch")
    if options.device not in ("auto", "cpu", "cuda"):
        raise BadRequest(f"--device {options.device}: use auto, cpu or cuda")
    if options.out and (Path(options.out).is_dir() or not Path(options.out).absolute().parent.is_dir()):
        raise BadRequest(f"--out {options.out}: name a file, such as activations.html, in a folder that is there")
    for model in models:
        Facts().data_for(options.data, model)


def _measure(name: str, options: argparse.Namespace) -> Activations:
    """Measure one model on the held-out images, with a progress bar."""
    from tqdm import tqdm

    from tinylab.data.base import load_data
    from tinylab.diffusion import objective_for
    from tinylab.jobs.facts import Facts
    from tinylab.metrics.activations import measure_activations
    from tinylab.models.load import load_model

    model = load_model(name, options.device)
    _, held_out = load_data(Facts().data_for(options.data, name))
    objective, size = objective_for(model), {"samples": options.samples, "seed": options.seed}
    with tqdm(total=options.samples, desc=name, unit="image", leave=False, delay=1, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.update(done - bar.n)

        return measure_activations(model, objective, held_out, **size, progress=progress)


def _row(layer: LayerActivations) -> dict[str, Any]:
    """One line of the table."""
    channel = layer.channels[0]
    return {
        "block": layer.name if layer.origin == layer.name else f"{layer.name} (was {layer.origin})",
        "mean": f"{layer.mean:.3f}",
        "σ": f"{layer.deviation:.3f}",
        "largest": f"{layer.largest:.2f}",
        "furthest": f"{layer.furthest:.1f}σ",
        **{f"beyond {k:g}σ": f"{share:.3%}" for k, share in layer.beyond.items()},
        "channel": f"{channel.channel} ({channel.share:.1%} of the variance)",
    }


def _write_page(measured: Mapping[str, Activations], options: argparse.Namespace) -> None:
    """Lines of all models that have the same stacks of blocks, then a picture of each model."""
    from tinylab.figures import activation_heatmap, far_shares, largest_activations
    from tinylab.figures.page import html_page
    from tinylab.files import atomic

    groups: dict[tuple[str, ...], dict[str, Activations]] = {}
    for name, found in measured.items():
        groups.setdefault(tuple(found), {})[name] = found
    figures: list[dict[str, Any]] = []
    for group in groups.values():
        figures.append(largest_activations(group, key="largest", heading="The largest value behind each block"))
        for sigma in (2.0, 5.0):
            heading = f"Values beyond {sigma:g}σ of their sample"
            figures.append(far_shares(group, key=f"beyond-{sigma:g}", heading=heading, sigma=sigma))
    figures += [
        activation_heatmap(found, key=name, heading=f"{name}: how far from the mean")
        for name, found in measured.items()
    ]
    words = f"{options.samples} noised held-out images over all times, seed {options.seed}."
    with atomic.disk_errors(f"choose another place for --out {options.out}"):
        atomic.write_text(Path(options.out), html_page("Values behind every block", figures, words=words))
    print(f"wrote {options.out}", file=sys.stderr)
