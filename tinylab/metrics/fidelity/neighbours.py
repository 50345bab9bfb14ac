"""Precision and recall of samples by their nearest neighbours (Kynkäänniemi et al. 2019, arXiv:1904.06991)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from tinylab.metrics.fidelity.half_samples import Measure

__all__ = ["NEIGHBOURS", "measure_precision", "measure_recall", "precision_and_recall"]

NEIGHBOURS = 3  # as published
_CHUNK = 1000  # rows of distances computed at once


def precision_and_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Share of samples within the reach of a real picture, and of real pictures within that of a sample.

    The reach of a picture is its distance to its third neighbour in its own set. By torch-fidelity in float64.
    """
    found = prc_features_to_metric(
        generated.double(),
        real.double(),
        prc_neighborhood=NEIGHBOURS,
        prc_batch_size=_CHUNK,
        save_cpu_ram=True,
        verbose=False,
    )
    return found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL]


def measure_precision(generated: Tensor, real: Tensor) -> Measure:
    """Precision of some rows of `generated`; whether a sample is near does not depend on the others."""
    reach = _reach(real)
    parts = [(torch.cdist(part.double(), real.double()) <= reach).any(1) for part in generated.split(_CHUNK)]
    near = torch.cat(parts).double()
    return lambda rows: near[rows].mean().item()


def measure_recall(generated: Tensor, real: Tensor) -> Measure:
    """Recall of some rows of `generated`, whose reach is measured among these rows alone."""
    among = torch.cat([torch.cdist(part.double(), generated.double()).float() for part in generated.split(_CHUNK)])
    across = torch.cat([torch.cdist(part.double(), generated.double()).float() for part in real.split(_CHUNK)])

    def measure(rows: Tensor) -> float:
        reach = among[rows][:, rows].kthvalue(NEIGHBOURS + 1).values
        return (across[:, rows] <= reach).any(1).double().mean().item()

    return measure


def _reach(features: Tensor) -> Tensor:
    """Distance (N,) of each to its third neighbour; the nearest of all is itself."""
    x = features.double()
    return torch.cat([torch.cdist(part, x).kthvalue(NEIGHBOURS + 1).values for part in x.split(_CHUNK)])
