"""The command that compares with golden values of published code."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylab.cli.commands import Commands
from tinylab.cli.output import complain, print_rows
from tinylab.errors import BadRequest, Failure

if TYPE_CHECKING:
    from tinylab.verify.report import Row

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """`verify`."""
    command = commands.add("verify", "recompute golden files of published code and compare", _verify)
    command.add_argument("files", metavar="FILE", nargs="+", help="golden files (.safetensors)")


def _verify(options: argparse.Namespace) -> int:
    """One row a quantity; 0 if all hold, 1 if one does not, 2 if a file is unknown or damaged."""
    from tinylab.verify.report import verify_file

    rows, status = [], 0
    for file in options.files:
        try:
            rows += verify_file(Path(file))
        except BadRequest as problem:
            status = complain(problem, 2)
    if options.json:
        print(
            json.dumps(
                [{**asdict(row), "error": row.error if row.error < math.inf else None, "ok": row.ok} for row in rows]
            )
        )
    elif rows:
        print_rows([_readable_row(row) for row in rows], options)
    failed = sum(not row.ok for row in rows)
    if not status and failed:
        raise Failure(f"{failed} of {len(rows)} quantities differ by more than their tolerance")
    return status


def _readable_row(row: Row) -> dict[str, Any]:
    numbers = {"error": f"{row.error:.1e}", "tolerance": f"{row.tolerance:.0e}"}
    return {"file": row.file, "quantity": row.quantity, **numbers, "ok": "ok" if row.ok else "NO"}
