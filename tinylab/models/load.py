"""Loading and saving models: strict, safetensors only, checked before anything is allocated."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.tensor_file import check_tensors, read_header
from tinylab.models.base import Denoiser
from tinylab.models.catalog import ModelInfo, describe_model
from tinylab.models.diffusers.folder import is_diffusers
from tinylab.models.diffusers.layout import from_diffusers
from tinylab.models.families import WEIGHTS_FILE, Family
from tinylab.models.networks.reader import DigitReader
from tinylab.paths import assets_folder

__all__ = ["load_model", "load_reader", "model_class", "open_reader", "pick_device", "save_model", "sketch"]

_READER = "digits-reader"


def load_model(model: str | ModelInfo, device: str = "cpu") -> Denoiser:
    """A model in eval mode on `device` (see `pick_device`): what was described, or whatever `locate_model` understands.

    Raises:
        BadRequest: nothing there, damaged, foreign, or not the shapes that its config promises.
    """
    info = describe_model(model) if isinstance(model, str) else model
    try:
        loaded = sketch(info.family, info.config)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        name = info.family.class_name
        raise BadRequest(
            f"{info.path / 'config.json'} does not describe a {name}: {' '.join(str(error).split())}"
        ) from None
    if is_diffusers(info.path):
        _, state = from_diffusers(info.path)
        _check_finite(state, info.path)
        loaded.load_state_dict(state, strict=True, assign=True)
    else:
        load_weights(loaded, info.path / WEIGHTS_FILE)
    return loaded.eval().to(pick_device(device))


def model_class(family: Family) -> type[Denoiser]:
    """The class of a family."""
    module, _, attribute = family.target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def sketch(family: Family, config: Mapping[str, Any]) -> Denoiser:
    """A model of the family without memory for its weights (on the meta device)."""
    settings = {key: value for key, value in config.items() if not key.startswith("_")}
    with torch.device("meta"):
        return model_class(family)(**settings)


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill `model` (on the meta device) from a safetensors file; names and shapes must agree exactly."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    check_tensors(wanted, read_header(path), path)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise BadRequest(f"{path} is damaged ({error}); get a whole copy of it") from None
    _check_finite(tensors, path)
    model.load_state_dict(tensors, strict=True, assign=True)


def _check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise BadRequest(f"{path} holds values that are not numbers in {name}; the training that made it diverged")


def save_model(
    model: ModelMixin | Denoiser, folder: Path, *, card: str, pictures: Mapping[str, bytes] | None = None
) -> None:
    """Write a model folder (config, safetensors, model card, pictures by name) whole or not at all."""
    with atomic.new_folder(folder) as temporary:
        model.save_pretrained(temporary, safe_serialization=True)
        (temporary / WEIGHTS_FILE).chmod(0o644)
        (temporary / "README.md").write_text(card)
        for name, data in (pictures or {}).items():
            (temporary / name).write_bytes(data)


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu` or `cuda` to a device; BadRequest for a GPU that is not there."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise BadRequest("--device cuda: torch sees no GPU here; use --device cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def load_reader(model: Denoiser) -> DigitReader | None:
    """The shipped classifier that can judge `model`'s samples; None if they are not digits or it is not there."""
    there = (assets_folder() / _READER / WEIGHTS_FILE).is_file()
    return open_reader() if there and model.sample_shape == (1, 8, 8) and model.num_classes == 10 else None


def open_reader(folder: Path | None = None) -> DigitReader:
    """The shipped classifier of digits, or the one in another folder; BadRequest if there is none."""
    folder = folder or assets_folder() / _READER
    if not (folder / WEIGHTS_FILE).is_file():
        raise BadRequest(f"{folder} holds no digit reader ({WEIGHTS_FILE}); get a whole copy of the assets")
    with torch.device("meta"):
        reader = DigitReader(**{k: v for k, v in DigitReader.load_config(folder).items() if not k.startswith("_")})
    load_weights(reader, folder / WEIGHTS_FILE)
    return reader.eval()
