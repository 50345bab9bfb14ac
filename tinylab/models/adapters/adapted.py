"""A transformer of diffusers, wrapped from outside so that it can be gated, searched and cut like Tinylab's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.configuration_utils import FrozenDict
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from tinylab.errors import BadRequest
from tinylab.models.adapters.architectures import ARCHITECTURES, Architecture
from tinylab.models.adapters.examine import examine
from tinylab.models.base import Denoiser
from tinylab.models.block_form import BlockForm

__all__ = ["HISTORY_FILE", "AdaptedTransformer", "adapt"]

HISTORY_FILE = "tinylab.json"  # beside the config, whose class would not know its entries


class AdaptedTransformer(Denoiser):
    """What gates, searches and surgery need to know of `transformer`; computes nothing by itself.

    It stays in eval mode: dropout and hidden labels inside the blocks would draw from torch's global generator, so
    that a resumed search would not repeat itself.

    Args:
        transformer: the model of diffusers; its weights are not copied.
        architecture: where its blocks are.
        kept: indices of the original blocks per stack, None for a model that was never cut.
        full_depth: number of blocks of the original model per stack, None for a model that was never cut.
    """

    family = "diffusers"
    num_classes = 0

    def __init__(
        self,
        transformer: ModelMixin,
        architecture: Architecture,
        *,
        kept: Mapping[str, list[int]] | None = None,
        full_depth: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.transformer: Any = transformer
        self.architecture = architecture
        self.kept = None if kept is None else {stack: list(indices) for stack, indices in kept.items()}
        self.full_depth = None if full_depth is None else dict(full_depth)
        self._protected = {
            stack: _protected(blocks, stack, architecture) for stack, blocks in self.block_stacks().items()
        }
        self.train(False)

    @property
    def config(self) -> Any:  # type: ignore[override]
        """The config of the transformer, with the name of its class."""
        return FrozenDict({**self.transformer.config, "_class_name": type(self.transformer).__name__})

    @property
    def depth_keys(self) -> dict[str, str]:  # type: ignore[override]
        """The config entry that holds the length of each stack."""
        return {stack: row.depth_key for stack, row in self.architecture.stacks.items()}

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether the transformer recomputes its activations in the backward pass."""
        return self.transformer.is_gradient_checkpointing

    def block_stacks(self) -> dict[str, nn.ModuleList]:
        """The lists of blocks by attribute name; lists that are empty in this model are left out."""
        lists = {stack: getattr(self.transformer, stack) for stack in self.architecture.stacks}
        return {stack: blocks for stack, blocks in lists.items() if len(blocks)}

    def block_forms(self) -> dict[str, BlockForm]:
        """How the blocks of every stack pass the hidden state on."""
        return {stack: row.form for stack, row in self.architecture.stacks.items()}

    def protected_blocks(self) -> dict[str, tuple[int, ...]]:
        """Indices per stack of the blocks that must stay."""
        return dict(self._protected)

    def train(self, mode: bool = True) -> AdaptedTransformer:
        """Mark the wrapper; the transformer stays in eval mode."""
        super().train(mode)
        self.transformer.eval()
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The forward of the transformer."""
        return self.transformer(*args, **kwargs)

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:  # type: ignore[override]
        """Write a folder that `from_pretrained` of the transformer's class loads, in one file of weights.

        What the model was cut from goes to `tinylab.json`, which diffusers does not read.
        """
        self.transformer.save_pretrained(folder, **({"max_shard_size": "1000TB"} | options))
        if self.kept is not None:
            history = {"kept": self.kept, "full_depth": self.full_depth}
            (Path(folder) / HISTORY_FILE).write_text(json.dumps(history, indent=2) + "\n")


def adapt(transformer: Any) -> AdaptedTransformer:
    """Wrap a transformer of diffusers whose blocks can be left out one by one.

    A class that Tinylab does not know is examined, see `examine`.

    Raises:
        BadRequest: it is not such a transformer; the message says why.
    """
    name = type(transformer).__name__
    if not isinstance(transformer, ModelMixin):
        raise BadRequest(f"{name} is not a model of diffusers; give a transformer that from_pretrained has loaded")
    official = type(transformer).__module__.startswith("diffusers.")
    architecture = ARCHITECTURES.get(name) if official else None
    model = AdaptedTransformer(transformer, architecture or examine(transformer))
    if not model.block_stacks():
        raise BadRequest(f"this {name} has no blocks; give a model with some")
    return model


def _protected(blocks: nn.ModuleList, stack: str, architecture: Architecture) -> tuple[int, ...]:
    """Indices of the blocks that must stay, from 0."""
    row = architecture.stacks[stack]
    fixed = {index % len(blocks) for index in row.protect}
    if row.borrowed and not _equal_parts(blocks, row.borrowed):
        fixed.add(0)
    return tuple(sorted(fixed))


def _equal_parts(blocks: nn.ModuleList, part: str) -> bool:
    """Whether all blocks hold equal copies of the submodule `part`, or have no weights yet."""
    if next(blocks.parameters()).is_meta:
        return True
    first = blocks[0].get_submodule(part).state_dict()
    others = (block.get_submodule(part).state_dict() for block in list(blocks)[1:])
    return all(torch.equal(value, other[name]) for other in others for name, value in first.items())
