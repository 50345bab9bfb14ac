"""What must hold of a request, for the kinds of job that are one file. Free of torch, so that the app stays light."""

from pathlib import Path
from typing import Any

from tinylab.config import (
    EncodeConfig,
    FinetuneConfig,
    PruneConfig,
    RecipesConfig,
    SearchConfig,
    StudyConfig,
    TrainConfig,
)
from tinylab.config.choices import LOSSES
from tinylab.data.pictures import check_pictures
from tinylab.errors import BadRequest
from tinylab.jobs.facts import Facts, blocks_to_keep
from tinylab.models.autoencoder.catalog import describe_autoencoder
from tinylab.presets import finetune_config, search_config, train_config
from tinylab.pruning.criteria import CRITERIA, DEFAULT, asked_layout, respects
from tinylab.pruning.criteria.placement import check_layout
from tinylab.pruning.exhaustive import check_number
from tinylab.pruning.layout import Layout
from tinylab.pruning.plan import DepthPlan, block_names
from tinylab.runs.store import find_plan
from tinylab.training.layer_maps import layer_map

__all__ = [
    "check_encode",
    "check_finetune",
    "check_prune",
    "check_recipes",
    "check_search",
    "check_study",
    "check_train",
    "recipe_config",
]

_SHARED = ("data", "steps", "batch_size", "lr", "warmup", "ema_decay", "label_dropout", "device", "threads")
# A loss that is named alone means it alone, as published, not the rest of the recipe that `finetune` takes by default.
_BARE: dict[str, Any] = {"beta": 0.01, "layer_map": "kept", "warm_start": "none"}
# What a recipe may change: everything that decides what is learned from the same batches.
_FIELDS = (
    *("alpha", "beta", "beta_decay", "mask_sigma", "mask", "layer_map", "warm_start", "warm_steps"),
    *("steps", "lr", "lr_floor", "ema_decay"),
)


def recipe_config(text: str, config: RecipesConfig, seed: int) -> FinetuneConfig:
    """The fine-tuning that a recipe stands for.

    Raises:
        BadRequest: an unknown loss or field, or a value that cannot be.
    """
    loss, _, rest = text.partition(":")
    if loss not in LOSSES.names():
        raise BadRequest(f"unknown loss {loss!r} in recipe {text!r}; choose one of: {', '.join(LOSSES.names())}")
    values: dict[str, Any] = {**_BARE, **{name: getattr(config, name) for name in _SHARED}}
    for part in filter(None, rest.split("+")):
        name, equals, value = part.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in _FIELDS:
            raise BadRequest(f"{part!r} in recipe {text!r}: write FIELD=VALUE with one of {', '.join(_FIELDS)}")
        values[name] = value.strip()
    return FinetuneConfig.create(**values, loss=loss, seed=seed, snapshot_every=0)


_LEAST_SCORED = 20  # two of each digit


def check_train(config: TrainConfig, facts: Facts) -> None:
    """BadRequest where there is no such preset."""
    train_config(config.preset)


def check_search(config: SearchConfig, facts: Facts) -> None:
    """BadRequest unless the pattern fits the model and the numbers fit each other."""
    search_config(config.preset)
    facts.data_for(config.data, config.model)
    Layout.parse(config.pattern, facts.model(config.model).depth)
    if config.batch_size % config.masks_per_image:
        raise BadRequest(
            f"batch-size {config.batch_size} must be a multiple of copies {config.copies} for {config.estimator}"
        )
    if config.tau_end > config.tau_start:
        raise BadRequest(f"tau-end {config.tau_end} must not be above tau-start {config.tau_start}")


def check_prune(config: PruneConfig, facts: Facts) -> None:
    """BadRequest unless the options agree on how blocks are chosen, and that is possible."""
    depth = facts.model(config.model).depth
    facts.data_if_any(config.data, config.model)
    if config.method is not None:
        CRITERIA.entry(config.method)
    given = [config.plan is not None, config.indices is not None]
    if all(given):
        raise BadRequest("give either --plan or --indices, not both")
    if config.plan is not None:
        _check_only_plan(config)
        facts.check_made_for(find_plan(config.plan), config.model)
    elif config.indices is not None:
        if config.method not in ("indices", None):
            raise BadRequest(f"--indices choose the blocks themselves; leave out --method {config.method}")
        plan = DepthPlan.of(config.indices, depth, "indices")
        if config.pattern is not None and not respects(asked_layout(config.pattern, 0, depth), plan.kept):
            raise BadRequest(f"--indices do not keep what --pattern {config.pattern} asks for; leave one out")
        if config.keep not in (0, plan.total):
            raise BadRequest(f"--keep {config.keep} does not agree with the {plan.total} blocks of --indices")
    else:
        method = config.method or DEFAULT
        _check_method(method, asked_layout(config.pattern, config.keep, depth), depth)
        if CRITERIA.entry(method).uses_data:
            facts.data_for(config.data, config.model)


def _check_only_plan(config: PruneConfig) -> None:
    """BadRequest for options that choose blocks beside a plan that has chosen them."""
    for name in ("method", "keep", "pattern", "samples", "draws"):
        if getattr(config, name) != PruneConfig.model_fields[name].default:
            raise BadRequest(f"--plan says which blocks to keep; leave out --{name} {getattr(config, name)}")


def _check_method(method: str, layout: Layout, depth: dict[str, int]) -> None:
    """BadRequest for an unknown method and for one that cannot choose, or not as the layout asks."""
    if CRITERIA.entry(method).name == "indices":
        names = [name for several in block_names(depth).values() for name in several]
        raise BadRequest(f"method 'indices' needs --indices, such as {names[0]},{names[-1]}")
    if method == "oracle":
        check_layout(layout)


def check_finetune(config: FinetuneConfig, facts: Facts) -> None:
    """BadRequest unless there is a plan to start from, and data to learn from."""
    plan = facts.cut(config)
    finetune_config(config.recipe)
    facts.data_for(config.data, plan.model)
    if config.loss not in ("diffusion", "logit"):
        layer_map(plan, config.layer_map)
    _check_scored(config)


def _check_scored(config: FinetuneConfig | RecipesConfig) -> None:
    """BadRequest for so few samples that a class would have only one."""
    if 0 < config.scored_samples < _LEAST_SCORED:
        raise BadRequest(f"scored-samples: score {_LEAST_SCORED} or more, or 0 for none (got {config.scored_samples})")


def check_recipes(config: RecipesConfig, facts: Facts) -> None:
    """BadRequest unless there is a plan, and every recipe can be followed."""
    _check_scored(config)
    plan = facts.cut(config)
    facts.data_for(config.data, plan.model)
    if not config.recipes or not config.seeds:
        raise BadRequest("nothing to compare; name at least one of --recipes and one of --seeds")
    twice = next((name for name in config.recipes if config.recipes.count(name) > 1), None)
    if twice is not None:
        raise BadRequest(f"recipe {twice!r} is named twice; compare each once")
    for recipe in config.recipes:
        layer_map(plan, recipe_config(recipe, config, 0).layer_map)


def check_study(config: StudyConfig, facts: Facts) -> None:
    """BadRequest unless the choices are few enough to score them all."""
    depth = facts.model(config.model).depth
    facts.data_for(config.data, config.model)
    check_number(depth, blocks_to_keep(config.keep, depth))


def check_encode(config: EncodeConfig, facts: Facts) -> None:
    """BadRequest unless there are pictures, and an autoencoder for their size."""
    describe_autoencoder(config.vae).latent_shape(config.size)
    if not config.data:
        raise BadRequest("no pictures given; name their folder with --data DIR")
    check_pictures(Path(config.data))
