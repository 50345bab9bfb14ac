"""The mask search: learn which blocks to keep while the weights move along (TinyFusion, section 3)."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from tinylab.config import SearchConfig
from tinylab.config.choices import ESTIMATORS
from tinylab.data.base import Dataset
from tinylab.diffusion import Draw, Objective
from tinylab.distributed import process_group
from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.models.block_form import protected_blocks
from tinylab.pruning.budget_mask import mask_for
from tinylab.pruning.depth_mask import MaskDistribution
from tinylab.pruning.gates import Way, gated
from tinylab.pruning.layout import Layout
from tinylab.pruning.verdict import Verdict, judge
from tinylab.training.batches import TrainBatch, denoise_batch
from tinylab.training.ema import Ema
from tinylab.training.precision import autocast, configured, models_of
from tinylab.training.recorder import StepRecord
from tinylab.training.shares import rows_of
from tinylab.training.task import Task

__all__ = ["SearchTask", "add_lora", "mask_record"]


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


class SearchTask(Task):
    """Mask logits and a stand-in for the fine-tuning to come, trained on the model's own objective.

    Works on a copy: the weights that moved along are thrown away after the search, as published.

    Args:
        seconds: measured time of every block per stack, for a budget of time.

    Attributes:
        way: how gates run; all but `sampled` give equal gradients.
    """

    leaves_parameters_out = True  # no sample of a process may use a block

    def __init__(
        self,
        model: Denoiser,
        objective: Objective,
        data: Dataset,
        config: SearchConfig,
        *,
        seconds: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        torch.manual_seed(config.seed)  # initial LoRA matrices
        self.objective, self.data, self.config = objective, data, config
        self.device = next(model.parameters()).device
        self.teacher = model.eval()
        self.model = copy.deepcopy(model).train()
        self.copies = config.masks_per_image
        if config.batch_size % self.copies:
            raise BadRequest(f"batch-size {config.batch_size} is no multiple of the {self.copies} copies of an image")
        fixed = protected_blocks(self.model)
        self.layout = Layout.parse(config.pattern, self.model.stack_depths(), fixed)
        self.mask = mask_for(self.layout, config.scaling, protected=fixed, seconds=seconds).to(self.device)
        self.ema: Ema[MaskDistribution] = Ema(self.mask, config.ema_decay)
        self.way: Way = "exact" if config.skip == "auto" else config.skip
        groups = [{"params": list(self.mask.parameters()), "lr": config.lr_mask}]
        # min over the distribution of m of E_m [min over D of L(weights + D, m)] (TinyFusion, section 3): a mask shall
        # be judged by the loss after fine-tuning, not right after the cut. One D (LoRA matrices or all weights) moves
        # at every step while masks are drawn: a cheap stand-in for the fine-tuning of each, thrown away afterwards.
        moving = self._moving_weights()
        if moving:
            groups.append({"params": moving, "lr": config.lr_weights})
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
        self.modules = {"model": self.model, "mask": self.mask, "ema": self.ema.module}

    def _moving_weights(self) -> list[nn.Parameter]:
        if self.config.weights == "lora":
            return add_lora(self.model, rank=self.config.lora_rank, alpha=self.config.lora_alpha)
        if self.config.weights == "frozen":
            self.model.requires_grad_(False)
        return [p for p in self.model.parameters() if p.requires_grad]

    def tau(self, step: int) -> float:
        """Temperature of step `step` (from 0), linear from start to end; for ReinMax 1, where alone it is exact."""
        kept = ESTIMATORS.entry(self.config.estimator).tau
        if kept is not None:
            return kept
        # tau(s) = start + (end - start) s / (S - 1): from smooth, biased gradients to hard, noisy ones; see `gumbel`.
        share = step / max(1, self.config.steps - 1)
        return self.config.tau_start + (self.config.tau_end - self.config.tau_start) * share

    @property
    def images(self) -> int:
        """How many different images a step has."""
        return self.config.batch_size // self.copies

    def begin(self, step: int) -> None:
        """Learning rates stay as they are."""

    def batch(self, step: int, rows: slice) -> TrainBatch:
        """Some of the images of a step, classes dropped; for REINFORCE every image several times in a row, with the
        same noise."""
        found = denoise_batch(
            self.data,
            self.objective,
            seed=self.config.seed,
            step=step,
            images=self.images,
            rows=rows,
            null_class=self.model.num_classes,
            label_dropout=self.config.label_dropout,
        )
        return self.copied(found)

    def copied(self, batch: TrainBatch) -> TrainBatch:
        """The batch with every image as often as there are copies."""
        draw = Draw(*(_repeated(part, self.copies) for part in (batch.draw.t, batch.draw.noise, batch.draw.mask)))
        return replace(batch, x=_repeated(batch.x, self.copies), y=_repeated(batch.y, self.copies), draw=draw)

    def loss(self, step: int, batch: TrainBatch) -> Tensor:
        """Mean loss of a batch in which every sample passes through its own mask.

        Masks are drawn for all samples of the step, so that each gets the same one however the step is shared out. For
        REINFORCE the score function is added as a term of value zero.
        """
        first, last, _ = batch.rows.indices(self.images)
        rows = slice(first * self.copies, last * self.copies)
        whole = self.images * self.copies
        with torch.autocast(self.device.type, enabled=False):  # small steps of logits are lost in bfloat16
            drawn = self.mask.draw(whole, self.tau(step), batch.generator, estimator=self.config.estimator)
        masks = {stack: mask[rows] for stack, mask in drawn.masks.items()}
        with gated(self.model, masks, way=self.way, share=self.config.share, generator=batch.generator):
            losses = self.losses(batch.x, batch.y, batch.draw)
        loss = losses.mean()
        if self.copies > 1:
            # dE[L]/dlogits = E[(L(m) - b) dlog p(m)/dlogits] for any b that does not depend on m (REINFORCE: Williams
            # 1992). log p - detach(log p) is 0, so that the reported loss stays the loss.
            ahead = _leave_one_out(losses.detach().view(-1, self.copies)).flatten()
            log_probability = drawn.log_probability[rows]
            loss = loss + (ahead * (log_probability - log_probability.detach())).mean()
        return loss

    def losses(self, x: Tensor, y: Any, draw: Draw) -> Tensor:
        """(N,): the model's own loss, or the mean squared distance to the output of the full model."""
        if self.config.objective == "diffusion":
            return self.objective.losses(self.model, x, y, draw).loss
        with torch.no_grad():
            target = self.objective.forward(self.teacher, x, y, draw)
        return (self.objective.forward(self.model, x, y, draw) - target).square().flatten(1).mean(dim=1)

    def trial_steps(self) -> dict[str, Callable[[], None]]:
        """The ways with equal gradients, each as one micro-batch forward and back that changes nothing."""
        shares = {"processes": process_group().size, "accumulation": self.config.accumulation}
        part = rows_of(self.images, process=0, **shares)[0]

        def step(way: Way) -> None:
            before, self.way = self.way, way
            self.mask.eval()  # so that it does not count what it draws
            batch = self.batch(0, part).to(self.device)
            with configured(models_of(self), self.config):
                with autocast(self.config, self.device):
                    loss = self.loss(0, batch)
                loss.backward()
            self.mask.train()
            self.optimizer.zero_grad(set_to_none=True)
            self.way = before

        return {"exact": lambda: step("exact"), "dense": lambda: step("dense")}

    def after_update(self, step: int) -> None:
        """Average the logits."""
        self.ema.update(self.mask, step)

    def record(self, step: int, loss: float) -> StepRecord:
        """What the averaged logits have learned: see `mask_record`."""
        scalars, vectors = mask_record(self.ema.module)
        return StepRecord({"loss": loss, "tau": self.tau(step - 1), **scalars}, vectors)

    def decision(self) -> dict[str, tuple[int, ...]]:
        """The kept blocks: the most probable mask of the averaged logits."""
        return self.ema.module.decision()

    def verdict(self) -> Verdict:
        """Whether the search has decided; only the live mask has counted what was drawn."""
        drawn = self.mask.states()
        states = {name: replace(s, unseen=drawn[name].unseen) for name, s in self.ema.module.states().items()}
        return judge(states, self.config.steps)


def mask_record(mask: MaskDistribution) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Scalars `confidence/GROUP` (probability of the likeliest option), `entropy/GROUP` (share of the maximum) and
    `moved/GROUP` (of the logits, after scaling); vectors `keep/STACK` (per block), `decision/STACK` (kept blocks),
    `options/GROUP` (per option, of groups that have some). GROUP is as the layout names it: `blocks/0`, `all`."""
    scalars: dict[str, float] = {}
    vectors: dict[str, list[float]] = {f"keep/{s}": p.tolist() for s, p in mask.keep_probabilities().items()}
    vectors |= {f"decision/{s}": list(kept) for s, kept in mask.decision().items()}
    for name, state in mask.states().items():
        scalars |= {f"confidence/{name}": state.confidence, f"entropy/{name}": state.entropy}
        scalars[f"moved/{name}"] = state.moved
        if state.options:
            vectors[f"options/{name}"] = list(state.options)
    return scalars, vectors


def _leave_one_out(losses: Tensor) -> Tensor:
    """Every loss (images, copies) minus the mean of the other copies of its image."""
    # b_i = mean of L_j over j != i (Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free"), all with the
    # same noised image, whose difficulty cancels: L_i - (K mean - L_i) / (K - 1) = (L_i - mean) K / (K - 1).
    copies = losses.shape[1]
    return (losses - losses.mean(dim=1, keepdim=True)) * copies / (copies - 1)


def _repeated(value: Any, copies: int) -> Any:
    """Every sample `copies` times in a row."""
    return value if copies == 1 or value is None else value.repeat_interleave(copies, dim=0)
