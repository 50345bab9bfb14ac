"""What a measurement of search steps is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from tinylab.config import SearchConfig
from tinylab.errors import BadRequest
from tinylab.models.families import FAMILIES
from tinylab.pruning.gates import WAYS

__all__ = ["DTYPES", "WEIGHTS", "SearchOptions"]

WEIGHTS: tuple[str, ...] = get_args(SearchConfig.model_fields["weights"].annotation)
DTYPES = ("float32", "bfloat16")
_PATCH = 2  # side of a token's patch, in latent pixels


@dataclass(frozen=True)
class SearchOptions:
    """Sizes and ways, checked when they are put together.

    Attributes:
        width, tokens, blocks, heads: of a DiT with random weights.
        model: a published size or a model that can be loaded; then the four above do not count.
        batches: images a step; each is measured by itself.
        pattern: what stays, as in a search.
        weights: what moves along with the mask.
        modes: how dropped samples run; dense is always measured, because the others are compared with it.
        share: part of the dropped samples that runs in the mode sampled.
        rounds: how often each mode is measured, in turn.
        dtype: float32, or bfloat16 through autocast: weights and logits stay in float32.
        device: auto, cpu or cuda.
        with_compile: measure every mode with compiled blocks, too.

    Raises:
        BadRequest: one of them cannot be.
    """

    width: int = 384
    tokens: int = 64
    blocks: int = 8
    heads: int = 6
    model: str | None = None
    batches: tuple[int, ...] = (64,)
    pattern: str = "1:2"
    weights: tuple[str, ...] = ("full", "lora", "frozen")
    modes: tuple[str, ...] = WAYS
    share: float = 0.25
    rounds: int = 11
    dtype: str = "float32"
    device: str = "auto"
    with_compile: bool = False

    def __post_init__(self) -> None:
        _check_names("--weights", self.weights, WEIGHTS)
        _check_names("--modes", self.modes, WAYS)
        _check_names("--dtype", (self.dtype,), DTYPES)
        _check_names("--device", (self.device,), ("auto", "cpu", "cuda"))
        if not self.batches or not all(1 <= batch <= 65536 for batch in self.batches):
            raise BadRequest("--batch: name one or more numbers of images from 1 to 65536, such as 64 or 32,128")
        if not 1 <= self.rounds <= 10_000:
            raise BadRequest(f"--rounds {self.rounds}: measure 1 to 10000 times")
        if not 0 < self.share <= 1:
            raise BadRequest(f"--share {self.share:g}: the share of dropped samples that runs is above 0 and at most 1")
        if self.model is None:
            if not 1 <= self.tokens <= 2**20 or math.isqrt(self.tokens) ** 2 != self.tokens:
                raise BadRequest(f"--tokens {self.tokens}: images are square, use a square number such as 64 or 256")
            FAMILIES["dit"].check(self.config, "these sizes")

    @property
    def config(self) -> dict[str, int]:
        """The DiT that width, tokens, blocks and heads describe."""
        sizes = {"hidden_size": self.width, "depth": self.blocks, "num_heads": self.heads, "num_classes": 10}
        return {**sizes, "input_size": _PATCH * math.isqrt(self.tokens), "patch_size": _PATCH, "in_channels": 4}


def _check_names(option: str, names: tuple[str, ...], valid: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in valid]
    if unknown or not names:
        raise BadRequest(f"{option} {unknown[0] if unknown else '(empty)'}: use one or more of {', '.join(valid)}")
