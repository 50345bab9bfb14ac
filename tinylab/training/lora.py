"""Low-rank adapters on every linear layer of the blocks, through peft."""

from __future__ import annotations

from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from tinylab.models.base import Denoiser

__all__ = ["add_lora"]


def add_lora(model: Denoiser, *, rank: int, alpha: int) -> list[nn.Parameter]:
    """Freeze `model`, put LoRA matrices on its blocks' linears in place, and return them."""
    model.requires_grad_(False)
    places = {id(module): name for name, module in model.named_modules()}
    targets = [
        places[id(module)]
        for blocks in model.block_stacks().values()
        for module in blocks.modules()
        if isinstance(module, nn.Linear)
    ]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets), model)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
