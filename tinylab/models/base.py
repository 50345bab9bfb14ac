"""What a model must offer to be trained, gated, cut and sampled from outside."""

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

__all__ = ["Denoiser"]


class Denoiser(nn.Module):
    """A class-conditional diffusion model whose depth lies in one or more named lists of blocks.

    Every block takes the hidden state as its first argument and returns the new hidden state, so that the
    identity is a valid replacement.

    Attributes:
        family: names the objective it is trained with.
        depth_keys: the config entry that holds the length of each stack.
        num_classes: classes are 0 to num_classes - 1; num_classes itself is the null class of guidance.
        sample_shape: shape of one image, (C, H, W).
        config: what it was built with (diffusers' ConfigMixin).
        save_pretrained: writes config and weights (diffusers' ModelMixin).
    """

    family: ClassVar[str]
    depth_keys: ClassVar[dict[str, str]]
    num_classes: int
    sample_shape: tuple[int, int, int]
    config: Any
    save_pretrained: Callable[..., None]

    def block_stacks(self) -> dict[str, nn.ModuleList]:
        """The lists of blocks by name, `{"blocks": ...}` for a DiT."""
        raise TypeError(f"{type(self).__name__} does not say where its blocks are")

    def stack_depths(self) -> dict[str, int]:
        """Number of blocks in every stack."""
        return {stack: len(blocks) for stack, blocks in self.block_stacks().items()}

    def guided(self, x: Tensor, t: Tensor, y: Tensor, scale: float) -> Tensor:
        """Guided output (N, …) for images x (N, …), times t (N,) or one for all (1,), and y (2N,): their classes, then
        as many null classes. One pass through the network."""
        raise TypeError(f"{type(self).__name__} does not support guidance")
