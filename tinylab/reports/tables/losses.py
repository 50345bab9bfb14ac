"""The tables of single runs: losses before and after, what a search decided, the best of a study, drawn samples."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tinylab.config import SampleConfig
from tinylab.jobs.ground_truth import CANDIDATES
from tinylab.pruning.exhaustive import CandidateTable
from tinylab.pruning.plan import block_names
from tinylab.reports.names import model_label
from tinylab.reports.reading import number, searched_depth
from tinylab.reports.table import Column, Row, Table
from tinylab.runs.run import Run
from tinylab.sampling import SAMPLERS

__all__ = ["blocks_table", "candidates_table", "losses_table", "samples_table"]

_BEST = 20  # candidates of a study that are listed
_LOSSES = (
    ("loss_full", "Full model", "parameters_full"),
    ("loss_pruned", "Right after the cut", "parameters"),
    ("loss_finetuned", "Fine-tuned", "parameters"),
)


def losses_table(run: Run) -> Table:
    """Held-out losses of a search, a prune or a fine-tuning: of the full model, the cut one, the recovered one."""
    result = run.result()
    sized = "parameters" in result
    weights = (Column("parameters", "Weights", format=",d", against="ratio"),) if sized else ()
    columns = (Column("model", "Model"), Column("loss", "Held-out loss", format=".4f", better="lower"), *weights)
    rows = [
        Row((words, number(result[name]), *((number(result.get(size)),) if sized else ())), aside=name == "loss_full")
        for name, words, size in _LOSSES
        if name in result
    ]
    note = "The model's own training loss on images that no training saw, lower is better."
    return Table("losses", "Losses", columns, tuple(rows), note)


def blocks_table(run: Run) -> Table:
    """Every block of a search with its probability to stay and the decision, as far as the search has come."""
    last = run.metrics().last_vectors()
    names = block_names(searched_depth(last))
    result = run.result()
    kept = {stack: [int(i) for i in _decision(result, last, stack)] for stack in names}
    probabilities = {stack: result.get("keep_probability", {}).get(stack) or last[f"keep/{stack}"] for stack in names}
    rows = [
        Row((name, number(probabilities[stack][i]), "stays" if i in kept[stack] else "goes"))
        for stack, several in names.items()
        for i, name in enumerate(several)
    ]
    columns = (
        Column("block", "Block"),
        Column("keep_probability", "Stays with probability", format=".1%"),
        Column("decision", "Decision"),
    )
    return Table("blocks", "Every block", columns, tuple(rows))


def _decision(result: Mapping[str, Any], last: Mapping[str, Sequence[float]], stack: str) -> Sequence[float]:
    return cast(Sequence[float], (result.get("kept") or {}).get(stack) or last[f"decision/{stack}"])


def candidates_table(run: Run) -> Table:
    """The best candidates of a study, by the loss after fine-tuning, or by the one before where there is no other."""
    path = run.artifacts / CANDIDATES
    table = CandidateTable.load(path) if path.is_file() else CandidateTable([])
    known = table.finetuned or table.scored
    ordered = sorted(known, key=lambda row: (row.loss_finetuned or 0.0, row.loss_pruned or 0.0))[:_BEST]
    rows = tuple(Row((" ".join(row.kept), row.loss_pruned, row.loss_finetuned)) for row in ordered)
    columns = (
        Column("kept", "Kept blocks"),
        Column("loss_pruned", "Loss after the cut", format=".4f", better="lower"),
        Column("loss_finetuned", "Fine-tuned", format=".4f", better="lower"),
    )
    note = f"The best {len(rows)} of {len(known):,} with a loss; report.json holds all {len(table):,} candidates."
    return Table("candidates", "The best choices", columns, rows, note)


_SAMPLES = (
    Column("model", "Model"),
    Column("blocks", "Blocks", format="d"),
    Column("parameters", "Weights", format=",d", against="ratio"),
    Column("seconds_per_image", "Time an image", unit="s", format=".3g", better="lower", against="ratio"),
    Column("speedup", "Speed", unit="×", format=".2f", better="higher", against="ratio"),
    Column("read_correctly", "Read as asked", format=".1%", better="higher"),
)


def samples_table(run: Run) -> Table:
    """One row a model that images were drawn from, with what an image cost."""
    config = cast(SampleConfig, run.config())
    found = run.result().get("models", [])
    rows = tuple(
        Row(
            (
                model_label(str(row["model"])),
                sum(int(blocks) for blocks in row["depth"].values()),
                *(number(row.get(column.name)) for column in _SAMPLES[2:]),
            )
        )
        for row in found
    )
    note = f"{config.n} images each from the same noise, {_settings(config, found)}, seed {config.seed}."
    if found:
        timed = found[0]["timed_rounds"]
        several = f" Times are medians of {number(timed)} rounds, models in turn."
        note += several if timed > 1 else " Times are of one round."
    return Table("samples", "What an image costs", _SAMPLES, rows, note)


def _settings(config: SampleConfig, found: Sequence[Mapping[str, Any]]) -> str:
    sampler = "" if config.sampler == "auto" else f"{SAMPLERS.entry(config.sampler).label}, "
    steps = number(found[0].get("steps", config.steps)) if found else config.steps
    return f"{sampler}{steps} steps, guidance {config.guidance:g}"
