"""diffusers' own first-block cache on the blocks of a DiT or SiT.

All blocks run unless the first one adds nearly what it added in the last forward pass: then what the others added last
time is added again. That is decided on the host, so every forward pass waits for the GPU.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from diffusers.hooks import FirstBlockCacheConfig, apply_first_block_cache
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.hooks.hooks import CacheContext

from tinylab.models.base import Denoiser
from tinylab.models.block_form import restored_forwards

__all__ = ["first_block"]


class _FirstArgument(TransformerBlockMetadata):
    """Our blocks take the hidden state as their first argument, whatever its name, and return it alone."""

    def _get_parameter_from_args_kwargs(self, identifier: str, args: Any = (), kwargs: Any = None) -> Any:
        return args[0]


@contextlib.contextmanager
def first_block(model: Denoiser, threshold: float) -> Iterator[None]:
    """Within the context the other blocks are left out where the first one's addition has changed by `threshold` of
    its mean size or less; 0 leaves out none."""
    blocks = [block for stack in model.block_stacks().values() for block in stack]
    for kind in {type(block) for block in blocks}:
        TransformerBlockRegistry.register(kind, _FirstArgument(return_hidden_states_index=0))
    with restored_forwards(blocks):
        try:
            apply_first_block_cache(model, FirstBlockCacheConfig(threshold=threshold))
            for block in blocks:
                for hook in vars(block)["_diffusers_hook"].hooks.values():
                    hook.state_manager.set_context(CacheContext("sampling"))
            yield
        finally:
            for block in blocks:
                vars(block).pop("_diffusers_hook", None)
