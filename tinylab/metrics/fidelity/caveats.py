"""What must be known before scores are compared: one line each."""

from __future__ import annotations

from collections.abc import Sequence

from tinylab.metrics.fidelity.half_samples import FEWEST, resamples_within_reach
from tinylab.metrics.fidelity.names import METRICS

__all__ = ["warnings_for"]

_PUBLISHED = 50_000  # samples behind published scores
_PER_FEATURE = 10  # samples a feature, below which the covariance is poorly known
_SPATIAL = 2023
_INCEPTION = 2048


def warnings_for(
    n_generated: int, n_real: int, features: int, metrics: Sequence[str], *, resamples: int = 0
) -> list[str]:
    """What to know of scores of `n_generated` samples against `n_real` real pictures (0 for statistics alone).

    Args:
        features: number of pooled features.
        resamples: half-samples that were asked for; says which intervals are left out.
    """
    found = _of_bias(n_generated, n_real, features, metrics)
    if resamples and n_generated < FEWEST:
        return [*found, f"Fewer than {FEWEST} samples: no intervals."]
    for name in metrics if resamples else ():
        width = _SPATIAL if name == "sfid" else features
        draws = resamples_within_reach(name, resamples, n_generated, n_real, width)
        label = METRICS[name].label
        if not draws:
            found.append(f"{label}: no interval, which would take too long or too much memory for so many pictures.")
        elif draws < resamples:
            found.append(f"{label}: its interval is from {draws} half-samples, not {resamples}, to save time.")
    return found


def _of_bias(n_generated: int, n_real: int, features: int, metrics: Sequence[str]) -> list[str]:
    found = []
    fewest = min(n_generated, n_real or n_generated)
    for name in ("fid", "sfid"):
        width = _SPATIAL if name == "sfid" else features
        if name in metrics and fewest < _PER_FEATURE * width:
            found.append(
                f"{METRICS[name].label} of {width:,} features from {fewest:,} pictures is biased upwards: compare it "
                "only with that of equally many."
            )
    if "is" in metrics and n_generated < _PUBLISHED:
        found.append(f"IS from {n_generated:,} samples is biased downwards: compare it only with equally many.")
    if {"precision", "recall"} & set(metrics):
        found.append("Precision and recall depend on the numbers of samples and of real pictures: keep both equal.")
    if features == _INCEPTION and {"fid", "sfid", "is"} & set(metrics) and n_generated < _PUBLISHED:
        found.append(
            f"Published scores are of {_PUBLISHED:,} samples; these, of {n_generated:,}, compare only with each other."
        )
    return found
