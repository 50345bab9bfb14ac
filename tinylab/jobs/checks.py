"""Refusing bad requests before anything is loaded or written. Free of torch, so that the app stays light."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from tinylab.config import (
    KINDS,
    CompareConfig,
    EncodeConfig,
    FinetuneConfig,
    JobConfig,
    LoopConfig,
    PruneConfig,
    RecipesConfig,
    SearchConfig,
    StudyConfig,
    TrainConfig,
    kind_of,
)
from tinylab.config.recovery import CutConfig, LossName
from tinylab.data.catalog import DIGITS, describe_data
from tinylab.data.pictures import check_pictures
from tinylab.errors import BadRequest
from tinylab.jobs.contenders import check_contenders
from tinylab.jobs.ground_truth import GroundTruth
from tinylab.models.autoencoder.catalog import describe_autoencoder
from tinylab.models.catalog import built_in_models, describe_model, locate_model
from tinylab.presets import finetune_config, search_config, train_config
from tinylab.pruning.criteria import CRITERIA, DEFAULT, LOOKS_AT_DATA, asked_layout, respects
from tinylab.pruning.criteria.placement import check_layout
from tinylab.pruning.exhaustive import check_number
from tinylab.pruning.layout import Layout
from tinylab.pruning.plan import DepthPlan, block_names
from tinylab.registry import load
from tinylab.runs.store import find_plan
from tinylab.training.layer_maps import layer_map
from tinylab.training.shares import check_shares
from tinylab.training.trackers import check_tracking

__all__ = [
    "blocks_compared",
    "blocks_to_keep",
    "check",
    "check_sharing",
    "data_for",
    "data_if_any",
    "on_own_device",
    "recipe_config",
    "recovery_source",
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
    if loss not in get_args(LossName):
        raise BadRequest(f"unknown loss {loss!r} in recipe {text!r}; choose one of: {', '.join(get_args(LossName))}")
    values: dict[str, Any] = {**_BARE, **{name: getattr(config, name) for name in _SHARED}}
    for part in filter(None, rest.split("+")):
        name, equals, value = part.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in _FIELDS:
            raise BadRequest(f"{part!r} in recipe {text!r}: write FIELD=VALUE with one of {', '.join(_FIELDS)}")
        values[name] = value.strip()
    return FinetuneConfig.create(**values, loss=loss, seed=seed, snapshot_every=0)


def check_sharing(config: JobConfig, processes: int) -> None:
    """BadRequest unless this many processes can do the job."""
    if processes > 1 and not kind_of(config).shared:
        *several, last = (name for name, kind in KINDS.items() if kind.shared)
        raise BadRequest(
            f"{config.kind} runs in one process, not {processes}: start it without a launcher "
            f"({', '.join(several)} and {last} take several)"
        )
    if isinstance(config, LoopConfig):
        copies = config.copies if isinstance(config, SearchConfig) and config.estimator == "reinforce" else 1
        check_shares(config.batch_size, processes=processes, accumulation=config.accumulation, copies=copies)


def on_own_device(config: JobConfig, processes: int) -> JobConfig:
    """The config of a job of several processes, on the CPU where the launcher asks for that.

    Raises:
        BadRequest: there are fewer GPUs than processes on this machine.
    """
    if processes == 1 or config.device == "cpu":
        return config
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
        return config.model_copy(update={"device": "cpu"})
    import torch

    gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if 0 < gpus < here:
        raise BadRequest(f"there are {gpus} GPUs for {here} processes on this machine; start as many, or --device cpu")
    return config


_LEAST_SCORED = 20  # two of each digit


def check(config: JobConfig) -> None:
    """Raise BadRequest for whatever is known to be wrong from the config and the folders it names."""
    check_sharing(config, processes=1)
    check_tracking(config)
    load(kind_of(config).check)(config)


def data_if_any(reference: str, model: str) -> str | None:
    """The data that a job on `model` looks at: `reference`, or for `auto` the digits if the model draws them."""
    info = describe_model(model)
    if reference == "auto":
        return DIGITS if info.draws_digits else None
    describe_data(reference).check_fits(info.sample_shape, info.num_classes, model)
    return reference


def data_for(reference: str, model: str) -> str:
    """The same for a job that cannot do without; BadRequest where nothing is named that the model can learn from."""
    found = data_if_any(reference, model)
    if found is None:
        shape = " x ".join(map(str, describe_model(model).sample_shape))
        raise BadRequest(f"{model} takes samples of {shape}: name some with --data (`tinylab encode` makes latents)")
    return found


def blocks_to_keep(keep: int, depth: dict[str, int]) -> int:
    """The number of blocks that stay: `keep`, or half of all for 0. BadRequest if that many cannot."""
    total = sum(depth.values())
    number = keep or total // 2
    least = len(depth)  # no stack can be empty
    if not least <= number < total:
        raise BadRequest(f"--keep {keep}: the model has {total} blocks, keep {least} to {total - 1} of them")
    return number


def recovery_source(config: CutConfig) -> tuple[str, DepthPlan]:
    """The full model and the plan that a fine-tuning starts from; the plan names that model."""
    if [config.run, config.plan, config.indices].count(None) != 2:
        raise BadRequest(
            "name what to keep, one way: --run RUN (a finished search or prune), --plan FILE or --indices A,B,…"
        )
    if config.indices is not None:
        model = config.model or next(iter(built_in_models()), "")
        return model, DepthPlan.of(config.indices, describe_model(model).depth, "indices", model=model)
    plan = find_plan(config.run or config.plan or "")
    model = config.model or plan.model
    if not model:
        raise BadRequest("the plan does not say which model it is for; add --model")
    plan.check_fits(describe_model(model).depth)
    return model, replace(plan, model=model)


def check_train(config: TrainConfig) -> None:
    train_config(config.preset)


def check_search(config: SearchConfig) -> None:
    search_config(config.preset)
    data_for(config.data, config.model)
    Layout.parse(config.pattern, describe_model(config.model).depth)
    if config.estimator == "reinforce" and config.batch_size % config.copies:
        raise BadRequest(f"batch-size {config.batch_size} must be a multiple of copies {config.copies} for reinforce")
    if config.tau_end > config.tau_start:
        raise BadRequest(f"tau-end {config.tau_end} must not be above tau-start {config.tau_start}")


def check_prune(config: PruneConfig) -> None:
    depth = describe_model(config.model).depth
    data_if_any(config.data, config.model)
    if config.method is not None:
        CRITERIA.entry(config.method)
    given = [config.plan is not None, config.indices is not None]
    if all(given):
        raise BadRequest("give either --plan or --indices, not both")
    if config.plan is not None:
        _check_only_plan(config)
        _check_made_for(find_plan(config.plan), config.model)
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
        if method in LOOKS_AT_DATA:
            data_for(config.data, config.model)


def _check_only_plan(config: PruneConfig) -> None:
    """BadRequest for options that choose blocks beside a plan that has chosen them."""
    for name in ("method", "keep", "pattern", "samples", "draws"):
        if getattr(config, name) != PruneConfig.model_fields[name].default:
            raise BadRequest(f"--plan says which blocks to keep; leave out --{name} {getattr(config, name)}")


def _check_made_for(plan: DepthPlan, model: str) -> None:
    """BadRequest unless the plan fits the model and, where it names one, was made for it."""
    plan.check_fits(describe_model(model).depth)
    if plan.model and locate_model(plan.model) != locate_model(model):
        raise BadRequest(f"the plan was made for {plan.model}, not for {model}; add --model {plan.model}")


def _check_method(method: str, layout: Layout, depth: dict[str, int]) -> None:
    """BadRequest for an unknown method and for one that cannot choose, or not as the layout asks."""
    if CRITERIA.entry(method).name == "indices":
        names = [name for several in block_names(depth).values() for name in several]
        raise BadRequest(f"method 'indices' needs --indices, such as {names[0]},{names[-1]}")
    if method == "oracle":
        check_layout(layout)


def check_finetune(config: FinetuneConfig) -> None:
    model, plan = recovery_source(config)
    finetune_config(config.recipe)
    data_for(config.data, model)
    if config.loss not in ("diffusion", "logit"):
        layer_map(plan, config.layer_map)
    _check_scored(config)


def _check_scored(config: FinetuneConfig | RecipesConfig) -> None:
    """BadRequest for so few samples that a class would have only one."""
    if 0 < config.scored_samples < _LEAST_SCORED:
        raise BadRequest(f"scored-samples: score {_LEAST_SCORED} or more, or 0 for none (got {config.scored_samples})")


def check_recipes(config: RecipesConfig) -> None:
    _check_scored(config)
    model, plan = recovery_source(config)
    data_for(config.data, model)
    if not config.recipes or not config.seeds:
        raise BadRequest("nothing to compare; name at least one of --recipes and one of --seeds")
    twice = next((name for name in config.recipes if config.recipes.count(name) > 1), None)
    if twice is not None:
        raise BadRequest(f"recipe {twice!r} is named twice; compare each once")
    for recipe in config.recipes:
        layer_map(plan, recipe_config(recipe, config, 0).layer_map)


def check_compare(config: CompareConfig) -> None:
    depth = describe_model(config.model).depth
    data_for(config.data, config.model)
    plans = [find_plan(reference) for reference in config.plans]
    for plan in plans:
        _check_made_for(plan, config.model)
    keep = blocks_compared(config, plans, depth)
    check_contenders(config, keep, depth)
    if config.study is not None:
        GroundTruth.open(config.study).check_fits(config.model, keep, depth)


def blocks_compared(config: CompareConfig, plans: Sequence[DepthPlan], depth: dict[str, int]) -> int:
    """The number of blocks that every compared model keeps."""
    totals = {plan.total for plan in plans} | ({config.keep} if config.keep else set())
    if config.pattern is not None:
        totals.add(sum(group.keep for group in asked_layout(config.pattern, 0, depth).groups))
    if len(totals) > 1:
        several = " and ".join(map(str, sorted(totals)))
        raise BadRequest(f"plans, --keep and --pattern ask for {several} blocks; compare equals")
    return blocks_to_keep(totals.pop() if totals else 0, depth)


def check_study(config: StudyConfig) -> None:
    depth = describe_model(config.model).depth
    data_for(config.data, config.model)
    check_number(depth, blocks_to_keep(config.keep, depth))


def check_encode(config: EncodeConfig) -> None:
    describe_autoencoder(config.vae).latent_shape(config.size)
    if not config.data:
        raise BadRequest("no pictures given; name their folder with --data DIR")
    check_pictures(Path(config.data))
