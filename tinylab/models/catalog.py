"""Finding models and telling what they are from their headers alone: no torch, no allocation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinylab.data.classes import DIGIT_NAMES, IMAGENET_NAMES, numbered_names
from tinylab.errors import BadRequest
from tinylab.files.json_file import read_object
from tinylab.files.tensor_file import check_tensors, read_header
from tinylab.models.families import FAMILIES, WEIGHTS_FILE, Family, family_of, history_fits
from tinylab.models.published.published_shapes import expected_shapes
from tinylab.paths import assets_folder, exists, runs_folder

__all__ = ["ModelInfo", "built_in_models", "describe_model", "locate_model"]

_DEFAULTS = {"mlp_ratio": 4.0, "learn_sigma": True}  # entries that a config may leave out


@dataclass(frozen=True)
class ModelInfo:
    """What a model folder says of itself.

    Attributes:
        family: how its config is to be read.
        sample_shape: shape of one image or latent, (C, H, W).
        parameters: number of weights, the fixed positions included.
        depth: blocks per stack.
        kept: indices of the original blocks per stack, None if it was never cut.
        notes: what is computed otherwise than by the library that saved it, one line each.
    """

    name: str
    path: Path
    family: Family
    config: dict[str, Any]
    sample_shape: tuple[int, int, int]
    num_classes: int
    parameters: int
    depth: dict[str, int]
    kept: dict[str, list[int]] | None
    full_depth: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def draws_digits(self) -> bool:
        """True for a model of the built-in 8x8 digits."""
        return self.sample_shape == (1, 8, 8) and self.num_classes == len(DIGIT_NAMES)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What its classes are called: digits, ImageNet's for a thousand classes, else their numbers."""
        if self.draws_digits:
            return DIGIT_NAMES
        return IMAGENET_NAMES if self.num_classes == len(IMAGENET_NAMES) else numbered_names(self.num_classes)


def built_in_models() -> tuple[str, ...]:
    """Names of the denoisers that ship with Tinylab."""
    folders = sorted(assets_folder().glob("*/config.json"))
    classes = {family.class_name for family in FAMILIES.values()}
    return tuple(f.parent.name for f in folders if _read_config(f).get("_class_name") in classes)


def locate_model(reference: str, *, fetches: bool = True) -> Path:
    """The folder of a model given as built-in name, model folder, run folder, run id or `hub:ORG/NAME@REVISION`.

    Args:
        fetches: whether the Hub may be asked; without, a model there is as one that is unknown.
    """
    from tinylab.models.diffusers.folder import is_diffusers  # they build on this module
    from tinylab.models.hub.reference import is_hub_reference

    if reference in built_in_models():
        return assets_folder() / reference
    if is_hub_reference(reference):
        if not fetches:
            raise BadRequest(f"{reference} was not looked up; load it first")
        from tinylab.models.hub.transfer import fetch

        candidates = [fetch(reference)]
    else:
        candidates = [_expand(reference)]
    if reference and Path(reference).name == reference:
        candidates.append(runs_folder() / reference)
    for candidate in candidates:
        for folder in (candidate / "model", candidate):
            if is_diffusers(folder) or exists(folder / WEIGHTS_FILE) and exists(folder / "config.json"):
                return folder.absolute()  # one model has one name, from wherever it is looked at
    if any(exists(c / "status.json") for c in candidates):
        raise BadRequest(f"run {reference!r} has saved no model; prune or fine-tune its plan first")
    if reference and any(exists(c) for c in candidates):
        raise BadRequest(f"{reference} holds no model: config.json and {WEIGHTS_FILE} are needed")
    built_in = ", ".join(built_in_models()) or "none"
    raise BadRequest(
        f"unknown model {reference!r}; give a built-in one ({built_in}), a folder, a run or hub:ORG/NAME@REVISION"
    )


def _expand(reference: str) -> Path:
    try:
        return Path(reference).expanduser()
    except RuntimeError:  # a home folder of nobody
        return Path(reference)


def describe_model(reference: str) -> ModelInfo:
    """Read config and tensor header of a model; BadRequest if they are damaged or foreign."""
    from tinylab.models.diffusers.folder import describe_diffusers, is_diffusers  # they build on this module

    folder = locate_model(reference)
    if is_diffusers(folder):
        found = describe_diffusers(folder)
        return _info(reference, folder, found["config"], found["parameters"], found["notes"])
    config = _read_config(folder / "config.json")
    header = read_header(folder / WEIGHTS_FILE)
    family = family_of(config, folder)
    family.check(config, folder / "config.json")
    family.check_lengths(config, header, folder)
    check_tensors(expected_shapes(family.name, {**_DEFAULTS, **config}), header, folder / WEIGHTS_FILE)
    _check_history(folder / "config.json", config, family.depth(config))
    return _info(reference, folder, config, sum(math.prod(entry["shape"]) for entry in header.values()))


def _info(
    reference: str, folder: Path, config: dict[str, Any], parameters: int, notes: Sequence[str] = ()
) -> ModelInfo:
    family = family_of(config, folder)
    depth = family.depth(config)
    return ModelInfo(
        name=reference,
        path=folder,
        family=family,
        config=config,
        sample_shape=family.sample_shape(config),
        num_classes=family.num_classes(config),
        parameters=parameters,
        depth=depth,
        kept=config.get("kept"),
        full_depth=config.get("full_depth") or depth,
        notes=tuple(notes),
    )


def _check_history(source: Path, config: dict[str, Any], depth: dict[str, int]) -> None:
    """What a cut model says of the model it came from must be possible: the cards and menus build on it."""
    kept, full = config.get("kept"), config.get("full_depth")
    if not (kept is None and full is None) and not history_fits(kept, full, depth):
        raise BadRequest(f"{source}: kept and full_depth do not fit a model of {depth}; get a whole copy of it")


def _read_config(path: Path) -> dict[str, Any]:
    config = read_object(path)
    if config is None:
        raise BadRequest(f"{path} is not a model config; get a whole copy of the model folder")
    return config
