"""Scores of what a classifier sees in samples: the Inception Score (Salimans et al. 2016) and class accuracy."""

from __future__ import annotations

import math

from torch import Tensor
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.resampling import Measure

__all__ = ["inception_score", "measure_inception_score", "right"]

_SPLITS = 10  # as published


def splits_of(count: int) -> int:
    """Ten; fewer where a split would have less than ten samples."""
    return max(1, min(_SPLITS, count // 10))


def inception_score(logits: Tensor, seed: int) -> float:
    """exp of the mean over samples of KL(p(y|x) | p(y)), a mean over ten splits, by torch-fidelity in float64."""
    return isc_features_to_metric(logits, splits_of(len(logits)), shuffle=True, rng_seed=seed)[KEY_METRIC_ISC_MEAN]


def measure_inception_score(logits: Tensor) -> Measure:
    """The same for some rows of `logits` (N, K), in as many splits as all of them have."""
    p = logits.double().softmax(1)
    sureness = (p * logits.double().log_softmax(1)).sum(1)  # (N,), negative entropies
    splits = splits_of(len(logits))

    def measure(rows: Tensor) -> float:
        found = []
        for part in rows.tensor_split(splits):
            q = p[part].mean(0)
            found.append(math.exp((sureness[part].mean() - q.xlogy(q).sum()).item()))
        return sum(found) / splits

    return measure


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """1.0 for each sample (N,) whose largest logit is the one of its class in `labels` (N,), else 0.0."""
    if len(labels) != len(logits):
        raise BadRequest(f"there are {len(logits)} samples but {len(labels)} classes; give the class of each")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise BadRequest(f"classes must lie between 0 and {logits.shape[1] - 1} ; leave accuracy out")
    return (logits.argmax(1) == labels.to(logits.device)).double()
