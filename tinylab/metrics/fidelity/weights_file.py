"""Reading a file of weights that a stranger may have made: nothing in it is run."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tinylab.errors import BadRequest
from tinylab.models.unpickle import check_archive
from tinylab.tensor_file import read_header

__all__ = ["read_weights"]

_MOST_BYTES = 2**30  # Inception v3 takes 95 MB
_DTYPES = (torch.float16, torch.float32, torch.float64, torch.int64)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors, by name, in a safetensors file or a pickled state dict (.pth, .pt).

    Raises:
        BadRequest: not there, too large, damaged, or a pickle that asks for anything but tensors.
    """
    if not path.is_file():
        what = "is a folder; name the file in it" if path.is_dir() else "is not there"
        raise BadRequest(f"--weights: {path} {what}")
    if path.stat().st_size > _MOST_BYTES:
        raise BadRequest(f"--weights: {path} has more than {_MOST_BYTES // 2**20:,} MiB; that is no Inception v3")
    found = _from_safetensors(path) if path.suffix.lower() == ".safetensors" else _from_pickle(path)
    if not isinstance(found, dict) or not found or not all(_is_plain(name, tensor) for name, tensor in found.items()):
        raise BadRequest(f"--weights: {path} holds more than named tensors; save the state dict alone")
    return dict(found)


def _from_safetensors(path: Path) -> dict[str, Tensor]:
    read_header(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise BadRequest(f"--weights: {path} is damaged ({error}); get a whole copy of it") from None


def _from_pickle(path: Path) -> Any:
    if zipfile.is_zipfile(path):  # older files are no zip
        check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise BadRequest(
            f"--weights: {path} is refused: it holds more than tensors, which could run code, or is damaged; "
            "take a safetensors file or the published one"
        ) from None
    except Exception as error:  # whatever a damaged pickle leads torch into
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BadRequest(f"--weights: {path} is damaged ({reason}); get a whole copy of it") from None


def _is_plain(name: Any, tensor: Any) -> bool:
    right = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.dtype in _DTYPES
    return isinstance(name, str) and right and tensor.layout == torch.strided
