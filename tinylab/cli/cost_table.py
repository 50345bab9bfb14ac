"""The result of a measurement of costs, for people or for a document."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinylab.cli.output import print_lines

__all__ = ["explanations", "print_costs", "print_evaluation", "print_pipeline"]

_PARTS = ("blocks", "embedders", "head")
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def print_costs(result: Mapping[str, Any], *, markdown: bool = False) -> None:
    """Print models with their parts, what was measured of each, and what explains the speed-ups."""
    sampling = result["sampling"]
    print(_machine(result["machine"]))
    print(f"{sampling['family']}, sampler {sampling['sampler']}, guidance {sampling['guidance']:g}\n")
    print_lines(_model_lines(result["models"]), markdown=markdown)
    print()
    print_lines(_row_lines(result), markdown=markdown)
    print(f"\nshares of the full model's time: {_shares(result['shares'])}")
    for line in explanations(result):
        print(line)
    if result["equal_seconds"]:
        _print_equal_seconds(result["equal_seconds"], markdown=markdown)


def explanations(result: Mapping[str, Any]) -> Iterator[str]:
    """For every row of a model that differs in depth alone: its limit, what of that can be had, and what was found."""
    from tinylab.reports.tables.cost import gap_words

    for row in result["rows"]:
        model = result["models"][row["model"]]
        if model["kind"] == "shallow" and row["limit"] is not None:
            yield f"batch {row['batch']}, {row['steps']} steps, {gap_words(row, model)}"


def print_pipeline(result: Mapping[str, Any], *, markdown: bool = False) -> None:
    """Print our sampling beside the pipeline's."""
    print(_machine(result["machine"]))
    print(f"{result['model']}, guidance {result['guidance']:g}\n")
    lines = [["sampler", "batch", "steps", "ours", "DiTPipeline", "ratio", "latents differ by", "of at most"]]
    for row in result["rows"]:
        gap = row["largest_difference"]
        shown = ["–", "–"] if gap is None else [f"{gap:.1e}", f"{row['largest_value']:.3g}"]
        times = [_seconds(row["seconds"]), _seconds(row["pipeline_seconds"]), f"{row['ratio']:.2f}x"]
        lines.append([row["sampler"], str(row["batch"]), str(row["steps"]), *times, *shown])
    print_lines(lines, markdown=markdown)
    for note in result["notes"]:
        print(f"note: {note}")


def _machine(machine: Mapping[str, Any]) -> str:
    device = f"{machine['device']} ({machine['name']}), {machine['cores']} cores, {machine['threads']} threads"
    return f"{device}, torch {machine['torch']}, {machine['precision']}"


def _model_lines(models: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    lines = [["model", "blocks", "weights", *_PARTS, "multiply-adds an image", *_PARTS]]
    for model in models:
        depth = "+".join(str(count) for count in model["depth"].values())
        counts = [
            cell
            for table in (model["parameters"], model["macs"])
            for cell in (_count(table["total"]), *(f"{table[part] / max(1, table['total']):.1%}" for part in _PARTS))
        ]
        lines.append([model["label"], depth, *counts])
    return lines


def _row_lines(result: Mapping[str, Any]) -> list[list[str]]:
    lines = [["model", "batch", "steps", "time", "quartiles", "images/s", "memory", "speed", "can be had", "limit"]]
    for row in result["rows"]:
        ratios = [_ratio(row[name]) for name in ("speedup", "expected", "limit")]
        lines.append(
            [
                result["models"][row["model"]]["label"],
                str(row["batch"]),
                str(row["steps"]),
                _seconds(row["seconds"]),
                f"{_seconds(row['low'])} to {_seconds(row['high'])}",
                f"{row['images_per_second']:.3g}",
                f"{row['peak_bytes'] / 2**20:,.1f} MiB",
                *ratios,
            ]
        )
    return lines


def _print_equal_seconds(found: Mapping[str, Any], *, markdown: bool) -> None:
    names = list(found["rows"][0]["scores"])
    lines = [["model", "steps", "time an image", *names]]
    for row in found["rows"]:
        scores = [f"{row['scores'][name]['value']:.4g}" for name in names]
        lines.append([row["label"], str(row["steps"]), _seconds(row["seconds_per_image"]), *scores])
    budget = _seconds(found["seconds_per_image"])
    print(f"\nat {budget} an image: {found['images']} samples each, features of {found['extractor']}")
    print_lines(lines, markdown=markdown)


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {share:.1%}" for part, share in shares.items())


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}x"


def _count(number: int) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if number >= size), (1, ""))
    return f"{number / size:.3g}{unit}"


def _seconds(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


def print_evaluation(result: Mapping[str, Any], *, markdown: bool = False) -> None:
    """One row a model or file, the floor of real data below; warnings go to stderr."""
    from tinylab.reports.table_render import text_lines
    from tinylab.reports.tables import score_table

    table = score_table([result])
    print_lines(text_lines(table), markdown=markdown)
    print(table.note)
    for line in result.get("warnings", ()):
        print(f"note: {line}", file=sys.stderr)
