"""The models of a measurement: loaded, or of a published size with random weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from tinylab.models.base import Denoiser
from tinylab.models.families import FAMILIES
from tinylab.models.load import load_model, model_class, pick_device
from tinylab.models.sizes import SIZES

__all__ = ["fill_zeros", "load_or_build"]

_STD = 0.02


def load_or_build(reference: str, device: str, seed: int) -> Denoiser:
    """The model that `reference` names, in eval mode on `device`.

    A published size gets random weights, also where training would start at zero: blocks whose gates are zero are the
    identity, and drawings of such a model are nothing but noise.
    """
    if reference not in SIZES:
        return load_model(reference, device)
    size, where = SIZES[reference], pick_device(device)
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []), where:
        torch.manual_seed(seed)
        model = model_class(FAMILIES[size.family])(**size.config)
        fill_zeros(model.parameters())
    return model.eval()


@torch.no_grad()
def fill_zeros(parameters: Iterable[nn.Parameter]) -> None:
    """Fill those that are all zero with small random values."""
    for parameter in parameters:
        if not parameter.any():
            parameter.normal_(std=_STD)
