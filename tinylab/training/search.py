"""The mask search: learn which blocks to keep while the weights move along (TinyFusion, section 3)."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from tinylab.config import SearchConfig
from tinylab.data.base import Dataset
from tinylab.data.order import batch_indices, step_generator
from tinylab.diffusion import Objective
from tinylab.models.base import Denoiser
from tinylab.models.block_form import protected_blocks
from tinylab.pruning.depth_mask import DepthMask
from tinylab.pruning.gates import gated
from tinylab.pruning.layout import Layout
from tinylab.training.denoise import drop_labels
from tinylab.training.ema import Ema
from tinylab.training.lora import add_lora
from tinylab.training.recorder import StepRecord

__all__ = ["SearchTask"]


class SearchTask:
    """Mask logits and a stand-in for the fine-tuning to come, trained on the model's own objective.

    Works on a copy: the weights that moved along are thrown away after the search, as published.
    """

    def __init__(self, model: Denoiser, objective: Objective, data: Dataset, config: SearchConfig) -> None:
        torch.manual_seed(config.seed)  # initial LoRA matrices
        self.objective, self.data, self.config = objective, data, config
        self.device = next(model.parameters()).device
        self.model = copy.deepcopy(model).train()
        depth = self.model.stack_depths()
        fixed = protected_blocks(self.model)
        self.layout = Layout.parse(config.pattern, depth, fixed)
        self.mask = DepthMask(self.layout, config.scaling, protected=fixed).to(self.device)
        self.ema = Ema(self.mask, config.ema_decay)
        groups = [{"params": list(self.mask.parameters()), "lr": config.lr_mask}]
        moving = self._moving_weights()
        if moving:
            groups.append({"params": moving, "lr": config.lr_weights})
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        self.modules = {"model": self.model, "mask": self.mask, "ema": self.ema.module}

    def _moving_weights(self) -> list[nn.Parameter]:
        if self.config.weights == "lora":
            return add_lora(self.model, rank=self.config.lora_rank, alpha=self.config.lora_alpha)
        if self.config.weights == "frozen":
            self.model.requires_grad_(False)
        return [p for p in self.model.parameters() if p.requires_grad]

    def tau(self, step: int) -> float:
        """Temperature of step `step` (from 0), linear from start to end."""
        share = step / max(1, self.config.steps - 1)
        return self.config.tau_start + (self.config.tau_end - self.config.tau_start) * share

    def batch(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images and classes of a step; some classes are replaced by the null class."""
        config = self.config
        chosen = batch_indices(len(self.data), config.batch_size, config.seed, step)
        x, y = self.data.take(chosen, step_generator(config.seed, step, stream=5))
        return x, drop_labels(y, self.model.num_classes, config.label_dropout, generator)

    def loss(self, step: int, generator: torch.Generator) -> Tensor:
        """Mean hybrid loss of a batch in which every sample passes through its own mask."""
        x, y = self.batch(step, generator)
        draw = self.objective.draw(len(x), tuple(x.shape[1:]), generator).to(self.device)
        masks = self.mask.draw(len(x), self.tau(step), generator)
        with gated(self.model, masks):
            losses = self.objective.losses(self.model, x.to(self.device), y.to(self.device), draw)
        return losses.loss.mean()

    def after_update(self, step: int) -> None:
        """Average the logits."""
        self.ema.update(self.mask, step)

    def record(self, step: int, loss: float) -> StepRecord:
        """What the averaged logits say: see `mask_record`."""
        scalars, vectors = mask_record(self.ema.module)
        return StepRecord({"loss": loss, "tau": self.tau(step - 1), **scalars}, vectors)

    def decision(self) -> dict[str, tuple[int, ...]]:
        """The kept blocks: the most probable option of the averaged logits."""
        return self.ema.module.decision()


def mask_record(mask: DepthMask) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Scalars `confidence/STACK/GROUP` (largest option probability) and `entropy/STACK/GROUP` (share of the maximum);
    vectors `keep/STACK` (per block), `decision/STACK` (kept blocks), `options/STACK/GROUP` (per option)."""
    scalars: dict[str, float] = {}
    vectors: dict[str, list[float]] = {f"keep/{s}": p.tolist() for s, p in mask.keep_probabilities().items()}
    vectors |= {f"decision/{s}": list(kept) for s, kept in mask.decision().items()}
    for stack, groups in mask.stacks().items():
        for index, group in enumerate(groups):
            p = group.probabilities()
            vectors[f"options/{stack}/{index}"] = p.tolist()
            scalars[f"confidence/{stack}/{index}"] = p.max().item()
            scalars[f"entropy/{stack}/{index}"] = torch.special.entr(p).sum().item() / math.log(max(2, len(p)))
    return scalars, vectors
