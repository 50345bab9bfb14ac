"""Rivals at equal seconds an image: each takes the steps that fit, and what they draw is scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tinylab.config import CostConfig
from tinylab.jobs.cost.contenders import Contender
from tinylab.jobs.cost.timing import Ticker
from tinylab.metrics.cost import interleaved_seconds
from tinylab.metrics.fidelity.extractors import Extractor, open_extractor
from tinylab.metrics.fidelity.features import Features
from tinylab.metrics.fidelity.reference import open_reference, reference_features
from tinylab.metrics.fidelity.scores import score
from tinylab.sampling.generate import Settings
from tinylab.sampling.images import to_uint8

__all__ = ["compare_at_equal_seconds", "steps_that_fit"]

_EXTRACTOR, _REFERENCE = "digit-reader", "digits"
_RESAMPLES = 100  # behind each interval


@dataclass
class _Drawn:
    """What one contender drew so far, and the seconds that it took."""

    contender: Contender
    settings: Settings
    parts: list[Tensor] = field(default_factory=list)
    seconds: float = 0.0

    def draw(self, labels: Tensor, first: int, ticker: Ticker) -> None:
        images = self.contender.draw(labels, self.settings, first=first, on_step=ticker.on_step)
        self.parts.append(images.cpu())


def compare_at_equal_seconds(
    contenders: Sequence[Contender], rows: Sequence[Mapping[str, Any]], config: CostConfig, ticker: Ticker
) -> dict[str, Any]:
    """Draw `config.equal_seconds` digits with each and score them.

    Args:
        rows: one for each contender, at the first batch size and number of steps. What the first shallow model took
            there is what all others may take.
    """
    budget = next(row["seconds"] for row in rows if contenders[row["model"]].kind == "shallow")
    drawn = [
        _Drawn(c, Settings(config.sampler, steps_that_fit(c, row, budget), config.guidance, config.seed))
        for c, row in zip(contenders, rows, strict=True)
    ]
    labels = torch.arange(config.equal_seconds) % contenders[0].model.num_classes
    batch = rows[0]["batch"]
    for number, first in enumerate(range(0, len(labels), batch)):
        ticker.next(f"equal seconds, {first} of {len(labels)} images", len(drawn) if number else 0)
        _draw_batch(drawn, labels[first : first + batch], first, number, ticker)
    extractor = open_extractor(_EXTRACTOR)
    real = reference_features(open_reference(_REFERENCE), extractor)
    ticker.next("scores", len(drawn))
    return {
        "seconds_per_image": budget / batch,
        "extractor": extractor.name,
        "images": len(labels),
        "rows": [_row(one, extractor, real, labels, config.seed) for one in drawn],
    }


def steps_that_fit(contender: Contender, row: Mapping[str, Any], budget: float) -> int:
    """The most steps that fit into `budget` seconds a batch, at the pace of `row`; at least one."""
    fitting = int(budget / row["seconds"] * row["steps"] + 1e-9)
    return contender.steps(max(1, min(fitting, 1000)))


def _draw_batch(drawn: Sequence[_Drawn], labels: Tensor, first: int, number: int, ticker: Ticker) -> None:
    """The next images of all, in turn."""
    order = [*range(len(drawn))][number % len(drawn) :] + [*range(len(drawn))][: number % len(drawn)]

    def draw(index: int) -> None:
        drawn[index].draw(labels, first, ticker)

    work = {str(index): lambda index=index: draw(index) for index in order}  # type: ignore[misc]  # a default binds it
    for name, (took,) in interleaved_seconds(work, rounds=1).items():
        drawn[int(name)].seconds += took


def _row(one: _Drawn, extractor: Extractor, real: Features, labels: Tensor, seed: int) -> dict[str, Any]:
    found = extractor.features(to_uint8(torch.cat(one.parts)))
    scores = score(extractor.metrics, found, real, labels=labels, resamples=_RESAMPLES, seed=seed)
    return {
        "label": one.contender.label,
        "steps": one.settings.steps,
        "seconds_per_image": one.seconds / len(labels),
        "scores": {name: value.to_json() for name, value in scores.items()},
    }
