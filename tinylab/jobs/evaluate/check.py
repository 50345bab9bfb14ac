"""What an evaluation must be asked for, and what it takes by itself. Free of torch, so that the app stays light."""

from collections.abc import Sequence
from pathlib import Path

from tinylab.config import EvaluateConfig, SampleConfig
from tinylab.data.catalog import DIGITS
from tinylab.data.classes import parse_classes
from tinylab.errors import BadRequest
from tinylab.jobs.facts import Facts
from tinylab.metrics.fidelity.names import ALLOWED, EXTRACTORS, check_metrics
from tinylab.models.autoencoder.catalog import describe_autoencoder
from tinylab.models.catalog import ModelInfo, built_in_models
from tinylab.paths import exists
from tinylab.sampling import sampler_for
from tinylab.sampling.caches import check_cache, parse_cache

__all__ = [
    "check_evaluation",
    "check_sample",
    "check_sampling",
    "classes_of",
    "extractor_of",
    "metrics_of",
    "models_of",
    "reference_of",
]


def check_sampling(config: SampleConfig | EvaluateConfig, names: Sequence[str], facts: Facts) -> list[ModelInfo]:
    """The models called `names`; BadRequest unless all can draw as asked, and draw images like the first one's."""
    models = [facts.model(name) for name in names]
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


def check_sample(config: SampleConfig, facts: Facts) -> None:
    """BadRequest unless all models can draw as asked, and draw alike."""
    check_sampling(config, (config.model, *config.against), facts)


def classes_of(config: SampleConfig | EvaluateConfig, model: ModelInfo) -> tuple[int, ...]:
    """The classes to draw, by number; all of them if none is named."""
    if config.classes is None:
        return tuple(range(model.num_classes))
    return parse_classes(",".join(map(str, config.classes)), model.class_names, model.num_classes)


_READER = "digit-reader"
_PIXELS = (1, 3)  # channels of a picture


def check_evaluation(config: EvaluateConfig, facts: Facts) -> None:
    """BadRequest for what cannot be scored."""
    names = models_of(config)
    if not names and config.against:
        raise BadRequest("--against goes with --model; name the first model there")
    models = check_sampling(config, names, facts)
    for model in models:
        _check_scorable(config, model)
    for picture in config.images:
        _check_there(picture, "--images")
    reference = reference_of(config, facts)
    if reference != DIGITS:
        _check_there(reference, "--reference")
    extractor = extractor_of(config, facts)
    check_metrics(config.metrics, extractor)
    if config.weights is not None:
        _check_there(config.weights, "--weights")
    if extractor == _READER:
        if config.weights is not None:
            raise BadRequest("the digit reader has its own weights; leave out --weights")
        for model in models:
            if not model.draws_digits:
                raise BadRequest(f"the digit reader sees 8x8 digits and {model.name} draws others; take inception-v3")


def models_of(config: EvaluateConfig) -> tuple[str, ...]:
    """The models to draw from: the first built-in one where nothing at all is named."""
    if config.model is None and not config.images:
        return (*built_in_models()[:1], *config.against)
    return (config.model, *config.against) if config.model is not None else ()


def reference_of(config: EvaluateConfig, facts: Facts) -> str:
    """The real data: what is named, or the digits for models that draw digits."""
    if config.reference != "auto":
        return config.reference
    if all(facts.model(name).draws_digits for name in models_of(config)):
        return DIGITS
    raise BadRequest("name the real data with --reference FILE (an npz or a folder of pictures)")


def extractor_of(config: EvaluateConfig, facts: Facts) -> str:
    """What extracts the features: what is named, or the digit reader for digits and Inception v3 for all else."""
    if config.extractor != "auto":
        return EXTRACTORS.entry(config.extractor).name
    return _READER if reference_of(config, facts) == DIGITS else "inception-v3"


def metrics_of(config: EvaluateConfig, facts: Facts) -> tuple[str, ...]:
    """The scores: what is named, or all that the extractor allows."""
    return config.metrics or ALLOWED[extractor_of(config, facts)]


def _check_scorable(config: EvaluateConfig, model: ModelInfo) -> None:
    """BadRequest unless the model's samples are pictures, and can be drawn with the cache."""
    spec = parse_cache(config.cache)
    if spec is not None:
        check_cache(spec, model.family.name, model.depth)
    if config.vae is None and model.sample_shape[0] not in _PIXELS:
        raise BadRequest(f"{model.name} draws latents; name the autoencoder that makes pictures of them with --vae DIR")


def _check_there(reference: str, flag: str) -> None:
    if not exists(Path(reference)):
        raise BadRequest(f"{flag} {reference}: nothing is there; name a file or a folder")
