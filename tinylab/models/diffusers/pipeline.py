"""What a DiTPipeline folder holds around the transformer, and what a stock pipeline does otherwise than Tinylab."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
from diffusers import DDIMScheduler, DDPMScheduler

from tinylab.errors import BadRequest
from tinylab.models.diffusers.folder import PIPELINE_FILE

__all__ = ["SAMPLER_FOLDER", "check_vae", "pipeline_notes", "write_pipeline"]

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
