"""Every way to keep some blocks of a model, and the table of what became of each. Free of torch."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.pruning.plan import block_names

__all__ = ["MAX_CANDIDATES", "Candidate", "CandidateTable", "all_candidates", "check_number", "rank_correlation"]

MAX_CANDIDATES = 20_000
_COLUMNS = ("kept", "loss_pruned", "loss_finetuned")


@dataclass(frozen=True)
class Candidate:
    """One choice of blocks, by their names, with its losses so far."""

    kept: tuple[str, ...]
    loss_pruned: float | None = None
    loss_finetuned: float | None = None


def check_number(depth: Mapping[str, int], keep: int) -> None:
    """BadRequest if there are more candidates than anybody could fine-tune."""
    number = math.comb(sum(depth.values()), keep)
    if number > MAX_CANDIDATES:
        raise BadRequest(f"there are {number:,} ways to keep {keep} blocks; a study takes at most {MAX_CANDIDATES:,}")


def all_candidates(depth: Mapping[str, int], keep: int, protected: Mapping[str, Sequence[int]]) -> list[Candidate]:
    """All ways to keep `keep` blocks that leave no stack empty and keep the protected blocks, in order."""
    check_number(depth, keep)
    names = block_names(depth)
    must = {names[stack][index] for stack, several in protected.items() for index in several}
    everything = [name for several in names.values() for name in several]
    chosen = (set(one) for one in itertools.combinations(everything, keep))
    valid = (one for one in chosen if must <= one and all(one & set(several) for several in names.values()))
    return [Candidate(tuple(name for name in everything if name in one)) for one in valid]


class CandidateTable:
    """The candidates of a study, by their kept blocks.

    Stored as a table of comma-separated values (kept blocks with spaces between, loss after pruning, loss after
    fine-tuning), replaced as a whole at every change: a reader always sees a whole table.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._rows = {candidate.kept: candidate for candidate in candidates}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> list[Candidate]:
        """All candidates, in the order in which they were given."""
        return list(self._rows.values())

    @property
    def scored(self) -> list[Candidate]:
        """Those whose loss right after pruning is known."""
        return [row for row in self.rows if row.loss_pruned is not None]

    @property
    def finetuned(self) -> list[Candidate]:
        """Those whose losses are both known."""
        return [row for row in self.rows if row.loss_finetuned is not None]

    def set(self, kept: tuple[str, ...], loss: float, *, finetuned: bool) -> None:
        """Fill in a loss of a candidate, the one right after pruning or the one after fine-tuning."""
        row = self._rows[kept]
        self._rows[kept] = replace(row, loss_finetuned=loss) if finetuned else replace(row, loss_pruned=loss)

    def take_over(self, known: CandidateTable) -> None:
        """The losses of another table of the same candidates; BadRequest if it has others."""
        if {row.kept for row in known.rows} != set(self._rows):
            raise BadRequest("the known study is about other candidates; name one of the same model and keep")
        self._rows |= {row.kept: row for row in known.rows}

    def save(self, path: Path) -> None:
        """Write the table, atomically."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in self.rows:
            losses = (row.loss_pruned, row.loss_finetuned)
            writer.writerow([" ".join(row.kept), *("" if loss is None else f"{loss:.7g}" for loss in losses)])
        atomic.write_text(path, text.getvalue())

    @classmethod
    def load(cls, path: Path) -> CandidateTable:
        """Read what `save` wrote; BadRequest if it is missing or damaged."""
        try:
            with path.open(newline="") as file:
                reader = csv.DictReader(file)
                rows = [_candidate(row) for row in reader]
            if tuple(reader.fieldnames or ()) != _COLUMNS:
                raise ValueError("other columns")
            return cls(rows)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error):
            raise BadRequest(f"{path} is not a table of candidates; `tinylab study exhaustive` makes one") from None


def _candidate(row: Mapping[str, str]) -> Candidate:
    losses = [float(row[name]) if row[name] else None for name in _COLUMNS[1:]]
    return Candidate(tuple(row["kept"].split()), *losses)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation of two lists, equal values sharing their mean rank; nan for fewer than two."""
    if len(first) < 2:
        return math.nan
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
