"""What the networks behind the extractors have in common."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.features import Features
from tinylab.metrics.fidelity.names import ALLOWED, EXTRACTORS

__all__ = ["Extractor", "EXTRACTORS", "Network", "open_extractor", "register_extractors", "weights_hash"]


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


class Extractor:
    """A network that turns pictures into features.

    Attributes:
        name: in `EXTRACTORS`.
        hash: 12 hex digits that change with any weight.
        metrics: the scores that its features allow.
        network: registered with torch-fidelity under the same name.
    """

    def __init__(self, name: str, network: Network, device: torch.device | str = "cpu") -> None:
        self.name, self.metrics = name, ALLOWED[name]
        self.hash = weights_hash(network)
        self.network = network.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def features(
        self, pixels: np.ndarray, *, batch_size: int = 64, progress: Callable[[int, int], None] | None = None
    ) -> Features:
        """Of pictures uint8 (N, H, W, C), C 1 or 3; `progress` is told (pictures done, N) after every batch.

        Raises:
            BadRequest: no pictures, or of a kind that the network does not take.
        """
        check_pixels(pixels)
        device = next(self.network.parameters()).device
        found: dict[str, list[Tensor]] = {layer: [] for layer in self.network.features_list}
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # the same features on any GPU
            for first in range(0, len(pixels), batch_size):
                batch = torch.from_numpy(np.ascontiguousarray(pixels[first : first + batch_size])).permute(0, 3, 1, 2)
                if self.network.colour and batch.shape[1] == 1:
                    batch = batch.expand(-1, 3, -1, -1)
                for layer, part in zip(found, self.network(batch.to(device)), strict=True):
                    found[layer].append(part.float().cpu())
                if progress:
                    progress(min(first + batch_size, len(pixels)), len(pixels))
        joined = {layer: torch.cat(parts) for layer, parts in found.items()}
        pooled, logits, spatial = self.network.layers
        return Features(joined[pooled], joined[logits] if logits else None, joined[spatial] if spatial else None)


def open_extractor(name: str, *, weights: Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """The extractor called `name`, ready to use.

    Args:
        weights: the file (inception-v3) or folder (others) of its weights, where they are not at hand.

    Raises:
        BadRequest: unknown name; weights that are not there, damaged, foreign, or that could run code.
    """
    register_extractors()
    network = EXTRACTORS.get(name)
    layers = [layer for layer in network.layers if layer]
    return Extractor(name, network(name, layers, feature_extractor_weights_path=weights), device)


def register_extractors() -> None:
    """Make all known to torch-fidelity, too: `calculate_metrics(feature_extractor="digit-reader", …)`."""
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

    for name in EXTRACTORS.names():
        if name not in FEATURE_EXTRACTORS_REGISTRY:
            register_feature_extractor(name, EXTRACTORS.get(name))


def check_pixels(pixels: np.ndarray) -> None:
    """BadRequest unless pictures are uint8 (N, H, W, C) with N at least 1 and C 1 or 3."""
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or not math.prod(pixels.shape):
        raise BadRequest(
            f"pictures are {pixels.dtype} {pixels.shape}; give at least one, uint8 (N, H, W, C) with 1 or 3 channels"
        )


def weights_hash(network: nn.Module) -> str:
    """12 hex digits of the sha256 over names, shapes and values of all weights."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:12]
