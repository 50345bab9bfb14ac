"""Seeds as people write them."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

__all__ = ["Seed", "Seeds"]

_MOST_SEEDS = 1000


def _expanded(value: Any) -> Any:
    """Seeds as people write them, 0-4,7, each once, as single numbers."""
    parts = (value.split(",") if value.strip() else []) if isinstance(value, str) else value
    seeds: list[Any] = []
    for part in parts if isinstance(parts, (list, tuple)) else [parts]:
        span = re.fullmatch(r"\s*(\d{1,9})\s*-\s*(\d{1,9})\s*", part) if isinstance(part, str) else None
        if span and not 0 <= int(span[2]) - int(span[1]) < _MOST_SEEDS:
            raise ValueError(f"a span of seeds goes up, by at most {_MOST_SEEDS}, as 0-4")
        seeds += range(int(span[1]), int(span[2]) + 1) if span else [part]
    return tuple(dict.fromkeys(seeds))


Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_expanded), Field(max_length=_MOST_SEEDS)]
