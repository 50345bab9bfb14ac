"""Distances of two sets of features: Fréchet (FID, sFID), kernel (KID), and precision and recall."""

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from tinylab.metrics.fidelity.features import Moments
from tinylab.metrics.fidelity.resampling import Measure

__all__ = [
    "NEIGHBOURS",
    "frechet_distance",
    "kernel_distance",
    "kernel_inception_distance",
    "measure_frechet",
    "measure_kernel",
    "measure_precision",
    "measure_recall",
    "precision_and_recall",
]

_ROUNDING = 1e-6  # of the two traces


def frechet_distance(generated: Moments, real: Moments) -> float:
    """|m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½), by torch-fidelity in float64.

    The distance of a set to itself is 0, but the eigenvalues of a covariance without full rank are zeros that come out
    as 1e-16 of the largest, either sign, and their square roots as 1e-8: what is below a millionth of the traces is
    such rounding, and is 0 here.
    """
    first, second = ({"mu": m.mean, "sigma": m.covariance} for m in (generated, real))
    distance = fid_statistics_to_metric(first, second, verbose=False)[KEY_METRIC_FID]
    size = float(np.trace(generated.covariance) + np.trace(real.covariance))
    return 0.0 if abs(distance) <= _ROUNDING * size else distance


def measure_frechet(generated: Tensor, real: Moments) -> Measure:
    """The same distance for some rows of `generated` (N, F), quick enough to be asked a hundred times.

    The trace of (S1 S2)^½ is the sum of the singular values of X R / √(n - 1), where X are the centred rows and R is
    the symmetric root of S2: the product X R is computed once, and of a few rows the smaller Gram matrix is enough.
    """
    x = generated.double()
    mean, covariance = torch.from_numpy(real.mean).double(), torch.from_numpy(real.covariance).double()
    values, vectors = torch.linalg.eigh(covariance)
    turned = x @ (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    size = covariance.trace().item()

    def measure(rows: Tensor) -> float:
        chosen, rotated = x[rows], turned[rows]
        centre = chosen.mean(0)
        rotated = rotated - rotated.mean(0)
        spread = (chosen - centre).square().sum().item() / (len(rows) - 1)
        gram = rotated.T @ rotated if len(rows) > x.shape[1] else rotated @ rotated.T
        root = (torch.linalg.eigvalsh(gram).clamp(min=0) / (len(rows) - 1)).sqrt().sum().item()
        return (centre - mean).square().sum().item() + spread + size - 2 * root

    return measure


_SUBSET, _SUBSETS = 1000, 100  # torch-fidelity's
_KERNEL_ROWS = 1000


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
    within = _cubic_kernel(x, x)
    within.fill_diagonal_(0)
    across = torch.cat([_cubic_kernel(part, y).mean(1) for part in x.split(_KERNEL_ROWS)])

    def measure(rows: Tensor) -> float:
        n = len(rows)
        return (within[rows][:, rows].sum() / (n * (n - 1)) - 2 * across[rows].mean()).item()

    return measure


def _cubic_kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


NEIGHBOURS = 3  # as published
_DISTANCE_ROWS = 1000  # rows of distances computed at once


def precision_and_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Share of samples within the reach of a real picture, and of real pictures within that of a sample.

    The reach of a picture is its distance to its third neighbour in its own set. By torch-fidelity in float64.
    """
    found = prc_features_to_metric(
        generated.double(),
        real.double(),
        prc_neighborhood=NEIGHBOURS,
        prc_batch_size=_DISTANCE_ROWS,
        save_cpu_ram=True,
        verbose=False,
    )
    return found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL]


def measure_precision(generated: Tensor, real: Tensor) -> Measure:
    """Precision of some rows of `generated`; whether a sample is near does not depend on the others."""
    reach = _reach(real)
    parts = [(torch.cdist(part.double(), real.double()) <= reach).any(1) for part in generated.split(_DISTANCE_ROWS)]
    near = torch.cat(parts).double()
    return lambda rows: near[rows].mean().item()


def measure_recall(generated: Tensor, real: Tensor) -> Measure:
    """Recall of some rows of `generated`, whose reach is measured among these rows alone."""
    among = torch.cat(
        [torch.cdist(part.double(), generated.double()).float() for part in generated.split(_DISTANCE_ROWS)]
    )
    across = torch.cat([torch.cdist(part.double(), generated.double()).float() for part in real.split(_DISTANCE_ROWS)])

    def measure(rows: Tensor) -> float:
        reach = among[rows][:, rows].kthvalue(NEIGHBOURS + 1).values
        return (across[:, rows] <= reach).any(1).double().mean().item()

    return measure


def _reach(features: Tensor) -> Tensor:
    """Distance (N,) of each to its third neighbour; the nearest of all is itself."""
    x = features.double()
    return torch.cat([torch.cdist(part, x).kthvalue(NEIGHBOURS + 1).values for part in x.split(_DISTANCE_ROWS)])


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy of features a (N, F) and b (M, F) under the kernel (x·y/F + 1)³.

    Unbiased: small sets give the same on average as large ones, and sets of one distribution give 0 on average, so
    that single values can be below zero.

    Raises:
        ValueError: a set has fewer than two entries.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("two sets of at least two features each are needed")
    a, b = a.double(), b.double()
    return (_within(a) + _within(b) - 2 * _cubic_kernel(a, b).mean()).item()


def _within(x: Tensor) -> Tensor:
    """Mean of the kernel over pairs of different entries."""
    values = _cubic_kernel(x, x)
    return (values.sum() - values.diagonal().sum()) / (len(x) * (len(x) - 1))
