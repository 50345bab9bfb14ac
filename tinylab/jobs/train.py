"""Train a built-in model, judge it, and write its card."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tinylab.config import TrainConfig
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.jobs.cards import training_card
from tinylab.jobs.context import JobContext
from tinylab.metrics.denoising import held_out_loss
from tinylab.models.base import Denoiser
from tinylab.models.families import FAMILIES
from tinylab.models.load import load_reader, model_class, pick_device, save_model
from tinylab.models.networks.reader import DigitReader, reading_accuracy
from tinylab.presets import TRAIN_PRESETS
from tinylab.sampling import sampler_for
from tinylab.sampling.generate import Settings, generate, steps_taken
from tinylab.sampling.images import grid_png, to_uint8
from tinylab.training.classify import ClassifyTask
from tinylab.training.denoise import DenoiseTask
from tinylab.training.loop import run_loop

__all__ = ["run"]

_BATCH = 250  # samples drawn at once


def run(config: TrainConfig, context: JobContext) -> dict[str, Any]:
    """Train to the last step, keep the averaged weights in `model/`, return the scores."""
    preset = TRAIN_PRESETS[config.preset]
    torch.manual_seed(config.seed)
    train = _train_reader if preset.family == "reader" else _train_denoiser
    trained, scores, pictures = train(config, context)
    if not context.main:
        return {}
    card = training_card(config, preset, scores, context.run, device=_device_name(next(trained.parameters()).device))
    save_model(trained, context.run.model_path, card=card, pictures=pictures)
    return scores


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"


def _train_reader(config: TrainConfig, context: JobContext) -> tuple[DigitReader, dict[str, float], dict[str, bytes]]:
    model = DigitReader(**TRAIN_PRESETS[config.preset].architecture)
    model.to(device=pick_device(config.device))
    train, held_out = load_digits()
    task = ClassifyTask(model, train, config)
    run_loop(task, config, context.run.checkpoints, context)
    reader, splits = task.ema.module, {"train": train, "held_out": held_out}
    scores = {f"{name}_accuracy": reading_accuracy(reader, s.images, s.labels) for name, s in splits.items()}
    return reader, scores, {}


def _train_denoiser(config: TrainConfig, context: JobContext) -> tuple[Denoiser, dict[str, float], dict[str, bytes]]:
    preset = TRAIN_PRESETS[config.preset]
    model = model_class(FAMILIES[preset.family])(**preset.architecture)
    model.to(device=pick_device(config.device))
    train, held_out = load_digits()
    objective = objective_for(model)
    task = DenoiseTask(model, objective, train, config, floor=0.0)
    run_loop(task, config, context.run.checkpoints, context)
    denoiser = task.ema.module
    if not context.main:  # one process is enough to judge it
        return denoiser, {}, {}
    losses = {
        n: held_out_loss(denoiser, objective, s, repeats=4) for n, s in (("train", train), ("held_out", held_out))
    }
    scores = {f"{name}_{term}": getattr(loss, term) for name, loss in losses.items() for term in ("loss", "mse")}
    pictures = to_uint8(_draw(denoiser, 4 * denoiser.num_classes, Settings(), context)[0])
    grid = grid_png(pictures, denoiser.num_classes, scale=5)
    return denoiser, scores | _reading_scores(denoiser, config, context), {"samples.png": grid}


def _reading_scores(model: Denoiser, config: TrainConfig, context: JobContext) -> dict[str, float]:
    """Share of samples that the digit reader predicts as the class asked for, with guidance 1.5 and without."""
    reader = load_reader(model)
    if reader is None or not config.judged_samples:
        return {}
    scores = {}
    for guidance in (1.5, 1.0):
        context.progress(config.steps, config.steps, f"judging samples at guidance {guidance}")
        settings = Settings(steps=50, guidance=guidance, seed=config.seed)
        images, labels = _draw(model, config.judged_samples, settings, context)
        how = f"{steps_taken(model, settings.steps)} {sampler_for(model.family)} steps"
        name = f"read correctly of {len(labels)} samples, {how}, guidance {guidance}"
        scores[name] = reading_accuracy(reader, images, labels)
    return scores


def _draw(model: Denoiser, count: int, settings: Settings, context: JobContext) -> tuple[Tensor, Tensor]:
    """`count` images of the classes in turn, and these classes; Stopped between two steps if somebody asks for it."""
    objective, labels = objective_for(model), torch.arange(count) % model.num_classes
    draw: Callable[..., Tensor] = partial(generate, model, objective, on_step=lambda _: _stop_judging(context))
    parts = [draw(labels[at : at + _BATCH], settings, first=at) for at in range(0, count, _BATCH)]
    return torch.cat(parts), labels


def _stop_judging(context: JobContext) -> None:
    context.stop_here("the training is done; resume it to judge the samples again")
