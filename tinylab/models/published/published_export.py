"""Writing a model as the original code saves it, and as a model folder."""

import json
import os
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.models.base import Denoiser
from tinylab.models.families import FAMILIES, Family
from tinylab.models.load import save_model
from tinylab.models.sizes import HEADS, size_name

__all__ = ["export_folder", "export_published"]

_PICKLES = (".pt", ".pth")
# What a state dict does not tell, noted in safetensors' metadata for `tinylab convert`.
_NOTED = (
    *("num_heads", "decoder_num_heads", "patch_size", "vae_stride", "path"),
    *("num_sampling_steps", "diffusion_batch_mul", "clip_value"),
    *("kept", "full_depth"),
)
# What `tinylab convert` assumes where nothing tells otherwise: entry -> value. The first two have a flag.
_ASSUMED = {"patch_size": 1, "vae_stride": 16, "num_sampling_steps": 100, "diffusion_batch_mul": 4, "clip_value": None}


def export_published(model: Denoiser, path: Path) -> list[str]:
    """Write the plain state dict of `model` to `path`, as safetensors, or as torch.save does for .pt and .pth.

    Returns:
        what whoever reads it back has to know, one line each.
    """
    if path.suffix.lower() not in (*_PICKLES, ".safetensors"):
        raise BadRequest(f"{path} should end in .safetensors, .pt or .pth, the files that the original code reads")
    _known(model)
    state = OrderedDict((name, tensor.detach().cpu().contiguous()) for name, tensor in model.state_dict().items())
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    try:
        if path.suffix.lower() in _PICKLES:
            torch.save(state, name)
        else:
            save_file(state, name, metadata={"format": "pt", "tinylab": json.dumps(_noted(model))})
        atomic.flush(Path(name))
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return _notes(model, path)


def _known(model: Denoiser) -> Family:
    """The row of the model's family; BadRequest for a model of someone else's class."""
    if model.family not in FAMILIES:
        known = ", ".join(family.class_name for family in FAMILIES.values())
        raise BadRequest(f"a model of the family {model.family!r} has no layout of this kind; {known} have")
    return FAMILIES[model.family]


def _noted(model: Denoiser) -> dict[str, Any]:
    config = dict(model.config)
    if "num_sampling_steps" in config:
        steps, heads = int(config["num_sampling_steps"]), config["encoder_num_heads"]
        config |= {"num_sampling_steps": steps, "num_heads": heads}
    return {"family": model.family, **{key: config[key] for key in _NOTED if config.get(key) is not None}}


def _notes(model: Denoiser, path: Path) -> list[str]:
    """What the file cannot tell its reader."""
    family, config = _known(model), dict(model.config)
    notes = []
    if size_name(family.name, config) is None:
        depth = " + ".join(str(count) for count in model.stack_depths().values())
        notes.append(
            f"the original code has no model of this size: build one of {depth} blocks with this config to load it"
        )
    return notes + (_left_out(family, config) if path.suffix.lower() in _PICKLES else [])


def _left_out(family: Family, config: dict[str, Any]) -> list[str]:
    """What a pickle of the state dict alone does not tell, and the options that tell it on the way back."""
    heads, width = config[family.heads], config[family.width]
    options = [f"--family {family.name}"] if family.name == "sit" else []
    options += [f"--num-heads {heads}"] if HEADS.get(width) != heads else []
    options += [f"--path {config['path']}"] if config.get("path", "linear") != "linear" else []
    lost = ["which blocks were kept"] if config.get("kept") else []
    if family.name == "mar":
        odd = {name: config[name] for name, value in _ASSUMED.items() if str(config[name]) != str(value)}
        wide, others = config["decoder_embed_dim"], config["decoder_num_heads"]
        if others != (HEADS.get(wide) if HEADS.get(width) == heads else heads):
            odd["decoder_num_heads"] = others
        copies = odd.pop("diffusion_batch_mul", None)  # only training asks for it
        lost += [f"diffusion_batch_mul {copies}"] if copies else []
        options += [f"--{name.replace('_', '-')} {value}" for name, value in odd.items()]
    notes = [f"the state dict alone does not tell all: read it back with {' '.join(options)}"] if options else []
    return notes + ([f"not in it: {', '.join(lost)}; a .safetensors export notes that"] if lost else [])


def export_folder(model: Denoiser, out: Path) -> list[str]:
    """Write `model` as a model folder of Tinylab's own."""
    family = _known(model)
    depth = " + ".join(f"{count} {stack}" for stack, count in model.stack_depths().items())
    name = size_name(family.name, dict(model.config)) or family.class_name
    save_model(model, out, card=f"---\nlibrary_name: tinylab\ntags: [tinylab, {family.name}]\n---\n# {name}, {depth}\n")
    return []
