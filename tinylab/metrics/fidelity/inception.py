"""Features of Inception v3: what published FID, sFID, KID and Inception Scores are measured in."""

import contextlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from tinylab.errors import BadRequest
from tinylab.files.tensor_file import read_header
from tinylab.metrics.fidelity.extractors import Network
from tinylab.models.published.unpickle import check_archive

__all__ = ["SPATIAL_CHANNELS", "InceptionFeatures", "read_weights"]

_MOST_WEIGHT_BYTES = 2**30  # Inception v3 takes 95 MB
_DTYPES = (torch.float16, torch.float32, torch.float64, torch.int64)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors, by name, in a safetensors file or a pickled state dict (.pth, .pt).

    Raises:
        BadRequest: not there, too large, damaged, or a pickle that asks for anything but tensors.
    """
    if not path.is_file():
        what = "is a folder; name the file in it" if path.is_dir() else "is not there"
        raise BadRequest(f"--weights: {path} {what}")
    if path.stat().st_size > _MOST_WEIGHT_BYTES:
        raise BadRequest(
            f"--weights: {path} has more than {_MOST_WEIGHT_BYTES // 2**20:,} MiB; that is no Inception v3"
        )
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


SPATIAL_CHANNELS = 7  # of 17 x 17 values each: 2,023, about as many as there are pooled features


class InceptionFeatures(Network):
    """torch-fidelity's port of the Inception v3 of 2015: 2,048 pooled features, 1,008 logits and spatial features.

    The spatial features are those of the evaluation of ADM (Dhariwal & Nichol 2021): the first seven channels of
    `mixed_6/conv:0` of the TensorFlow graph, which is the 1x1 branch of `Mixed_6d` after its ReLU. The logits have no
    bias added, as in the published Inception Score. Pictures uint8 (N, 3, H, W) of any size are resized to 299 the way
    TensorFlow 1 did.
    """

    layers = ("2048", "logits_unbiased", "spatial")

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: Path | None = None, **others: Any
    ) -> None:
        super().__init__(name, features_list)
        path = Path(feature_extractor_weights_path or _kept_weights())
        weights = io.BytesIO()
        torch.save(read_weights(path), weights)  # torch-fidelity runs what a pickle holds: give it one of our own
        weights.seek(0)
        inner = [layer for layer in self.features_list if layer != "spatial"] or ["2048"]
        self.net = _Checked(path, inner, weights)

    def extract(self, pictures: Tensor) -> dict[str, Tensor]:
        """See `Network.extract`."""
        with _output_of(self.net.Mixed_6d.branch1x1) as seen:
            found = self.net.convert_features_tuple_to_dict(self.net(pictures))
        return {**found, "spatial": seen[0][:, :SPATIAL_CHANNELS].flatten(1)}


class _Checked(FeatureExtractorInceptionV3):
    """Takes weights only where every name and shape is right, and says in one line what is not."""

    def __init__(self, path: Path, features_list: list[str], weights: io.BytesIO) -> None:
        self._path = path
        super().__init__("inception-v3", features_list, feature_extractor_weights_path=weights)

    def load_state_dict(self, state_dict: Mapping[str, Tensor], *_: Any, **__: Any) -> Any:
        """Strictly; counters of training, which older files lack, are left as they are."""
        wanted = {n: tuple(t.shape) for n, t in self.state_dict().items() if not n.endswith("num_batches_tracked")}
        given = {n: t for n, t in state_dict.items() if not n.endswith("num_batches_tracked")}
        missing, foreign = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
        if missing or foreign:
            shown = "" if missing else foreign[0].encode("unicode_escape").decode()[:80]
            what = f"lacks {missing[0]}" if missing else f"has unknown {shown}"
            raise BadRequest(f"{self._path} is not torch-fidelity's Inception v3: it {what}; get {URL_INCEPTION_V3}")
        for name, shape in wanted.items():
            if tuple(given[name].shape) != shape:
                found = tuple(given[name].shape)
                raise BadRequest(f"{self._path} is not torch-fidelity's Inception v3: {name} is {found}, not {shape}")
            if not torch.isfinite(given[name]).all():
                raise BadRequest(f"{self._path} holds values that are not numbers in {name}; get a whole copy of it")
        return super().load_state_dict(given, strict=False)


@contextlib.contextmanager
def _output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a module gives in the block."""
    seen: list[Tensor] = []
    hook = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        yield seen
    finally:
        hook.remove()


def _kept_weights() -> Path:
    """Where torch-fidelity keeps its download; Tinylab uses it and never downloads by itself."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rsplit("/", 1)[-1]
    if not path.is_file():
        raise BadRequest(
            f"the weights of Inception v3 are not here: get {URL_INCEPTION_V3} and put it at {path}, or name it by "
            "--weights FILE"
        )
    return path
