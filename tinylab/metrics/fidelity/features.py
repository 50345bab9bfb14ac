"""What an extractor sees in pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics

__all__ = ["Features", "Moments", "Statistics", "moments_of"]


@dataclass(frozen=True)
class Moments:
    """Mean (F,) and covariance (F, F) of features, float64."""

    mean: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True)
class Statistics:
    """Moments that were computed elsewhere, of pooled and of spatial features, in place of features."""

    pooled: Moments
    spatial: Moments | None = None


@dataclass(frozen=True)
class Features:
    """Features of N pictures.

    Attributes:
        pooled: one vector a picture (N, F), float32.
        logits: of the extractor's classes (N, K); None if it has none.
        spatial: the 2,023 values (N, 2023) behind sFID; None if the extractor has none.
        statistics: of real pictures, where they are published; then FID and sFID are measured from them.
    """

    pooled: Tensor
    logits: Tensor | None = None
    spatial: Tensor | None = None
    statistics: Statistics | None = None

    def __len__(self) -> int:
        return len(self.pooled)

    def __getitem__(self, rows: Tensor) -> Features:
        """Those of some rows, by index (n,); statistics, which are of all rows, are left out."""
        logits = None if self.logits is None else self.logits[rows]
        spatial = None if self.spatial is None else self.spatial[rows]
        return Features(self.pooled[rows], logits, spatial)


def moments_of(features: Tensor) -> Moments:
    """Mean and covariance of features (N, F), at least two, computed in float64."""
    found = fid_features_to_statistics(features.double())
    return Moments(found["mu"], found["sigma"])
