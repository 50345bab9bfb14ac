"""What a measurement of search steps is asked for, and what each step runs on: a model, its mask and one batch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from tinylab.config import SearchConfig
from tinylab.diffusion import Draw, Objective, objective_for
from tinylab.errors import BadRequest
from tinylab.jobs.cost.contenders import fill_zeros, load_or_build
from tinylab.models.base import Denoiser
from tinylab.models.block_form import protected_blocks
from tinylab.models.families import FAMILIES
from tinylab.models.load import pick_device
from tinylab.models.networks.dit import DiT
from tinylab.pruning.budget_mask import mask_for
from tinylab.pruning.depth_mask import MaskDistribution
from tinylab.pruning.gates import WAYS, Way, gated
from tinylab.pruning.layout import Layout
from tinylab.training.search import add_lora

__all__ = ["DTYPES", "SearchOptions", "Subject", "WEIGHTS", "build_model", "prepare"]

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


_SCALING, _TAU = 100.0, 1.0


@dataclass(frozen=True)
class Subject:
    """What stays the same from step to step.

    Attributes:
        x, y, draw: images (N, C, H, W), classes (N,), and the noise they get.
        dtype: what matrix products are computed in, through autocast.
        share: part of the dropped samples that runs in the way `sampled`.
    """

    model: Denoiser
    mask: MaskDistribution
    objective: Objective
    x: Tensor
    y: Tensor
    draw: Draw
    dtype: torch.dtype
    share: float

    def gradients(self, way: Way, seed: int) -> dict[str, Tensor | None]:
        """One step: draw masks, forward, backward. Gradients of everything that trains, by name; None for those that
        no sample asked for. Equal seeds draw equal masks in every way."""
        generator = torch.Generator().manual_seed(seed)
        masks = self.mask.draw(len(self.x), _TAU, generator).masks
        low = self.dtype is not torch.float32
        with (
            torch.autocast(self.x.device.type, torch.bfloat16, enabled=low),
            gated(self.model, masks, way=way, share=self.share, generator=generator),
        ):
            loss = self.objective.losses(self.model, self.x, self.y, self.draw).loss.mean()
        moving = dict(self.moving())
        found = torch.autograd.grad(loss, list(moving.values()), allow_unused=True)
        return dict(zip(moving, found, strict=True))

    def moving(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What trains; names of logits begin with `mask.`."""
        for name, parameter in (*self.model.named_parameters("model"), *self.mask.named_parameters("mask")):
            if parameter.requires_grad:
                yield name, parameter

    def lasting(self) -> Iterator[Tensor]:
        """What exists before and after a step, too: weights, tables and the batch."""
        for module in (self.model, self.mask, self.objective):
            assert isinstance(module, nn.Module)  # objectives are modules
            yield from (*module.parameters(), *module.buffers())
        yield from (self.x, self.y, self.draw.t, self.draw.noise)
        if self.draw.mask is not None:
            yield self.draw.mask


def build_model(options: SearchOptions) -> Denoiser:
    """The model that is asked for. Without trained weights, those that start at zero are random too: the blocks of an
    untrained DiT are the identity, and all their gradients zero."""
    if options.model is not None:
        return load_or_build(options.model, options.device, 0)
    torch.manual_seed(0)
    model = DiT(**options.config)
    fill_zeros(model.parameters())
    return model.to(pick_device(options.device))


def prepare(options: SearchOptions, model: Denoiser, *, weights: str, batch: int) -> Subject:
    """Everything else, on the device of the model. What `weights` says moves from now on; LoRA's matrices come once."""
    if weights == "lora" and not any("lora_" in name for name, _ in model.named_parameters()):
        lora = SearchConfig.model_fields
        fill_zeros(add_lora(model, rank=lora["lora_rank"].default, alpha=lora["lora_alpha"].default))
    elif weights == "frozen":
        model.requires_grad_(False)
    device, fixed = next(model.parameters()).device, protected_blocks(model)
    generator = torch.Generator().manual_seed(0)
    objective, layout = objective_for(model), Layout.parse(options.pattern, model.stack_depths(), fixed)
    return Subject(
        model=model.train(),
        mask=mask_for(layout, _SCALING, protected=fixed).to(device),
        objective=objective,
        x=torch.randn(batch, *model.sample_shape, generator=generator).to(device),
        y=torch.arange(batch, device=device) % model.num_classes,
        draw=objective.draw(batch, model.sample_shape, generator).to(device),
        dtype=getattr(torch, options.dtype),
        share=options.share,
    )
