"""What commands print: values and tables for people, or the same as JSON."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["complain", "print_lines", "print_made", "print_result", "print_rows", "print_values"]


def complain(problem: Exception, status: int) -> int:
    """Say a problem in one line; the exit status."""
    print("tinylab:", " ".join(str(problem).split()), file=sys.stderr)
    return status


def print_values(values: dict[str, Any], indent: str = "") -> None:
    """Names and values, those of nested ones below them."""
    for name, value in values.items():
        if isinstance(value, dict):
            print(f"{indent}{name}:")
            print_values(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for row in value:
                print(f"{indent}{name}:")
                print_values(row, indent + "  ")
        else:
            print(f"{indent}{name}: {_readable(value)}")


def print_rows(rows: list[dict[str, Any]], options: argparse.Namespace) -> int:
    """A table of rows with equal names."""
    if options.json:
        print(json.dumps(rows))
    elif not rows:
        print("none yet", file=sys.stderr)
    else:
        print_lines([list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)])
    return 0


def print_result(values: dict[str, Any], lines: Sequence[str], options: argparse.Namespace) -> int:
    """Lines for people, or the values as JSON."""
    for line in [json.dumps(values)] if options.json else lines:
        print(line)
    return 0


def print_lines(lines: Sequence[Sequence[str]], *, markdown: bool = False) -> None:
    """Print a table, its head first, in columns or as Markdown."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    if markdown:
        padded = [[cell.replace("|", "\\|") for cell in line] for line in padded]
        padded.insert(1, ["-" * width for width in widths])
        print("\n".join(f"| {' | '.join(line)} |" for line in padded))
    else:
        print("\n".join("  ".join(line).rstrip() for line in padded))


def print_made(values: dict[str, Any], notes: Sequence[str], options: argparse.Namespace) -> int:
    """What a command made, and what is to be known about it."""
    if options.json:
        print(json.dumps({**values, "notes": list(notes)}))
        return 0
    print_values(values)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


def _readable(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(_readable(v) for v in value) if isinstance(value, list) else str(value)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
