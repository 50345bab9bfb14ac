"""The autoencoder between pictures and the latents that most published diffusion transformers work on."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.files.tensor_file import read_header
from tinylab.models.autoencoder.catalog import AutoencoderInfo, describe_autoencoder
from tinylab.models.families import WEIGHTS_FILE
from tinylab.models.load import pick_device

__all__ = ["Autoencoder", "load_autoencoder"]

# What older versions of diffusers called the parts of an attention layer; published files still do.
_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
_READABLE = ("F32", "F16", "BF16")


class Autoencoder:
    """A frozen AutoencoderKL with its scaling: pictures in [-1, 1] to latents of unit size and back, in float32."""

    def __init__(self, network: Any, info: AutoencoderInfo, fingerprint: str) -> None:
        self.network, self.info, self.fingerprint = network.eval().requires_grad_(False), info, fingerprint
        self._shift = info.shift_factor or 0.0

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device

    @torch.no_grad()
    def encode(self, pictures: Tensor, noise: Tensor | None = None) -> Tensor:
        """Latents (N, C, h, w) of pictures (N, 3, H, W) in [-1, 1].

        Args:
            noise: standard Gaussian (N, C, h, w) that picks a sample of the posterior; its mean without.
        """
        posterior = self.network.encode(pictures.to(self.device), return_dict=False)[0]
        z = posterior.mean if noise is None else posterior.mean + posterior.std * noise.to(self.device)
        return (z - self._shift) * self.info.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor, chunk: int = 16) -> Tensor:
        """Pictures (N, 3, H, W), about [-1, 1], of latents (N, C, h, w), `chunk` at a time."""
        z = latents.to(self.device, torch.float32) / self.info.scaling_factor + self._shift
        return torch.cat([self.network.decode(part, return_dict=False)[0] for part in z.split(chunk)])


def load_autoencoder(reference: str, device: str = "cpu") -> Autoencoder:
    """The AutoencoderKL in a local diffusers folder, strict, safetensors only.

    Raises:
        BadRequest: nothing there, damaged, foreign, or not the shapes that its config promises.
    """
    info = describe_autoencoder(reference)
    settings = {key: value for key, value in info.config.items() if not key.startswith("_")}
    try:
        with torch.device("meta"):
            network: Any = AutoencoderKL(**settings)
    except Exception as error:  # diffusers raises whatever a wrong value leads to
        reason = " ".join(str(error).split())[:200]
        raise BadRequest(f"{info.path / 'config.json'} does not describe an AutoencoderKL: {reason}") from None
    path = info.path / WEIGHTS_FILE
    network.load_state_dict(_read_weights(network, path), strict=True, assign=True)
    with path.open("rb") as file:
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
    return Autoencoder(network.to(pick_device(device)), info, fingerprint)


def _read_weights(network: nn.Module, path: Path) -> dict[str, Tensor]:
    """All weights by today's names, float32, after names and shapes were found to agree with the network's."""
    header = read_header(path)
    names = {old: _new_name(old) for old in header}
    declared = {names[old]: tuple(entry["shape"]) for old, entry in header.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if len(declared) != len(names) or declared.keys() != wanted.keys():
        odd = sorted(declared.keys() ^ wanted.keys()) or sorted(names.values())
        what = "lacks" if odd[0] in wanted else "has unknown"
        raise BadRequest(f"{path} does not fit its config: it {what} {odd[0]}; get a whole copy of the folder")
    for old, entry in header.items():
        if declared[names[old]] != wanted[names[old]]:
            raise BadRequest(f"{path} does not fit its config: {old} is {entry['shape']}, not {wanted[names[old]]}")
        if entry["dtype"] not in _READABLE:
            raise BadRequest(f"{path}: {old} is {entry['dtype']}, should be one of {', '.join(_READABLE)}")
    try:
        tensors = {names[old]: tensor.float() for old, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise BadRequest(f"{path} is damaged ({error}); get a whole copy of it") from None
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise BadRequest(f"{path} holds values that are not numbers in {name}; get another copy of it")
    return tensors


def _new_name(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        if ".attentions." in name:
            name = name.replace(old, new)
    return name
