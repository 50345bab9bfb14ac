"""What the networks behind the extractors have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

__all__ = ["Network"]


class Network(FeatureExtractorBase, ABC):
    """An extractor of torch-fidelity that also says what its features are.

    Attributes:
        layers: names of pooled features, logits and spatial features; None where it has none.
        colour: True where only pictures of three channels are taken.
    """

    layers: ClassVar[tuple[str, str | None, str | None]]
    colour: ClassVar[bool] = True

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: Path | None = None, **others: Any
    ) -> None:
        del feature_extractor_weights_path, others  # what torch-fidelity passes to every extractor
        super().__init__(name, list(features_list))

    @classmethod
    def get_provided_features_list(cls) -> tuple[str, ...]:
        """Names of the features, as torch-fidelity asks for them."""
        return tuple(layer for layer in cls.layers if layer)

    @classmethod
    def get_default_feature_layer_for_metric(cls, metric: str) -> str:
        """Logits for the Inception Score (`isc`), pooled features for all else."""
        pooled, logits, _ = cls.layers
        return logits if metric == "isc" and logits else pooled

    @staticmethod
    def can_be_compiled() -> bool:
        """False: what is small is quick, and the rest keeps hooks."""
        return False

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:  # noqa: A002  # torch-fidelity's name
        """Pictures uint8 (N, C, H, W) -> the features of `features_list`, float32, in that order."""
        found = self.extract(input)
        return tuple(found[layer] for layer in self.features_list)

    @abstractmethod
    def extract(self, pictures: Tensor) -> dict[str, Tensor]:
        """All that was asked for in `features_list`, by name."""
