"""The recorded hidden values. Free of torch."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from app.lessons.subsets import lessons_folder

__all__ = ["BIN", "BINS", "HIDDEN", "IMAGES", "KS", "PLANS", "hidden_values"]

HIDDEN = "hidden.json"
IMAGES = 256  # noised held-out images
BIN, BINS = 0.5, 30  # width of a bin of |h - μ| / σ, and how many; the last one has all that lies beyond
KS = [k / 4 for k in range(4, 41)]  # masks from 1σ to 10σ
PLANS = {  # the learned choices of docs/study.md
    "digits-dit": ("0", "1", "2", "3", "4", "6"),
    "digits-sit": ("0", "2", "3", "5", "6", "9"),
}


@cache
def hidden_values() -> dict[str, Any]:
    """What was recorded."""
    return json.loads((lessons_folder() / HIDDEN).read_text())
