"""A DiT from and to the layout of the diffusers library, without loss where that library's class can say the same."""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tinylab.data.classes import class_names, numbered_names
from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.models.base import Denoiser
from tinylab.models.diffusers.folder import HISTORY_FILE, PIPELINE_FILE, describe_diffusers, tensor_files
from tinylab.models.diffusers.names import CLASS_NAMES, Place, places, their_config, their_shapes
from tinylab.models.families import WEIGHTS_FILE
from tinylab.models.networks.layers import sincos_position_embedding
from tinylab.models.published.float_file import write_float32

__all__ = ["SAMPLER_FOLDER", "check_vae", "from_diffusers", "pipeline_notes", "to_diffusers", "write_pipeline"]

_SAME_POSITIONS = 1e-5  # tables of positions that were computed in another order differ by less


def from_diffusers(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and float32 state dict of our DiT from a DiTPipeline folder or its bare transformer folder.

    Raises:
        BadRequest: damaged, foreign, not the tensors that its config promises, or with embedders that differ from
            block to block, which our DiT does not have.
    """
    found = describe_diffusers(folder)
    config, transformer = found["config"], found["folder"]
    grid = config["input_size"] // config["patch_size"]
    state = {"pos_embed": sincos_position_embedding(config["hidden_size"], grid).unsqueeze(0)}
    with contextlib.ExitStack() as stack:
        try:
            files = [stack.enter_context(safe_open(file, "pt")) for file in tensor_files(transformer)]
            where = {name: file for file in files for name in file.keys()}  # noqa: SIM118  # a safetensors file

            def fetch(name: str) -> Tensor:
                return where[name].get_tensor(name)

            for name, place in places(config["depth"]).items():
                state[name] = _gather(place, fetch, transformer)
        except SafetensorError as error:
            raise BadRequest(f"{transformer} is damaged ({error}); get a whole copy of it") from None
    return config, state


def _gather(place: Place, fetch: Callable[[str], Tensor], source: Path) -> Tensor:
    """One tensor of ours; copies are compared one after the other, so that only two are ever in memory."""
    first = fetch(place.names[0])
    if place.copies:
        for block, name in enumerate(place.names[1:], start=1):
            if not torch.equal(first, fetch(name)):
                raise BadRequest(
                    f"{source}: block {block} has another {name.split('.', 4)[-1]} than block 0; "
                    "our DiT has one embedder for all blocks and cannot hold this model"
                )
    parts = [first] if place.copies else [first, *map(fetch, place.names[1:])]
    tensor = torch.cat([part.float() for part in parts]) if len(parts) > 1 else first.float()
    if not torch.isfinite(tensor).all():
        raise BadRequest(f"{source} holds values that are not numbers in {place.names[0]}; get a sound copy of it")
    return tensor


def to_diffusers(model: Denoiser, folder: Path, *, vae: Any = None, labels: Sequence[str] | None = None) -> list[str]:
    """Write a DiTPipeline folder that stock diffusers loads; notes on what a stock pipeline does otherwise.

    Args:
        vae: the AutoencoderKL of the model's latents; without one the pipeline must be given it when it is loaded.
        labels: names of the classes, ImageNet's for a thousand classes and numbers otherwise.

    Raises:
        BadRequest: another family than DiT, or a network that the class of diffusers cannot express.
    """
    config = _expressible(model)
    check_vae(vae, config["in_channels"])
    names = _names(config["num_classes"]) if labels is None else labels
    if len(names) != config["num_classes"]:
        raise BadRequest(f"{len(names)} labels are no names for {config['num_classes']} classes; give one each")
    theirs = their_config(config)
    notes = pipeline_notes(config, has_vae=vae is not None)
    with atomic.new_folder(folder) as temporary:
        transformer = temporary / "transformer"
        transformer.mkdir()
        document = {"_class_name": CLASS_NAMES[0], "_diffusers_version": diffusers.__version__, **theirs}
        _write_json(transformer / "config.json", document)
        if config.get("kept"):
            history = {key: {"transformer_blocks": config[key]["blocks"]} for key in ("kept", "full_depth")}
            _write_json(transformer / HISTORY_FILE, history)
        fetch = _scatter(model.state_dict(), places(config["depth"]))
        write_float32(their_shapes(config), fetch, transformer / WEIGHTS_FILE, folder)
        write_pipeline(temporary, vae, names, notes, config)
    return notes


def _names(count: int) -> Sequence[str]:
    return class_names("imagenet") if count == len(class_names("imagenet")) else numbered_names(count)


def _expressible(model: Denoiser) -> Mapping[str, Any]:
    """The model's config; BadRequest for what diffusers has no pipeline for."""
    name = type(model).__name__
    if model.family == "sit":
        raise BadRequest(
            "diffusers' DiT pipeline would take the velocity that a SiT predicts for noise; use --to published"
        )
    if model.family != "dit":
        raise BadRequest(f"only a DiT has a pipeline in diffusers, this is a {name}; use --to tinylab")
    config = dict(model.config)
    grid = config["input_size"] // config["patch_size"]
    fixed = sincos_position_embedding(config["hidden_size"], grid)
    positions = model.state_dict()["pos_embed"].cpu().float()[0]
    if not torch.allclose(positions, fixed, rtol=0, atol=_SAME_POSITIONS):
        raise BadRequest("diffusers computes the positions itself, and this model has others; use --to published")
    return config


def _scatter(state: Mapping[str, Tensor], table: Mapping[str, Place]) -> Callable[[str], Tensor]:
    """A function that gives diffusers' tensors by name."""
    where = {name: (ours, i) for ours, place in table.items() for i, name in enumerate(place.names)}

    def fetch(name: str) -> Tensor:
        ours, index = where[name]
        place, tensor = table[ours], state[ours].cpu()
        return tensor if place.copies else tensor.chunk(len(place.names))[index]

    return fetch


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")


SAMPLER_FOLDER = "published_sampler"  # beside `scheduler`; no pipeline loads it by itself
_NULL_CLASS = 1000  # written into DiTPipeline
_CHAIN: dict[str, Any] = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "clip_sample": False}


def check_vae(vae: Any, channels: int) -> None:
    """BadRequest for an autoencoder of other latents."""
    if vae is not None and vae.config.latent_channels != channels:
        found = vae.config.latent_channels
        raise BadRequest(f"the VAE has latents of {found} channels, the model draws {channels}; give the VAE it is for")


def write_pipeline(
    folder: Path, vae: Any, labels: Sequence[str], notes: Sequence[str], config: Mapping[str, Any]
) -> None:
    """Write the model index, the schedulers, the VAE if there is one, and a card."""
    index = {
        "_class_name": "DiTPipeline",
        "_diffusers_version": diffusers.__version__,
        "id2label": {str(number): name for number, name in enumerate(labels)},
        "scheduler": ["diffusers", "DDIMScheduler"],
        "transformer": ["diffusers", "DiTTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"] if vae is not None else [None, None],
    }
    (folder / PIPELINE_FILE).write_text(json.dumps(index, indent=2) + "\n")
    # Times 0, T/n, 2T/n, …: the ones that its step arithmetic assumes, and nearest to the published ones.
    steps: Any = DDIMScheduler(timestep_spacing="leading", **_CHAIN)
    steps.save_pretrained(folder / "scheduler")
    sampler: Any = DDPMScheduler(variance_type="learned_range", timestep_spacing="linspace", **_CHAIN)
    sampler.save_pretrained(folder / SAMPLER_FOLDER)
    if vae is not None:
        vae.save_pretrained(folder / "vae", safe_serialization=True)
    (folder / "README.md").write_text(_card(notes, config))


def pipeline_notes(config: Mapping[str, Any], *, has_vae: bool) -> list[str]:
    """What a stock pipeline does otherwise than Tinylab and the published code, one line each."""
    notes = []
    if not has_vae:
        notes.append("there is no VAE inside: load it with DiTPipeline.from_pretrained(folder, vae=...)")
    notes.append("diffusers spreads the time frequencies a little further apart (downscale_freq_shift 1, not 0)")
    if config["num_classes"] != _NULL_CLASS:
        notes.append(
            f"DiTPipeline takes class {_NULL_CLASS} for the null class, here it is {config['num_classes']}: "
            "call it with guidance_scale=1, or guide by hand"
        )
    if config["in_channels"] > 3:
        notes.append(f"DiTPipeline guides all {config['in_channels']} channels, the published code the first 3")
    if config["learn_sigma"]:
        notes.append(
            "DiTPipeline drops the learned variance, so its scheduler is DDIM; the published DDPM sampler, "
            f"for use with the transformer itself, is in {SAMPLER_FOLDER}/"
        )
    notes.append("in train mode every block of diffusers' DiT drops labels by itself and has an embedder of its own")
    return notes


def _card(notes: Sequence[str], config: Mapping[str, Any]) -> str:
    kept = ""
    if config.get("kept"):
        indices = ", ".join(map(str, config["kept"]["blocks"]))
        kept = f" It was cut from {config['full_depth']['blocks']} blocks and keeps {indices}."
    remarks = "\n".join(f"- {note}" for note in notes)
    return f"""---
library_name: diffusers
tags: [tinylab, dit]
---
# A DiT of {config["depth"]} blocks for diffusers

Written by Tinylab.{kept} What stock diffusers does otherwise:

{remarks}
"""
