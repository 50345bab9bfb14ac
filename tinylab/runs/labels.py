"""What models and files are called in results: short, and no two alike. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinylab.paths import exists

__all__ = ["short_labels"]


def short_labels(sources: Sequence[str]) -> list[str]:
    """Built-in names, published sizes and what comes from the Hub as they are; of a path the last part, numbered where
    it comes again."""
    seen: dict[str, int] = {}
    found = []
    for source in sources:
        label = Path(source).name if exists(Path(source)) else source
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found
