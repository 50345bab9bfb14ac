"""Random blocks: the control that every other method must beat."""

from __future__ import annotations

import random

from tinylab.pruning.criteria.base import Choice, Request
from tinylab.pruning.criteria.of_random import draw

__all__ = ["choose"]


def choose(request: Request) -> Choice:
    """A uniform choice among all that the layout allows, the same for the same seed."""
    return Choice(draw(request, random.Random(request.seed)))
