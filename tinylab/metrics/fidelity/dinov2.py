"""Features of DINOv2 (Oquab et al. 2023), which follow people's judgement of pictures more closely than Inception's."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.extractors import Network

__all__ = ["Dinov2Features", "MODEL"]

MODEL = "facebook/dinov2-base"
_SIZE = 224  # pixels a side
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels, from 0 to 1


class Dinov2Features(Network):
    """The class token after the last norm, 768 features of the base model.

    Takes uint8 (N, 3, H, W), resized to 224 the way TensorFlow 1 did and normalised as ImageNet, both as in
    torch-fidelity. What differs from torch-fidelity's own DINOv2: that one fetches code from GitHub and runs it, this
    one is transformers' and reads a safetensors file that is already here; and transformers resizes the position
    embeddings to the number of patches without the offset of 0.1 of the original code, so that features agree closely
    but not bit by bit. Scores of the two are not to be mixed.
    """

    layers = ("class-token", None, None)

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: Path | None = None, **others: Any
    ) -> None:
        super().__init__(name, features_list, **others)
        self.net = _open_model(Path(feature_extractor_weights_path) if feature_extractor_weights_path else None)

    def extract(self, pictures: Tensor) -> dict[str, Tensor]:
        """See `Network.extract`."""
        values = interpolate_bilinear_2d_like_tensorflow1x(pictures.float(), size=(_SIZE, _SIZE), align_corners=False)
        mean, deviation = (
            torch.tensor(each, device=values.device).view(1, 3, 1, 1) * 255 for each in (_MEAN, _DEVIATION)
        )
        return {"class-token": self.net((values - mean) / deviation).pooler_output}


def _open_model(folder: Path | None) -> torch.nn.Module:
    """transformers' Dinov2Model from a folder, or from what the Hugging Face cache holds of `MODEL`."""
    from transformers import AutoConfig, Dinov2Model

    remedy = f"name a folder with config.json and model.safetensors of {MODEL} by --weights FOLDER"
    if folder is not None and not folder.is_dir():
        raise BadRequest(f"--weights: {folder} is no folder; {remedy}")
    source = str(folder or MODEL)
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        if config.model_type != "dinov2":
            raise BadRequest(f"{source} is a {config.model_type}, no dinov2; {remedy}")
        loaded: Any = Dinov2Model.from_pretrained(
            source, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        model, report = loaded
    except BadRequest:
        raise
    except Exception as error:  # each part of a damaged folder has errors of its own
        reason = " ".join(str(error).split())[:160]
        if folder is None:
            raise BadRequest(f"the weights of DINOv2 are not in the Hugging Face cache here; {remedy}") from None
        raise BadRequest(f"{source} holds no DINOv2 that can be read ({reason}); {remedy}") from None
    if report["missing_keys"]:  # transformers would fill them with random numbers
        raise BadRequest(f"{source} lacks {sorted(report['missing_keys'])[0]}; {remedy}")
    return model.float().eval()
