"""The command that prints the tables of a run, for people, a document or a spreadsheet."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinylab.cli.commands import Commands
from tinylab.cli.output import print_lines
from tinylab.config import CompareConfig, RecipesConfig
from tinylab.errors import BadRequest
from tinylab.pruning.plan import block_names

if TYPE_CHECKING:
    from tinylab.runs.run import Run

__all__ = ["add_to", "print_comparison", "print_recipes"]


def add_to(commands: Commands) -> None:
    """`table`."""
    command = commands.add("table", "print the tables of a run, as far as it has come", _table)
    command.add_argument("run", metavar="RUN", help="id or folder of the run")
    command.add_argument("--markdown", action="store_true", help="as a table of Markdown")
    command.add_argument(
        "--csv", action="store_true", help="as CSV with all digits, all tables of the run below each other"
    )
    command.add_argument(
        "--study",
        metavar="STUDY",
        help="rank by this study or candidates.csv as it is now, not by the comparison's own",
    )


def print_comparison(result: Mapping[str, Any], *, markdown: bool = False) -> None:
    """Print the rows of a comparison, best final loss first, and the full model below them."""
    if not result.get("rows"):
        print("no method is done yet", file=sys.stderr)
        return
    print_lines(_lines(result), markdown=markdown)


def print_recipes(result: Mapping[str, Any], *, markdown: bool = False) -> None:
    """Print what recipes of recovery came to, the smallest loss first, and the models before and beyond them."""
    if not result.get("rows"):
        print("no recipe is done yet", file=sys.stderr)
        return
    print_lines(_recipe_lines(result), markdown=markdown)


def _table(options: argparse.Namespace) -> int:
    from tinylab.runs.store import find_run

    run = find_run(options.run)
    config, result = run.config(), run.result()
    if options.csv or not isinstance(config, CompareConfig | RecipesConfig):
        return _tables(run, options)
    if isinstance(config, RecipesConfig):
        return _recipes(run, result, options)
    if options.study is not None:
        result = _ranked_by(options.study, result, config)
    if options.json:
        print(json.dumps({"run": str(run.path), **result, "rows": _sorted(result.get("rows", []))}))
    else:
        print_comparison(result, markdown=options.markdown)
    return 0


def _tables(run: Run, options: argparse.Namespace) -> int:
    """The tables that a report shows of the run."""
    if options.study is not None:
        raise BadRequest("--study ranks the methods of a comparison in its printed table; leave it out")
    from tinylab.reports.sections import section_of
    from tinylab.reports.table import stacked_csv
    from tinylab.reports.table_render import text_lines

    tables = section_of(run).tables
    if options.csv:
        print(stacked_csv(tables), end="")
    elif options.json:
        print(json.dumps({"run": str(run.path), "tables": [table.to_json() for table in tables]}))
    else:
        for table in tables:
            print(f"{'### ' if options.markdown else ''}{table.title}{chr(10) if options.markdown else ''}")
            print_lines(text_lines(table), markdown=options.markdown)
            print(*([table.note] if table.note else []), "", sep="\n")
    if not tables:
        print(f"{run.id} has no tables yet", file=sys.stderr)
    return 0


def _recipes(run: Run, result: dict[str, Any], options: argparse.Namespace) -> int:
    if options.study is not None:
        raise BadRequest("--study ranks methods of pruning; leave it out for recipes of recovery")
    if options.json:
        print(json.dumps({"run": str(run.path), **result}))
    else:
        print_recipes(result, markdown=options.markdown)
    return 0


def _recipe_lines(result: Mapping[str, Any]) -> list[list[str]]:
    """The table as text, the head first; columns of samples only where some were scored."""
    rows = sorted(result["rows"], key=lambda row: row["loss"])
    first = result["rows"][0]["recipe"]
    scored = any(row["kernel_distance"] is not None for row in rows)
    samples = ["kernel distance", "read correctly"] if scored else []
    lines = [["recipe", "loss", f"difference to {first}", *samples, "seconds"]]
    for row in rows:
        scores = [_mean(row, "kernel_distance", 4), _mean(row, "read_correctly", 3)] if scored else []
        gap = "–" if row["recipe"] == first else _mean(row, "difference", 5)
        lines.append([row["recipe"], _mean(row, "loss", 5), gap, *scores, f"{row['seconds']:.0f}"])
    for name, label in (("loss_pruned", "right after the cut"), ("loss_full", "full model")):
        if name in result:
            lines.append([label, f"{result[name]:.5f}", "–", *["–"] * len(samples), "–"])
    return lines


def _mean(row: Mapping[str, Any], name: str, digits: int) -> str:
    """Mean ± standard error."""
    value, error = row[name], row.get(f"{name}_error")
    if value is None:
        return "–"
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if error is not None else "")


def _ranked_by(study: str, result: dict[str, Any], config: CompareConfig) -> dict[str, Any]:
    """The result with ranks in another study, or in one that has grown since."""
    from tinylab.jobs.ground_truth import GroundTruth, ranked, study_facts

    rows = result.get("rows", [])
    if not all("cells" in row for row in rows):
        raise BadRequest("this comparison is of an earlier version, which kept no cells to rank; compare again")
    if not rows:
        return result
    truth, depth = GroundTruth.open(study), result["full"]["depth"]
    truth.check_fits(config.model, result["keep"], depth)
    return {**result, "rows": ranked(rows, config, depth, truth), "study": study_facts(truth)}


def _sorted(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By the loss after fine-tuning, or right after pruning where nothing was fine-tuned."""
    return sorted(rows, key=lambda row: row["loss_pruned"] if row["loss_finetuned"] is None else row["loss_finetuned"])


def _lines(result: Mapping[str, Any]) -> list[list[str]]:
    """The table as text, the head first; a rank only where there is a study."""
    from tinylab.reports.tables.comparison import choices_of

    full, study, names = result["full"], result.get("study"), block_names(result["full"]["depth"])
    head = ["method", "loss after pruning", "fine-tuned", *(["rank after fine-tuning"] if study else []), "speed"]
    lines = [[*head, "kept blocks"]]
    for row in _sorted(result["rows"]):
        losses = [_loss(row, "loss_pruned"), _loss(row, "loss_finetuned")]
        rank = [_rank(row, study["finetuned"])] if study else []
        lines.append([row["method"], *losses, *rank, f"{row['speedup']:.2f}x", choices_of(row, names)])
    lines.append(["full model", f"{full['loss']:.4f}", "–", *(["–"] if study else []), "1.00x", "all"])
    return lines


def _loss(row: Mapping[str, Any], name: str) -> str:
    """Mean ± standard error; of equal losses, or of a single one, the loss alone."""
    loss, error = row[name], row.get(f"{name}_error")
    if loss is None:
        return "–"
    return f"{loss:.4f}" if not error else f"{loss:.5f} ± {error:.5f}"


def _rank(row: Mapping[str, Any], count: int) -> str:
    """The mean rank, what share of the candidates that is, and of how many seeds where it is not known of all."""
    if row.get("rank") is None:
        return "–"
    cells = row["cells"]
    known = sum(cell["rank"] is not None for cell in cells)
    few = "" if known == len(cells) else f", {known} of {len(cells)} seeds"
    return f"{row['rank']:.4g} of {count:,} (best {row['rank_share']:.1%}{few})"
