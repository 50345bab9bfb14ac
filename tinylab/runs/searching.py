"""Finding runs by words that somebody remembers of them. Free of torch."""

from __future__ import annotations

from tinylab.runs.about import about
from tinylab.runs.record import Run

__all__ = ["has_words"]


def has_words(run: Run, words: str) -> bool:
    """Whether all of these words stand, in any order, in the run's id, name, notes, kind, state or model."""
    wanted = words.casefold().split()
    if not wanted:
        return True
    config, said = run.config(), about(run)
    model = str(getattr(config, "model", None) or "")
    text = "\n".join([run.id, said.name, said.notes, config.kind, run.status().state, model]).casefold()
    return all(word in text for word in wanted)
