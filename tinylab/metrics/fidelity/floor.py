"""What real pictures score against real pictures: no model can be expected to do better."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tinylab.metrics.fidelity.features import Features
from tinylab.metrics.fidelity.halves import halves
from tinylab.metrics.fidelity.scores import Score, fewest_pictures, score

__all__ = ["floor"]


def floor(
    features: Features, labels: Tensor | None, metrics: Sequence[str], *, resamples: int = 0, seed: int = 0
) -> tuple[tuple[int, int], dict[str, Score]]:
    """Sizes of two halves of the real pictures without a picture in common, and the scores of the first against the
    second; for scores that only look at samples, those of the first.

    Biased scores grow as sets shrink, and halves are half as large as the reference: the floor of a biased score lies
    a little too high, and KID can lie a little below 0, because halves with as many of each class are more alike than
    independent draws. Accuracy is left out where `labels` (N,) are not known, and so is what needs more pictures than
    there are.
    """
    labels = None if labels is None else torch.as_tensor(labels)
    first, second = halves(len(features), labels, torch.Generator().manual_seed(seed))
    wanted = [
        name for name in metrics if len(second) >= fewest_pictures(name) and (name != "accuracy" or labels is not None)
    ]
    classes = None if labels is None else labels[first]
    found = score(
        wanted, features[first], features[second], labels=classes, strata=classes, resamples=resamples, seed=seed
    )
    return (len(first), len(second)), found
