"""Are samples like the digits? Judged in the features of the classifier that ships with Tinylab."""

import statistics
from dataclasses import dataclass

import torch
from torch import Tensor

from tinylab.data.base import Dataset
from tinylab.metrics.fidelity.distances import kernel_distance
from tinylab.models.networks.reader import DigitReader, reading_accuracy

__all__ = ["DigitFidelity", "DigitScores"]


@dataclass(frozen=True)
class DigitScores:
    """What samples are worth.

    Attributes:
        kernel_distance: of their features to those of real digits of the same class, a mean over the classes; about 0
            for more real digits. Class by class, because samples with as many of each class as the next are no
            independent draws, on which the estimate relies.
        read_correctly: share that is read as the class asked for.
    """

    kernel_distance: float
    read_correctly: float


class DigitFidelity:
    """Compares samples with real digits.

    Args:
        real: the digits they are compared with, all of them.
    """

    def __init__(self, reader: DigitReader, real: Dataset) -> None:
        self.reader = reader.eval()
        images, self.real_labels = real.take(torch.arange(len(real)))
        self.real = self._features(images)

    def scores(self, images: Tensor, labels: Tensor) -> DigitScores:
        """Of samples (N, 1, 8, 8) of the classes labels (N,), at least two of every class that occurs."""
        found = self._features(images.clamp(-1, 1))
        distances = [
            kernel_distance(found[labels == digit], self.real[self.real_labels == digit]) for digit in labels.unique()
        ]
        return DigitScores(statistics.mean(distances), reading_accuracy(self.reader, images, labels))

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        return self.reader.features(images.to(next(self.reader.parameters()).device)).cpu()
