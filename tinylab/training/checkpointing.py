"""Atomic, verified checkpoints: a crash at any moment leaves the last good one in place. No pickles."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tinylab.errors import Failure
from tinylab.files import atomic
from tinylab.training.sharding import shard_like, whole

__all__ = [
    "Checkpoint",
    "gathered",
    "latest_checkpoint",
    "optimizer_tensors",
    "restore_optimizer",
    "save_checkpoint",
    "tidy",
]

_TENSORS, _MANIFEST = "state.safetensors", "MANIFEST.json"


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` optimizer steps, tensors named `part.name`."""

    step: int
    tensors: dict[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors below `name.`, without that prefix."""
        return {key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{name}.")}


def save_checkpoint(folder: Path, step: int, parts: Mapping[str, Mapping[str, Tensor]]) -> Path:
    """Write `folder/step-…` whole or not at all, then drop all but the two newest."""
    target = folder / f"step-{step:09d}"
    tensors = {
        f"{part}.{key}": value.detach().cpu().contiguous()
        for part, state in parts.items()
        for key, value in state.items()
    }
    with atomic.new_folder(target) as temporary:
        save_file(tensors, temporary / _TENSORS)
        (temporary / _TENSORS).chmod(0o644)
        manifest = {"step": step, "sha256": _digest(temporary / _TENSORS)}
        (temporary / _MANIFEST).write_text(json.dumps(manifest))
    tidy(folder, step)
    return target


def tidy(folder: Path, step: int) -> None:
    """Drop all but the two newest up to `step`: older ones, and what lies ahead, which was found to be damaged."""
    there = _folders(folder)
    good = [path for path in there if path.name <= f"step-{step:09d}"][:2]
    leftovers = folder.glob(".step-*")  # of saves that were killed
    for old in [*(path for path in there if path not in good), *leftovers]:
        atomic.remove_folder(old)


def gathered(parts: Mapping[str, Mapping[str, Tensor]], *, keep: bool) -> dict[str, dict[str, Tensor]]:
    """The parts with whole tensors on the CPU, where some are spread over processes, one after the other.

    All processes must call this; those that do not `keep` them get nothing.
    """
    found: dict[str, dict[str, Tensor]] = {part: {} for part in parts}
    for part, state in parts.items():
        for key, value in state.items():
            tensor = whole(value.detach())
            if keep:
                found[part][key] = tensor.cpu()
    return found


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose checksum holds; None when there is none; Failure when all are damaged."""
    candidates = _folders(folder)
    for candidate in candidates:
        try:
            manifest = json.loads((candidate / _MANIFEST).read_text())
            named = int(candidate.name.removeprefix("step-"))
            if manifest["step"] == named and manifest["sha256"] == _digest(candidate / _TENSORS):
                return Checkpoint(named, load_file(candidate / _TENSORS))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            continue
    if candidates:
        raise Failure(f"every checkpoint in {folder} is damaged; delete that folder to start from step 0")
    return None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's per-parameter state as flat tensors, `index.name`."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo `optimizer_tensors`, spread as the parameters are; learning rates stay as they are, the schedule sets them
    every step."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = shard_like(value, parameters[int(index)])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if re.fullmatch(r"step-\d{9}", p.name)), reverse=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
