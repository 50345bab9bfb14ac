"""Finding models and telling what they are from their headers alone: no torch, no allocation."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.models.families import FAMILIES, Family, family_of
from tinylab.paths import assets_folder, exists, runs_folder

__all__ = ["WEIGHTS_FILE", "ModelInfo", "built_in_models", "describe_model", "locate_model", "read_header"]

WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
_HEADER_LIMIT = 32 * 2**20  # bytes; a DiT-XL/2 header takes 60 KB
_DTYPE_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class ModelInfo:
    """What a model folder says of itself.

    Attributes:
        family: how its config is to be read.
        sample_shape: shape of one image or latent, (C, H, W).
        parameters: number of weights, the fixed positions included.
        depth: blocks per stack.
        kept: indices of the original blocks per stack, None if it was never cut.
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


def built_in_models() -> tuple[str, ...]:
    """Names of the denoisers that ship with Tinylab."""
    folders = sorted(assets_folder().glob("*/config.json"))
    classes = {family.class_name for family in FAMILIES.values()}
    return tuple(f.parent.name for f in folders if _read_config(f).get("_class_name") in classes)


def locate_model(reference: str) -> Path:
    """The folder of a model given as built-in name, model folder, run folder or run id."""
    if reference in built_in_models():
        return assets_folder() / reference
    candidates = [_expand(reference)]
    if reference and Path(reference).name == reference:
        candidates.append(runs_folder() / reference)
    for candidate in candidates:
        for folder in (candidate / "model", candidate):
            if exists(folder / WEIGHTS_FILE) and exists(folder / "config.json"):
                return folder
    if any(exists(c / "status.json") for c in candidates):
        raise BadRequest(f"run {reference!r} has saved no model; prune or fine-tune its plan first")
    if reference and any(exists(c) for c in candidates):
        raise BadRequest(f"{reference} holds no model: config.json and {WEIGHTS_FILE} are needed")
    built_in = ", ".join(built_in_models()) or "none"
    raise BadRequest(f"unknown model {reference!r}; give a built-in one ({built_in}), a model folder, or a run")


def _expand(reference: str) -> Path:
    try:
        return Path(reference).expanduser()
    except RuntimeError:  # a home folder of nobody
        return Path(reference)


def describe_model(reference: str) -> ModelInfo:
    """Read config and tensor header of a model; BadRequest if they are damaged or foreign."""
    folder = locate_model(reference)
    config = _read_config(folder / "config.json")
    header = read_header(folder / WEIGHTS_FILE)
    family = family_of(config, folder)
    family.check(config, folder / "config.json")
    depth = family.depth(config)
    _check_depth(folder, depth, header)
    _check_history(folder / "config.json", config, depth)
    return ModelInfo(
        name=reference,
        path=folder,
        family=family,
        config=config,
        sample_shape=family.sample_shape(config),
        num_classes=family.num_classes(config),
        parameters=sum(math.prod(entry["shape"]) for entry in header.values()),
        depth=depth,
        kept=config.get("kept"),
        full_depth=config.get("full_depth") or depth,
    )


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """Names, dtypes and shapes in a safetensors file, after checking that the file can hold what it declares."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(_HEADER_LIMIT, size - 8):
                raise ValueError
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        for entry in header.values():
            begin, end = entry["data_offsets"]
            expected = math.prod(entry["shape"]) * _DTYPE_BYTES[entry["dtype"]]
            if not 0 <= begin <= end <= size - 8 - length or end - begin != expected:
                raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError):
        raise BadRequest(f"{path} is truncated or not a safetensors file; get a whole copy of it") from None
    return header


def _check_depth(folder: Path, depth: dict[str, int], header: dict[str, dict[str, Any]]) -> None:
    """The file must hold as many blocks as the config says."""
    for stack, count in depth.items():
        found = {name.split(".")[1] for name in header if name.startswith(f"{stack}.")}
        if len(found) != count:
            raise BadRequest(
                f"{folder} does not fit together: its config says {count} {stack}, the file has {len(found)}"
            )


def _check_history(source: Path, config: dict[str, Any], depth: dict[str, int]) -> None:
    """What a cut model says of the model it came from must be possible: the cards and menus build on it."""
    kept: Any = config.get("kept")
    full: Any = config.get("full_depth")
    if kept is None and full is None:
        return
    try:
        fits = set(kept) == set(full) == set(depth) and all(
            len(kept[stack]) == count and list(kept[stack]) == sorted({int(i) for i in kept[stack]})
            and 0 <= kept[stack][0] and kept[stack][-1] < full[stack]
            for stack, count in depth.items()
        )  # fmt: skip
    except (TypeError, ValueError, KeyError, IndexError):
        fits = False
    if not fits:
        raise BadRequest(f"{source}: kept and full_depth do not fit a model of {depth}; get a whole copy of it")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise BadRequest(f"{path} is not a model config; get a whole copy of the model folder")
    return config
