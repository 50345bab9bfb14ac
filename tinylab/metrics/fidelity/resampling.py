"""How far a score would move if other samples had been drawn: half-samples, a bootstrap without replacement."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Measure", "drawn_evenly", "halves", "interval"]


def halves(count: int, classes: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows of two random halves of `count`, the first one larger where that is odd.

    Where `classes` (N,) are given, each half has as many of a class as the other, or one more.
    """
    order = torch.randperm(count, generator=generator)
    if classes is not None:  # sorted by class, in random order within; then every second one
        order = order[classes[order].sort(stable=True).indices]
    return order[0::2], order[1::2]


def drawn_evenly(classes: Tensor) -> bool:
    """True where every class occurs equally often, or once more: then their numbers were set, not drawn."""
    counts = classes.unique(return_counts=True)[1]
    return bool(counts.max() - counts.min() <= 1)


_SHARE = 0.95

Measure = Callable[[Tensor], float]  # rows (n,) of the samples -> the score of these alone


def interval(
    value: float,
    measure: Measure,
    count: int,
    *,
    resamples: int,
    seed: int,
    bounds: tuple[float, float],
    strata: Tensor | None = None,
) -> tuple[float, float]:
    """The 95% interval around the score `value` of `count` samples; the reference counts as given.

    Each resample is a random half of the samples, none twice. The usual bootstrap draws samples twice, and twins look
    like less variety: it moves FID and KID up, and recall, which measures distances to the nearest samples, far down.
    A mean over half of n samples, drawn without replacement, deviates from the mean over all as much as that deviates
    from the truth (variance s²/n both), so the spread of halves is the spread sought, to first order, for any score.
    Their mean is subtracted first: half as many samples have another bias. The interval therefore holds the value, and
    says where the score of other samples, equally many, would lie; the bias at this number of samples stays in both.

    Args:
        measure: the score, up to a constant, of some rows.
        count: number of samples.
        bounds: what the score cannot leave.
        strata: classes (N,) of which set numbers were drawn; halves keep their shares.
    """
    generator = torch.Generator().manual_seed(seed)
    half = count // 2
    draws = [measure(_shuffled(halves(count, strata, generator)[1], generator)) for _ in range(resamples)]
    found = torch.tensor(draws, dtype=torch.float64)
    moved = (found - found.mean()) * math.sqrt(half / (count - half))
    ends = torch.tensor([(1 + _SHARE) / 2, (1 - _SHARE) / 2], dtype=torch.float64)
    low, high = (value - moved.quantile(ends)).tolist()
    return max(min(low, value), bounds[0]), min(max(high, value), bounds[1])


def _shuffled(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Rows by class would give the splits of an Inception Score classes of their own."""
    return rows[torch.randperm(len(rows), generator=generator)]
