"""The Fréchet distance of two Gaussians: behind FID (Heusel et al. 2017) and sFID (Nash et al. 2021)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from tinylab.metrics.fidelity.features import Moments
from tinylab.metrics.fidelity.half_samples import Measure

__all__ = ["frechet_distance", "measure_frechet"]

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
