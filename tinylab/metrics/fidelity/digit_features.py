"""Features of 8x8 digits: what the shipped reader sees in them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.extractors import Network
from tinylab.models.load import open_reader

__all__ = ["DigitReaderFeatures"]


class DigitReaderFeatures(Network):
    """The digit reader's 128 hidden features and its ten class logits.

    Takes uint8 (N, C, 8, 8), C 1 or 3; of three channels the mean counts. A byte p is the value p / 127.5 - 1.
    """

    layers = ("features", "logits", None)
    colour = False

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: Path | None = None, **others: Any
    ) -> None:
        super().__init__(name, features_list, **others)
        self.reader = open_reader(feature_extractor_weights_path)

    def extract(self, pictures: Tensor) -> dict[str, Tensor]:
        """See `Network.extract`."""
        if pictures.dtype != torch.uint8 or pictures.shape[1] not in (1, 3) or tuple(pictures.shape[2:]) != (8, 8):
            height, width = pictures.shape[2:]
            raise BadRequest(
                f"the digit reader takes pictures of 8 x 8 pixels, these have {height} x {width}; take --extractor "
                "inception-v3 or dinov2"
            )
        values = pictures.float().mean(dim=1, keepdim=True) / 127.5 - 1
        features = self.reader.features(values)
        return {"features": features, "logits": self.reader.head(features)}
