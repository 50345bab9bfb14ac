"""Features and scores of pictures, drawn or read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinylab.config import EvaluateConfig
from tinylab.jobs.context import JobContext
from tinylab.jobs.evaluate.check import metrics_of
from tinylab.metrics.fidelity.extractors import Extractor, Features
from tinylab.metrics.fidelity.reference import Reference, floor, reference_features
from tinylab.metrics.fidelity.scores import score, warnings_for

__all__ = ["Judge", "joined"]


def joined(parts: Sequence[Features]) -> Features:
    """The features of several batches as one set."""
    return Features(
        torch.cat([part.pooled for part in parts]),
        _joined([part.logits for part in parts]),
        _joined([part.spatial for part in parts]),
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None


@dataclass(frozen=True)
class Judge:
    """Scores pictures against a reference, as an evaluation asks for.

    Attributes:
        real: features of the reference.
        metrics: what is scored.
    """

    config: EvaluateConfig
    context: JobContext
    extractor: Extractor
    reference: Reference
    real: Features
    metrics: tuple[str, ...]

    @classmethod
    def open(cls, config: EvaluateConfig, context: JobContext, extractor: Extractor, reference: Reference) -> Judge:
        """Extract the features of the reference, or find them in the cache."""

        def progress(done: int, total: int) -> None:
            context.progress(done, total, f"features of {reference.name}")
            context.stop_here("resume it to go on")

        real = reference_features(reference, extractor, cache=None, progress=progress)
        return cls(config, context, extractor, reference, real, metrics_of(config, context.facts))

    def scores(self, name: str, batches: Iterable[np.ndarray], count: int, labels: Tensor | None) -> dict[str, Any]:
        """The scores of `count` pictures (n, H, W, C) in batches, by metric, ready for JSON."""
        parts: list[Features] = []
        for batch in batches:
            parts.append(self.extractor.features(batch))
            self.context.progress(sum(map(len, parts)), count, f"features of {name}")
            self.context.stop_here("resume it to go on: what was drawn is kept")
        metrics = self._metrics(labels)
        self.context.progress(count, count, f"scores of {name}")
        found = score(
            metrics, joined(parts), self.real, labels=labels, resamples=self.config.resamples, seed=self.config.seed
        )
        return {metric: one.to_json() for metric, one in found.items()}

    def floor(self) -> dict[str, Any]:
        """Two halves of the real data against each other: what no model can be expected to beat."""
        labels = None if self.reference.labels is None else torch.from_numpy(self.reference.labels)
        config = self.config
        self.context.progress(0, 1, "two halves of the real data")
        sizes, found = floor(self.real, labels, self.metrics, resamples=config.resamples, seed=config.seed)
        self.context.progress(1, 1, "two halves of the real data")
        return {"images": list(sizes), "scores": {metric: one.to_json() for metric, one in found.items()}}

    def warnings(self, counts: Iterable[int]) -> list[str]:
        """What to know about scores of sets of these sizes, each said once."""
        features, resamples = self.real.pooled.shape[1], self.config.resamples
        several = [warnings_for(n, len(self.real), features, self.metrics, resamples=resamples) for n in counts]
        return list(dict.fromkeys(line for lines in several for line in lines))

    def facts(self) -> Mapping[str, Any]:
        """Reference and extractor, as the result names them."""
        features = self.real.pooled.shape[1]
        return {
            "reference": {"name": self.reference.name, "images": len(self.real), "hash": self.reference.hash},
            "extractor": {"name": self.extractor.name, "hash": self.extractor.hash, "features": features},
        }

    def _metrics(self, labels: Tensor | None) -> tuple[str, ...]:
        return tuple(metric for metric in self.metrics if metric != "accuracy" or labels is not None)
