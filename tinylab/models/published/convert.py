"""From a published checkpoint to a model folder: recognised by its header, strict, whole or not at all."""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tinylab
from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.tensor_file import read_header
from tinylab.models.published.published import Hints, Published, recognise
from tinylab.models.published.published_shapes import plain_names
from tinylab.models.published.unpickle import GROUPS

__all__ = ["ENDINGS", "Converted", "convert"]

ENDINGS = (".safetensors", ".pt", ".pth", ".ckpt")
_SIZE_LIMIT = 64 * 2**30  # bytes
_NOTED: dict[str, type] = {
    **{name: str for name in ("family", "path")},
    **{name: int for name in ("num_heads", "decoder_num_heads", "patch_size", "vae_stride")},
    **{name: int for name in ("num_sampling_steps", "diffusion_batch_mul")},
    "clip_value": float,
}
_CHOICES = ("auto", *GROUPS)


@dataclass(frozen=True)
class Converted:
    """What became of a checkpoint.

    Attributes:
        weights: which of its weights were taken: `plain`, or the name of the entry.
        notes: what was guessed or left out; one line each.
    """

    folder: Path
    family: str
    size: str | None
    depth: dict[str, int]
    parameters: int
    weights: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """A checkpoint made ready: float32 safetensors with plain names, and what else is known of it."""

    path: Path
    weights: str
    hints: Hints
    notes: tuple[str, ...]


def convert(source: Path, out: Path, *, weights: str = "auto", hints: Hints | None = None) -> Converted:
    """Read a published DiT, SiT, MAR or a shallow one, and write it to the model folder `out`.

    Pickles (.pt, .pth, .ckpt) are read by a process of their own, which runs nothing that is in them.

    Args:
        weights: `ema`, `model` or `plain`; `auto` takes the first of them that is there.
        hints: what the tensors do not tell; wins over what the file says of itself.

    Raises:
        BadRequest: foreign, damaged, or not the tensors of a whole model. Nothing is left behind.
    """
    _check_request(source, out, weights)
    with _workspace(out) as room:
        pickled = source.suffix.lower() != ".safetensors"
        ready = _from_pickle(source, room, weights) if pickled else _from_safetensors(source, room, weights)
        header = read_header(ready.path)
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        found = recognise(shapes, source, name=source.name, hints=(hints or Hints()) | ready.hints)
        notes = (*ready.notes, *found.notes)
        parameters = _save(found, ready, source, out, notes)
    depth = found.family.depth(found.config)
    return Converted(out, found.family.name, found.size, depth, parameters, ready.weights, notes)


def _check_request(source: Path, out: Path, weights: str) -> None:
    if weights not in _CHOICES:
        raise BadRequest(f"unknown weights {weights!r}; choose one of: {', '.join(_CHOICES)}")
    if not source.is_file():
        what = "is a folder; name the checkpoint in it" if source.is_dir() else "is not there; name a checkpoint file"
        raise BadRequest(f"{source} {what}")
    if source.suffix.lower() not in ENDINGS:
        raise BadRequest(f"{source} ends in none of {', '.join(ENDINGS)}, the checkpoints that can be read")
    if source.stat().st_size > _SIZE_LIMIT:
        raise BadRequest(
            f"{source} has more than {_SIZE_LIMIT // 2**30} GiB, more than any model here; take its weights alone"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadRequest(f"{out} is in use; choose another folder for --out, or delete it first")


@contextlib.contextmanager
def _workspace(out: Path) -> Iterator[Path]:
    """A temporary folder on the disk of `out`; it is gone afterwards, and no folder above `out` was made for it."""
    above = next(folder for folder in out.absolute().parents if folder.exists())
    try:
        room = tempfile.TemporaryDirectory(dir=above, prefix=".tinylab-convert-")
    except OSError as error:
        raise BadRequest(f"cannot write to {out}: {error.strerror}; choose another folder for --out") from None
    with room as name, atomic.disk_errors("free some space, or give another --out"):
        yield Path(name)


def _from_safetensors(source: Path, room: Path, weights: str) -> _Source:
    """The file itself if it is ready as it is, else a float32 copy with plain names."""
    if weights not in ("auto", "plain"):
        raise BadRequest(f"{source} holds one state dict, as safetensors do; leave out --weights {weights}")
    header = read_header(source)
    names = plain_names(header)
    for name, entry in header.items():
        if entry["dtype"] not in ("F16", "BF16", "F32", "F64"):
            shown = name.encode("unicode_escape").decode()[:80]
            raise BadRequest(f"{source}: {shown} is {entry['dtype']}; weights are F16, BF16, F32 or F64")
    hints = _own_hints(source)
    if all(old == name and header[old]["dtype"] == "F32" for name, old in names.items()) and len(names) == len(header):
        return _Source(source, "plain", hints, ())
    from safetensors import safe_open

    from tinylab.models.published.float_file import write_float32

    narrowed = any(entry["dtype"] == "F64" for entry in header.values())
    with safe_open(source, "pt") as file:
        shapes = {name: tuple(header[old]["shape"]) for name, old in names.items()}
        write_float32(shapes, lambda name: file.get_tensor(names[name]), room / "weights.safetensors", source)
    notes = _reading_notes(len(header) - len(names), narrowed)
    return _Source(room / "weights.safetensors", "plain", hints, notes)


def _own_hints(source: Path) -> Hints:
    """What `tinylab export` noted in the file for the way back."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(source, "pt") as file:
            noted = json.loads((file.metadata() or {}).get("tinylab", "{}"))
        values = {name: noted[name] for name, kind in _NOTED.items() if type(noted.get(name)) is kind}
        return Hints(**values, kept=noted.get("kept"), full_depth=noted.get("full_depth"))
    except SafetensorError as error:
        raise BadRequest(f"{source} is damaged ({error}); get a whole copy of it") from None
    except (ValueError, AttributeError, RecursionError):
        raise BadRequest(f"{source}: its own note, 'tinylab', is damaged; get a whole copy of it") from None


def _from_pickle(source: Path, room: Path, weights: str) -> _Source:
    """Weights that a process of its own took out of a pickle."""
    with source.open("rb") as file:
        start = file.read(4)
    if start != b"PK\x03\x04":
        old = start[:1] == b"\x80"
        kind = (
            "is a pickle of the form that torch wrote before 1.6" if old else "is no checkpoint that torch.save wrote"
        )
        remedy = "load it with a torch you trust it to and save it again" if old else "get a whole copy of it"
        raise BadRequest(f"{source} {kind}; {remedy}")
    target = room / "weights.safetensors"
    package = str(Path(tinylab.__file__).parent.parent)
    command = [sys.executable, "-P", "-m", "tinylab.models.published.unpickle", str(source), str(target), weights]
    environment = os.environ | {"PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        why = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        raise BadRequest(
            f"{source} could not be read: its reader ended with {why}; it is damaged or was made to harm"
        ) from None
    if "errno" in report:
        raise OSError(report["errno"], report["error"], str(target))
    if "error" in report:
        raise BadRequest(report["error"])
    notes = list(_reading_notes(report["left_out"], report["narrowed"]))
    if report["others"]:
        shown = ", ".join(name or "plain" for name in report["others"])
        notes.insert(0, f"took the weights under {report['weights']!r}; there are others ({shown}): see --weights")
    return _Source(target, report["weights"], _training_hints(report["settings"]), tuple(notes))


def _training_hints(settings: dict[str, Any]) -> Hints:
    """What the settings of a training say of the model."""
    model = settings.get("model", "").lower()
    family = next((family for family in ("dit", "sit", "mar") if model.startswith((family, f"tiny{family}"))), None)
    path = settings.get("path_type", "").lower() if family == "sit" else None
    masked: dict[str, Any] = {}
    if family == "mar":
        masked = {name: settings.get(name) for name in ("patch_size", "vae_stride", "diffusion_batch_mul")}
        steps = settings.get("num_sampling_steps", "")  # text, as published
        masked["num_sampling_steps"] = int(steps) if re.fullmatch("[0-9]{1,9}", steps) else None
    return Hints(family=family, path=path or None, **masked)


def _reading_notes(left_out: int, narrowed: bool) -> tuple[str, ...]:
    notes = []
    if left_out:
        notes.append(f"left out {left_out} logits of a depth search; the weights are of the uncut model")
    if narrowed:
        notes.append("float64 weights were rounded to float32")
    return tuple(notes)


def _save(found: Published, ready: _Source, source: Path, out: Path, notes: tuple[str, ...]) -> int:
    """Write the model folder; the number of parameters."""
    from tinylab.diffusion.flow import PATHS
    from tinylab.models.load import load_weights, save_model, sketch

    path = found.config.get("path", "linear")
    if path not in PATHS:
        raise BadRequest(f"{source} says that its path is {path!r}, not one of: {', '.join(PATHS)}")
    model = sketch(found.family, found.config)
    load_weights(model, ready.path)
    save_model(model, out, card=_card(found, ready, source, notes))
    return sum(tensor.numel() for tensor in model.state_dict().values())


def _card(found: Published, ready: _Source, source: Path, notes: tuple[str, ...]) -> str:
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = "\n".join(f"| {key} | {value} |" for key, value in found.config.items())
    remarks = "".join(f"- {note}\n" for note in notes)
    return f"""---
library_name: tinylab
tags: [tinylab, {found.family.name}]
---
# {found.size or found.family.class_name}

Converted from the published checkpoint `{_plain(source.name)}`, weights: {ready.weights}. The licence is that of the
original weights.

SHA-256 of that file: `{digest}`

{remarks}
| setting | value |
|---|---|
{rows}
"""


def _plain(name: str) -> str:
    return name.encode("unicode_escape").decode().replace("`", "'")[:200]
