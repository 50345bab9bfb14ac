"""Loading a transformer of diffusers from a folder, checked before anything is allocated."""

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.models.modeling_utils import ModelMixin
from safetensors import SafetensorError

from tinylab.errors import BadRequest
from tinylab.files.json_file import read_object
from tinylab.files.tensor_file import read_header
from tinylab.models.adapters.adapted import HISTORY_FILE, AdaptedTransformer, adapt
from tinylab.models.adapters.examine import sketch_transformer
from tinylab.models.families import WEIGHTS_FILE, history_fits
from tinylab.models.load import pick_device
from tinylab.paths import exists

__all__ = ["load_adapted"]

_INDEX_FILE = f"{WEIGHTS_FILE}.index.json"
_JSON_LIMIT = 16 * 2**20  # bytes of a config or an index
_LARGEST = 2**20  # no size in the config of a real transformer comes near
_FREE_BUFFERS = 2**28  # entries in tables that the class computes and the file does not hold
_DTYPES = ("F32", "F16", "BF16")


def load_adapted(folder: str | Path, device: str = "cpu") -> AdaptedTransformer:
    """A transformer in eval mode from a folder that diffusers, or Tinylab after a cut, has written.

    Config and weights must agree in every name and shape. Only safetensors, and only the classes of diffusers
    itself: nothing that comes with the folder is ever run.

    Raises:
        BadRequest: nothing there, damaged, foreign, or of a kind that cannot be cut.
    """
    path = Path(folder)
    config = _read_json(path / "config.json", "config.json of a diffusers transformer")
    cls = _transformer_class(config, path)
    header = _headers(path)
    _check_config(config, path / "config.json", len(header))
    try:
        sketch = sketch_transformer(cls, config)
    except Exception as error:  # a class may raise anything on a config that it was not made for
        reason = " ".join(str(error).split())[:200]
        raise BadRequest(f"{path / 'config.json'} does not describe a {cls.__name__}: {reason}") from None
    _check_weights(sketch, header, path)
    history = _read_history(path, adapt(sketch))
    try:
        transformer = cls.from_pretrained(  # type: ignore[attr-defined]
            str(path), use_safetensors=True, local_files_only=True, torch_dtype=_dtype(header), device_map=None
        )
    except (SafetensorError, OSError) as error:
        raise BadRequest(f"{path} is damaged ({error}); get a whole copy of it") from None
    for name, tensor in transformer.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise BadRequest(f"{path} holds values that are not numbers in {name}; get a sound copy of it")
    model = adapt(transformer)
    model.kept, model.full_depth = history
    return model.to(pick_device(device))


def _transformer_class(config: Mapping[str, Any], path: Path) -> type[ModelMixin]:
    """The class that the config names; BadRequest unless it is a transformer of diffusers itself."""
    name = config.get("_class_name")
    found = getattr(diffusers, name, None) if isinstance(name, str) and name.isidentifier() else None
    ours = (
        inspect.isclass(found)
        and issubclass(found, ModelMixin)
        and found.__module__.startswith("diffusers.models.transformers.")
    )
    if not ours:
        raise BadRequest(f"{path} holds a {name!r}; give the folder of a transformer of diffusers")
    return found  # type: ignore[return-value]  # just checked


def _check_config(config: Mapping[str, Any], source: Path, tensors: int) -> None:
    """Refuse sizes that cannot be, before a network of that size is even sketched."""
    if "quantization_config" in config:
        raise BadRequest(f"{source} is of a quantised model; give the model in float32, float16 or bfloat16")
    for key, value in _whole_numbers(config):
        if abs(value) > _LARGEST:
            raise BadRequest(f"{source}: {key} is {value}, more than {_LARGEST}; get a sound copy of it")
        if re.search(r"layer|depth|block", key) and value > tensors:
            raise BadRequest(f"{source}: {key} is {value}, but the file holds only {tensors} tensors")


def _whole_numbers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """All whole numbers in a config, with the entry they are in."""
    if isinstance(value, int) and not isinstance(value, bool):
        yield key, value
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _whole_numbers(entry, key or name)
    elif isinstance(value, list):
        for entry in value:
            yield from _whole_numbers(entry, key)


def _headers(path: Path) -> dict[str, dict[str, Any]]:
    """Names, shapes and dtypes of all weights, of one file or of several with an index."""
    if not exists(path / _INDEX_FILE):  # where there is one, diffusers follows it
        if exists(path / WEIGHTS_FILE):
            return read_header(path / WEIGHTS_FILE)
        raise BadRequest(f"{path} holds no weights: {WEIGHTS_FILE} is needed")
    places = _read_json(path / _INDEX_FILE, "index").get("weight_map")
    names = list(places.values()) if isinstance(places, dict) else []
    if not names or not all(isinstance(n, str) and Path(n).name == n and n.endswith(".safetensors") for n in names):
        raise BadRequest(f"{path / _INDEX_FILE} does not name safetensors files beside it; get a whole copy of it")
    header: dict[str, dict[str, Any]] = {}
    for name in sorted(set(names)):
        if not exists(path / name):
            raise BadRequest(f"{path} lacks {name}; get a whole copy of it")
        header |= read_header(path / name)
    return header


def _check_weights(sketch: ModelMixin, header: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Names and shapes in the file must be those of the model, and all in a dtype that is computed with."""
    wanted = {name: tuple(tensor.shape) for name, tensor in sketch.state_dict().items()}
    missing, foreign = sorted(wanted.keys() - header.keys()), sorted(header.keys() - wanted.keys())
    if missing or foreign:
        parts = [f"lacks {missing[0]} and {len(missing) - 1} more"] if missing else []
        parts += [f"has unknown {foreign[0]} and {len(foreign) - 1} more"] if foreign else []
        raise BadRequest(f"the weights in {path} do not fit their config: {'; '.join(parts)}")
    for name, shape in wanted.items():
        if tuple(header[name]["shape"]) != shape:
            found = tuple(header[name]["shape"])
            raise BadRequest(f"the weights in {path} do not fit their config: {name} is {found}, should be {shape}")
        if header[name]["dtype"] not in _DTYPES:
            raise BadRequest(f"{path}: {name} is {header[name]['dtype']}, should be one of {', '.join(_DTYPES)}")
    free = sum(buffer.numel() for name, buffer in sketch.named_buffers() if name not in wanted)
    if free > _FREE_BUFFERS:
        raise BadRequest(f"{path / 'config.json'} asks for tables of {free:,} numbers; get a sound copy of it")


def _dtype(header: Mapping[str, Mapping[str, Any]]) -> torch.dtype:
    """float32 unless all weights are of one smaller dtype."""
    found = {entry["dtype"] for entry in header.values()}
    return (
        {"F16": torch.float16, "BF16": torch.bfloat16}.get(found.pop(), torch.float32)
        if len(found) == 1
        else torch.float32
    )


def _read_history(path: Path, model: AdaptedTransformer) -> tuple[dict[str, list[int]] | None, dict[str, int] | None]:
    """What the model was cut from, checked against its depth; None twice for a model that was never cut."""
    if not exists(path / HISTORY_FILE):
        return None, None
    history = _read_json(path / HISTORY_FILE, "history of a cut model")
    kept, full, depth = history.get("kept"), history.get("full_depth"), model.stack_depths()
    if not isinstance(kept, dict) or not isinstance(full, dict) or not history_fits(kept, full, depth):
        raise BadRequest(f"{path / HISTORY_FILE} does not fit a model of {depth}; delete it or get a whole copy")
    return kept, full


def _read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object; BadRequest if there is none."""
    if not exists(path):
        raise BadRequest(f"{path} is missing; give a folder with the {what}")
    document = read_object(path, _JSON_LIMIT)
    if document is None:
        raise BadRequest(f"{path} is not the {what}; get a whole copy of it")
    return document
