"""Finding a DiT in a folder that diffusers wrote and telling what it is from headers alone: no torch, no allocation."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.files.json_file import read_object
from tinylab.files.tensor_file import read_header
from tinylab.models.diffusers.names import CLASS_NAMES, our_config, their_shapes
from tinylab.models.families import WEIGHTS_FILE, history_fits
from tinylab.models.published.published_shapes import expected_shapes
from tinylab.paths import exists

__all__ = ["HISTORY_FILE", "INDEX_FILE", "PIPELINE_FILE", "describe_diffusers", "is_diffusers", "tensor_files"]

HISTORY_FILE = "tinylab.json"  # what the model was cut from, beside a config whose class would not know it
INDEX_FILE = f"{WEIGHTS_FILE}.index.json"
PIPELINE_FILE = "model_index.json"
POSITIONS = "pos_embed.pos_embed"  # early exports hold the positions too
_STACK = "transformer_blocks"  # what diffusers calls our `blocks`
_DTYPES = ("F32", "F16", "BF16")


def is_diffusers(folder: Path) -> bool:
    """Whether this is the folder of a pipeline, or of a DiT as diffusers saves it; sound or not."""
    if exists(folder / PIPELINE_FILE):
        return True
    try:
        return exists(folder / "config.json") and _read_json(folder / "config.json").get("_class_name") in CLASS_NAMES
    except BadRequest:
        return False


def describe_diffusers(folder: Path) -> dict[str, Any]:
    """What a DiTPipeline folder, or its bare transformer folder, holds.

    Returns:
        `config` (ours, with `_class_name`, `kept` and `full_depth`), `parameters` (as many as ours has, the positions
        included), `folder` (of the transformer), `notes` (what is computed otherwise than in diffusers, one line each).

    Raises:
        BadRequest: damaged, foreign, or not the tensors that its config promises.
    """
    transformer = _transformer_folder(folder)
    source = transformer / "config.json"
    ours, notes = our_config(_read_json(source), source)
    header = {name: entry for file in tensor_files(transformer) for name, entry in read_header(file).items()}
    _check_depth(transformer, ours["depth"], header)
    _check_tensors(transformer, ours, header)
    config = {**ours, **_history(transformer, ours["depth"])}
    parameters = sum(math.prod(shape) for shape in expected_shapes("dit", config).values())
    return {"config": config, "parameters": parameters, "folder": transformer, "notes": notes}


def tensor_files(transformer: Path) -> list[Path]:
    """The safetensors files of a transformer folder: one, or those that its index names."""
    if exists(transformer / WEIGHTS_FILE):
        return [transformer / WEIGHTS_FILE]
    if not exists(transformer / INDEX_FILE):
        raise BadRequest(f"{transformer} holds no {WEIGHTS_FILE}; other formats are not read, save it as safetensors")
    shards = _read_json(transformer / INDEX_FILE).get("weight_map")
    names = set(shards.values()) if isinstance(shards, dict) and all(map(_is_name, shards.values())) else set()
    if not names:
        raise BadRequest(
            f"{transformer / INDEX_FILE} does not name safetensors files beside it; get a whole copy of it"
        )
    for name in sorted(names):
        if not exists(transformer / name):
            raise BadRequest(f"{transformer} lacks {name}; get a whole copy of it")
    return [transformer / name for name in sorted(names)]


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and Path(value).name == value and value.endswith(".safetensors")


def _transformer_folder(folder: Path) -> Path:
    if not exists(folder / PIPELINE_FILE):
        return folder
    pipeline = _read_json(folder / PIPELINE_FILE).get("_class_name")
    if pipeline != "DiTPipeline":
        raise BadRequest(f"{folder} holds a {pipeline!r}; of diffusers' pipelines, Tinylab reads DiTPipeline")
    if not exists(folder / "transformer" / "config.json"):
        raise BadRequest(f"{folder} lacks transformer/config.json; get a whole copy of it")
    return folder / "transformer"


def _check_depth(source: Path, depth: int, header: Mapping[str, Any]) -> None:
    """Before a table of names as long as the config says is made."""
    found = {name.split(".")[1] for name in header if name.startswith("transformer_blocks.")}
    if len(found) != depth:
        raise BadRequest(f"{source} does not fit together: num_layers is {depth}, the file has {len(found)} blocks")


def _check_tensors(source: Path, config: Mapping[str, Any], header: Mapping[str, Mapping[str, Any]]) -> None:
    """Names, shapes and dtypes must be those of the whole model and no more."""
    wanted = their_shapes(config)
    if POSITIONS in header:
        wanted[POSITIONS] = expected_shapes("dit", config)["pos_embed"]
    missing, foreign = sorted(wanted.keys() - header.keys()), sorted(header.keys() - wanted.keys())
    if missing or foreign:
        parts = [f"lack {missing[0]} and {len(missing) - 1} more"] if missing else []
        parts += [f"have unknown {_plain(foreign[0])} and {len(foreign) - 1} more"] if foreign else []
        raise BadRequest(f"the weights in {source} do not fit their config: they {'; '.join(parts)}")
    for name, shape in wanted.items():
        found = tuple(header[name]["shape"])
        if found != shape:
            raise BadRequest(f"the weights in {source} do not fit their config: {name} is {found}, should be {shape}")
        if header[name]["dtype"] not in _DTYPES:
            raise BadRequest(f"{source}: {name} is {header[name]['dtype']}, should be one of {', '.join(_DTYPES)}")


def _history(transformer: Path, depth: int) -> dict[str, Any]:
    """`kept` and `full_depth` under our name of the stack; empty for a model that was never cut."""
    if not exists(transformer / HISTORY_FILE):
        return {}
    history = _read_json(transformer / HISTORY_FILE)
    kept: Any = history.get("kept")
    full: Any = history.get("full_depth")
    if not history_fits(kept, full, {_STACK: depth}):
        raise BadRequest(f"{transformer / HISTORY_FILE} does not fit a model of {depth} blocks; get a whole copy of it")
    return {"kept": {"blocks": list(history["kept"][_STACK])}, "full_depth": {"blocks": history["full_depth"][_STACK]}}


def _read_json(path: Path) -> dict[str, Any]:
    document = read_object(path)
    if document is None:
        raise BadRequest(f"{path} is not what diffusers writes; get a whole copy of it")
    return document


def _plain(name: str) -> str:
    return name.encode("unicode_escape").decode()[:80]
