"""How sure a mean over seeds is. Free of torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

__all__ = ["standard_error"]


def standard_error(values: Sequence[float]) -> float | None:
    """Sample standard deviation over the root of their number; None for fewer than two."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
