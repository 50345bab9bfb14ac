"""Reading golden files: inputs, random weights, and the outputs that published code gave for them."""

import inspect
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tinylab.errors import BadRequest
from tinylab.files.tensor_file import read_header
from tinylab.models.base import Denoiser
from tinylab.models.families import FAMILIES
from tinylab.models.load import model_class, sketch
from tinylab.paths import exists

__all__ = ["Golden", "build_model", "gradients", "guidance_scale", "read_golden"]

# Arguments of the published classes that change nothing in eval mode.
_TRAINING_ONLY = ("class_dropout_prob", "mask_ratio_min", "label_drop_prob", "attn_dropout", "proj_dropout")


@dataclass(frozen=True)
class Golden:
    """One file.

    Attributes:
        dtypes: the dtype of every tensor, as safetensors spells it.
        metadata: what the file says of itself, as text.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    dtypes: Mapping[str, str]
    metadata: Mapping[str, str]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors below `name.`, without that prefix."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}

    def input(self, name: str) -> Tensor:
        """An input; BadRequest if the file lacks it."""
        if f"input.{name}" not in self.tensors:
            raise BadRequest(f"{self.path} lacks input.{name}; get a whole copy of it")
        return self.tensors[f"input.{name}"]

    def note(self, name: str) -> Any:
        """A piece of metadata, read as JSON; BadRequest if it is missing or damaged."""
        try:
            return json.loads(self.metadata[name])
        except (KeyError, ValueError, RecursionError):
            raise BadRequest(f"{self.path}: its metadata has no readable {name!r}; get a whole copy of it") from None

    def unknown(self, name: str) -> BadRequest:
        """The complaint about an output that nothing here computes."""
        return BadRequest(f"{self.path}: nothing here computes output.{name}; a newer Tinylab may")


def read_golden(path: Path) -> Golden:
    """Read a whole file; BadRequest if it is missing, damaged or holds no outputs."""
    if not exists(path) or path.is_dir():
        what = "is a folder; name a golden file in it" if exists(path) else "is not there; name a golden file"
        raise BadRequest(f"{path} {what}")
    try:
        header = read_header(path)
    except OSError as error:
        raise BadRequest(f"cannot read {path}: {error.strerror}; give the path of a golden file") from None
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise BadRequest(f"{path} is damaged ({error}); get a whole copy of it") from None
    if not any(name.startswith("output.") for name in tensors):
        raise BadRequest(f"{path} holds no output.* tensors, so there is nothing to verify")
    return Golden(path, tensors, {name: entry["dtype"] for name, entry in header.items()}, metadata)


def build_model(golden: Golden, family: str, *, part: str = "model", **changes: int) -> Denoiser:
    """The model of a file, with the weights below `part.`, in eval mode; `changes` go before the file's config."""
    row = FAMILIES[family]
    given = golden.note("config")
    if not isinstance(given, dict):
        raise BadRequest(f"{golden.path}: its config is no JSON object; get a whole copy of it")
    known = inspect.signature(model_class(row).__init__).parameters
    defaults = {name: p.default for name, p in known.items() if p.default is not inspect.Parameter.empty}
    config = {**defaults, **{name: value for name, value in given.items() if name not in _TRAINING_ONLY}, **changes}
    foreign = sorted(config.keys() - defaults.keys())
    if foreign:
        raise BadRequest(f"{golden.path}: its config has an unknown entry {foreign[0]!r}")
    row.check(config, golden.path)
    state = golden.part(part)
    row.check_lengths(config, state, golden.path)
    try:
        model = sketch(row, config)
        model.load_state_dict(state, strict=True, assign=True)
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        raise BadRequest(f"{golden.path}: {part}.* does not fit its config: {' '.join(str(error).split())}") from None
    return model.eval().requires_grad_(True)


def gradients(
    golden: Golden, model: Denoiser, loss: Tensor, *, prefix: str = "grad.", skip: Collection[str] = ()
) -> dict[str, Tensor]:
    """The gradient of a scalar for every wanted output `PREFIX<parameter>` that is not in `skip`."""
    names = [name for name in golden.part("output") if name.startswith(prefix) and name not in skip]
    parameters = dict(model.named_parameters())
    for name in names:
        if name.removeprefix(prefix) not in parameters:
            raise golden.unknown(name)
    wanted = [parameters[name.removeprefix(prefix)] for name in names]
    found = torch.autograd.grad(loss, wanted, retain_graph=True, materialize_grads=True) if wanted else ()
    return dict(zip(names, found, strict=True))


def guidance_scale(golden: Golden, default: float = 4.0) -> float:
    """The scale of a guided forward pass, which the file's note may tell."""
    found = re.search(r"\bscale\s*[=:]?\s*(\d+(?:\.\d+)?)", golden.metadata.get("note", ""))
    return float(found[1]) if found else default
