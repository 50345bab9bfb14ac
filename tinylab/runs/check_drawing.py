"""What drawing images must be asked for, alone or to be scored. Free of torch, so that the app stays light."""

from __future__ import annotations

from collections.abc import Sequence

from tinylab.config import EvaluateConfig, SampleConfig
from tinylab.data.classes import parse_classes
from tinylab.errors import BadRequest
from tinylab.models.autoencoder_catalog import describe_autoencoder
from tinylab.models.catalog import ModelInfo, describe_model
from tinylab.sampling import sampler_for

__all__ = ["check_drawing", "classes_of"]


def check_drawing(config: SampleConfig | EvaluateConfig, names: Sequence[str]) -> list[ModelInfo]:
    """The models called `names`; BadRequest unless all can draw as asked, and draw images like the first one's."""
    models = [describe_model(name) for name in names]
    for name, model in zip(names, models, strict=True):
        sampler = sampler_for(model.family.name, config.sampler)
        if config.guidance_schedule == "linear" and sampler != "masked":
            raise BadRequest(f"guidance-schedule linear is for models of masked tokens; {name} is none")
        for what in ("sample_shape", "num_classes"):
            if getattr(model, what) != getattr(models[0], what):
                raise BadRequest(
                    f"{name} draws other images than {names[0]}: {what.replace('_', ' ')} "
                    f"{getattr(model, what)}, not {getattr(models[0], what)}"
                )
    if models:
        classes_of(config, models[0])
        if config.vae is not None:
            describe_autoencoder(config.vae).check_fits(models[0].sample_shape, names[0])
    return models


def classes_of(config: SampleConfig | EvaluateConfig, model: ModelInfo) -> tuple[int, ...]:
    """The classes to draw, by number; all of them if none is named."""
    if config.classes is None:
        return tuple(range(model.num_classes))
    return parse_classes(",".join(map(str, config.classes)), model.class_names, model.num_classes)
