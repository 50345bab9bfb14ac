"""What half of the blocks saves when pictures are drawn, of two models at one setting; `bench sample` takes any."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tinylab.bench.subject import SearchOptions, build_model
from tinylab.jobs.cost.contenders import Contender, every_second_block
from tinylab.jobs.cost.timing import speedup, time_contenders
from tinylab.pruning.surgery import apply_plan
from tinylab.sampling.generate import Settings

__all__ = ["SAMPLED", "SamplingRow", "measure_sampling"]

# By name, what differs from the sizes that `SearchOptions` has of itself.
SAMPLED: Mapping[str, Mapping[str, Any]] = {"digits-dit": {"model": "digits-dit"}, "width 384": {}}

_IMAGES, _SETTINGS = 20, Settings("ddim", steps=10, guidance=1.5)
_BUDGET = 120.0  # seconds after which no further round is begun


@dataclass(frozen=True)
class SamplingRow:
    """Median seconds of 20 images, 10 DDIM steps, with guidance: a model, and one with every second of its blocks.

    Attributes:
        speedup: the median of the ratios of rounds.
    """

    model: str
    blocks: int
    half_blocks: int
    seconds: float
    half_seconds: float
    speedup: float


def measure_sampling(rounds: int, device: str, progress: Callable[[str], None]) -> list[SamplingRow]:
    """One row for every model of `SAMPLED`, by default the digits' and a wider one with random weights."""
    rows = []
    for name, sizes in SAMPLED.items():
        progress(f"sampling, {name}")
        model = build_model(SearchOptions(**sizes, device=device)).eval()
        half = apply_plan(model, every_second_block(model))
        pair = [Contender(name, name, "full", model), Contender(f"{name}, half", name, "shallow", half)]
        whole, part = time_contenders(pair, _IMAGES, _SETTINGS, rounds, budget=_BUDGET)
        (depth,), (left,) = model.stack_depths().values(), half.stack_depths().values()
        rows.append(SamplingRow(name, depth, left, whole.median, part.median, speedup(whole, part)))
    return rows
