"""What was measured of the hidden states behind every block of a model, and the same as JSON. Free of torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinylab.errors import BadRequest

__all__ = ["EDGES", "Activations", "ChannelPart", "LayerActivations", "activations_from_json", "activations_to_json"]

# Of the bins of |h - μ| / σ, the first of each included: fine where the bulk lies, coarse where only outliers do.
EDGES = (*(n / 2 for n in range(11)), 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, math.inf)


@dataclass(frozen=True)
class ChannelPart:
    """One channel of a hidden state.

    Attributes:
        channel: its index.
        largest: the largest |h| in it.
        share: its part of the squared distances of all values from their sample's mean: what it weighs in a feature
            loss. Of D equal channels each has 1/D.
    """

    channel: int
    largest: float
    share: float


@dataclass(frozen=True)
class LayerActivations:
    """The values h behind one block. μ and σ are the mean and the deviation of all values of one sample.

    Attributes:
        name: of the block, as `block_names` gives.
        place: index in its stack of the block that it was before any cut; its own index if nothing was cut.
        mean: mean μ of the samples.
        deviation: mean σ of the samples.
        largest: the largest |h|.
        furthest: the largest |h - μ| / σ.
        beyond: share of values with |h - μ| ≥ kσ, for each k.
        counts: number of values in each bin of |h - μ| / σ between `EDGES`.
        channels: those with the largest |h|, the largest first.
    """

    name: str
    place: int
    mean: float
    deviation: float
    largest: float
    furthest: float
    beyond: Mapping[float, float]
    counts: tuple[int, ...]
    channels: tuple[ChannelPart, ...]

    @property
    def origin(self) -> str:
        """What its block was called before any cut."""
        return f"{self.name.rstrip('0123456789')}{self.place}"

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the values in each bin."""
        total = sum(self.counts)
        return tuple(count / total for count in self.counts)


Activations = Mapping[str, Sequence[LayerActivations]]  # the layers of every stack, from the first to the last


def activations_to_json(activations: Activations) -> dict[str, Any]:
    """As plain values that JSON can hold."""
    stacks = {stack: [_layer_to_json(layer) for layer in layers] for stack, layers in activations.items()}
    return {"edges": list(EDGES[:-1]), "stacks": stacks}


def activations_from_json(document: Mapping[str, Any]) -> dict[str, list[LayerActivations]]:
    """What `activations_to_json` was given; BadRequest for anything else."""
    try:
        if document["edges"] != list(EDGES[:-1]):
            raise ValueError("the bins are others")
        stacks = document["stacks"].items()
        return {str(stack): [_layer_from_json(layer) for layer in layers] for stack, layers in stacks}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadRequest("these are no activations of this version; measure them again") from None


def _layer_to_json(layer: LayerActivations) -> dict[str, Any]:
    return {
        **vars(layer),
        "beyond": {f"{k:g}": share for k, share in layer.beyond.items()},
        "counts": list(layer.counts),
        "channels": [dict(vars(part)) for part in layer.channels],
    }


def _layer_from_json(document: Mapping[str, Any]) -> LayerActivations:
    layer = LayerActivations(
        **{
            **document,
            "beyond": {float(k): float(share) for k, share in document["beyond"].items()},
            "counts": tuple(int(count) for count in document["counts"]),
            "channels": tuple(ChannelPart(**part) for part in document["channels"]),
        }
    )
    if len(layer.counts) != len(EDGES) - 1 or not sum(layer.counts):
        raise ValueError("counts do not fit the bins")
    return layer
