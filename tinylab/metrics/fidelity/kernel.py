"""The kernel distance of two sets: KID (Bińkowski et al. 2018, arXiv:1801.01401)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from tinylab.metrics.fidelity.half_samples import Measure

__all__ = ["kernel_inception_distance", "measure_kernel"]

_SUBSET, _SUBSETS = 1000, 100  # torch-fidelity's
_CHUNK = 1000


def kernel_inception_distance(generated: Tensor, real: Tensor, seed: int) -> float:
    """Mean over 100 random subsets of the squared kernel distance, by torch-fidelity in float64.

    Unbiased, so that it can be below zero; of a set with itself it is below zero, because pairs of one picture with
    itself count only across the sets. Subsets have 1,000 pictures, or all of the smaller set if it has fewer.
    """
    size = min(_SUBSET, len(generated), len(real))
    subsets = 1 if len(generated) == len(real) == size else _SUBSETS  # all subsets would be the whole
    found = kid_features_to_metric(
        generated.double(), real.double(), kid_subsets=subsets, kid_subset_size=size, rng_seed=seed, verbose=False
    )
    return found[KEY_METRIC_KID_MEAN]


def measure_kernel(generated: Tensor, real: Tensor) -> Measure:
    """The distance of some rows of `generated` to all of `real`, up to a constant: that of pairs in `real`."""
    x, y = generated.double(), real.double()
    within = _kernel(x, x)
    within.fill_diagonal_(0)
    across = torch.cat([_kernel(part, y).mean(1) for part in x.split(_CHUNK)])

    def measure(rows: Tensor) -> float:
        n = len(rows)
        return (within[rows][:, rows].sum() / (n * (n - 1)) - 2 * across[rows].mean()).item()

    return measure


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3
