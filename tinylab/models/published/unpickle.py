"""A process of its own that reads one pickled checkpoint and writes its weights as safetensors; no code in it runs.

    python -m tinylab.models.published.unpickle CHECKPOINT TARGET auto|ema|model|plain

Prints one JSON object: what was read, or `error`. Memory and time are limited in proportion to the file's size, by the
system, before the file is opened.
"""

import json
import math
import re
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.models.published.published_shapes import plain_names

__all__ = ["GROUPS", "check_archive", "main", "read_checkpoint"]

# `--weights` -> the entries of a checkpoint that hold such weights. `auto` tries them in this order.
GROUPS: Mapping[str, tuple[str, ...]] = {"ema": ("ema", "model_ema"), "model": ("model", "state_dict"), "plain": ("",)}
_SETTINGS = {
    **{"model": str, "path_type": str, "prediction": str},
    **{"patch_size": int, "vae_stride": int, "num_sampling_steps": str, "diffusion_batch_mul": int},
}
_SLACK = 256 * 2**20  # bytes of memory beyond two file sizes
_TENSORS_LIMIT = 100_000
_NUMBERS = ("float16", "bfloat16", "float32", "float64")


class Settings:
    """What stands for `argparse.Namespace` and paths in a checkpoint: holds values, does nothing."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts


def main(arguments: list[str]) -> int:
    """Read, write, report; the exit status is 0, or 2 with an `error`."""
    source, target, weights = arguments
    try:
        import torch

        torch.set_num_threads(1)
        _limit(Path(source).stat().st_size)
        report = read_checkpoint(Path(source), Path(target), weights)
    except BadRequest as error:
        report = {"error": str(error)}
    except MemoryError:
        report = {
            "error": f"{source} needs more memory than a checkpoint of its size can; it is damaged or was made to harm"
        }
    except OSError as error:  # the disk is full, say: for the caller to tell
        report = {"error": f"{error.strerror}", "errno": error.errno}
    print(json.dumps(report))
    return 2 if "error" in report else 0


def _limit(size: int) -> None:
    """Let this process have twice the file's size of memory on top of what it has, and time in proportion."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        memory = pages * resource.getpagesize() + 2 * size + _SLACK
        seconds = 60 + size // 2**22
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * size + _SLACK, 2 * size + _SLACK))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        raise BadRequest(
            "a pickled checkpoint is read only where the system can limit its memory, on Linux; "
            "convert it there, or get it as safetensors"
        ) from None


def read_checkpoint(source: Path, target: Path, weights: str) -> dict[str, Any]:
    """Write the chosen weights of `source` to `target`; the report says which, what else there was, and settings."""
    from tinylab.models.published.float_file import write_float32

    members = check_archive(source)
    checkpoint = _load(source)
    settings = _settings(checkpoint.get("args"))
    prediction = settings.pop("prediction", "velocity")
    if prediction != "velocity":
        raise BadRequest(f"{source} was trained to predict {prediction!r}; a SiT here predicts the velocity")
    group, state = _choose(checkpoint, weights, source)
    names = plain_names(state)
    tensors = {name: state[old] for name, old in names.items()}
    _check_tensors(tensors, members, source)
    write_float32({name: tuple(tensor.shape) for name, tensor in tensors.items()}, tensors.__getitem__, target, source)
    return {
        "weights": group or "plain",
        "others": [name for name in _groups(checkpoint) if name != group],
        "left_out": len(state) - len(names),
        "narrowed": any(str(tensor.dtype) == "torch.float64" for tensor in tensors.values()),
        "settings": settings,
    }


def check_archive(source: Path) -> Counter[int]:
    """Sizes of the members of a checkpoint, which must be a plain zip that is as large as what it holds.

    Raises:
        BadRequest: truncated, compressed, encrypted, or declaring more than the file has.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError):
        raise BadRequest(f"{source} is truncated or no checkpoint; get a whole copy of it") from None
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise BadRequest(
                f"{source} has compressed or encrypted parts, which torch.save never writes; it is refused"
            )
    if sum(member.file_size for member in members) > source.stat().st_size:
        raise BadRequest(f"{source} declares more data than it has; it is damaged or was made to harm")
    if not any(member.filename.endswith("/data.pkl") for member in members):
        raise BadRequest(f"{source} is a zip file but no checkpoint: it has no data.pkl")
    return Counter(member.file_size for member in members)


def _load(source: Path) -> dict[Any, Any]:
    """The unpickled checkpoint, its tensors mapped from the file; anything but plain data is refused."""
    import pickle

    import torch

    inert: list[Any] = [(Settings, name) for name in ("argparse.Namespace", "pathlib.PosixPath", "pathlib.WindowsPath")]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(inert):
            warnings.simplefilter("ignore")
            found = torch.load(str(source), map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]{1,80})", str(error))
        what = f"it asks for {named[1]}" if named else "it asks for more than tensors and settings"
        raise BadRequest(
            f"{source} is refused: {what}, which could run code; where it was made, save the state dict alone"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged pickle leads torch into
        if "allocate" in str(error):
            raise MemoryError from None
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BadRequest(f"{source} is damaged: {reason}; get a whole copy of it") from None
    if not isinstance(found, dict):
        raise BadRequest(f"{source} holds a {type(found).__name__}, not a state dict")
    return found


def _groups(checkpoint: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """The state dicts in a checkpoint by the entry they are in, `""` for the checkpoint itself."""
    import torch

    entries = {"": checkpoint, **{e: checkpoint.get(e) for entries in GROUPS.values() for e in entries if e}}
    states = {}
    for entry, value in entries.items():
        if isinstance(value, dict):
            state = {n: t for n, t in value.items() if isinstance(n, str) and isinstance(t, torch.Tensor)}
            if state:
                states[entry] = state
    return states


def _choose(checkpoint: Mapping[Any, Any], weights: str, source: Path) -> tuple[str, dict[str, Any]]:
    """The state dict that was asked for, and the entry it is in."""
    states = _groups(checkpoint)
    wanted = [entry for group in GROUPS if weights in ("auto", group) for entry in GROUPS[group]]
    for entry in wanted:
        if entry in states:
            if len(states[entry]) > _TENSORS_LIMIT:
                raise BadRequest(f"{source} has more than {_TENSORS_LIMIT:,} tensors, which no model here has")
            return entry, states[entry]
    there = [group for group, entries in GROUPS.items() if any(e in states for e in entries)]
    if not there:
        raise BadRequest(
            f"{source} holds no weights; a state dict, or one below 'ema', 'model' or 'state_dict' is needed"
        )
    raise BadRequest(f"{source} has no {weights!r} weights; it has: --weights {' or '.join(there)}")


def _check_tensors(tensors: Mapping[str, Any], members: Counter[int], source: Path) -> None:
    """Every tensor must be dense numbers that lie in the file in full; a shape alone costs nothing to declare."""
    import torch

    total = 0
    storages: dict[int, int] = {}
    for name, tensor in tensors.items():
        shown = name.encode("unicode_escape").decode()[:80]
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise BadRequest(f"{source}: {shown} is no dense tensor; save it dense")
        if str(tensor.dtype).removeprefix("torch.") not in _NUMBERS:
            kinds = ", ".join(_NUMBERS)
            raise BadRequest(f"{source}: {shown} is {str(tensor.dtype).removeprefix('torch.')}; weights are {kinds}")
        size = math.prod(tensor.shape) * tensor.element_size()
        storage = tensor.untyped_storage()
        if size > storage.nbytes():
            raise BadRequest(
                f"{source}: {shown} declares {tuple(tensor.shape)} but the file holds less; it was made to harm"
            )
        if storage.nbytes():
            storages[storage.data_ptr()] = storage.nbytes()
        total += size
    absent = Counter(storages.values()) - members
    if absent or total > source.stat().st_size:
        raise BadRequest(f"{source} declares more weights than it holds; it is damaged or was made to harm")


def _settings(found: object) -> dict[str, Any]:
    """Those settings of the training that say what the weights are, as far as they are of the right type."""
    values = vars(found) if isinstance(found, Settings) else found
    if not isinstance(values, dict):
        return {}
    return {n: values[n] for n, kind in _SETTINGS.items() if type(values.get(n)) is kind and len(str(values[n])) <= 40}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
