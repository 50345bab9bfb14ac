"""Finding data and telling what it is from its index alone: no torch, nothing loaded."""

from dataclasses import dataclass
from pathlib import Path

from tinylab.data.classes import DIGIT_NAMES
from tinylab.data.features import FeatureFolder, find_features
from tinylab.data.latent_index import INDEX_FILE, read_index
from tinylab.errors import BadRequest
from tinylab.paths import exists, runs_folder

__all__ = ["DIGITS", "DataInfo", "describe_data", "locate_latents"]

DIGITS = "digits"


@dataclass(frozen=True)
class DataInfo:
    """What a set of training data is.

    Attributes:
        kind: `digits`, `latents` (of `tinylab encode`) or `features` (published .npy folders).
        path: its folder, None for the digits.
        count: number of pictures, the held-out ones included.
        sample_shape: of one image or latent, (C, H, W).
        views: latents of each picture: 2 where a mirrored twin was encoded.
        scaling_factor: what latents were multiplied by, None where it is not known.
    """

    reference: str
    kind: str
    path: Path | None
    count: int
    sample_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    views: int = 1
    scaling_factor: float | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def check_fits(self, sample_shape: tuple[int, ...], num_classes: int, model: str) -> None:
        """BadRequest unless a model for such samples and classes, called `model`, can learn from the data."""
        if tuple(sample_shape) != self.sample_shape:
            have, wanted = (" x ".join(map(str, shape)) for shape in (self.sample_shape, sample_shape))
            raise BadRequest(f"data {self.reference!r} has samples of {have}, model {model!r} takes {wanted}")
        if num_classes < self.num_classes:
            raise BadRequest(
                f"data {self.reference!r} has {self.num_classes} classes, model {model!r} knows {num_classes}"
            )


def describe_data(reference: str) -> DataInfo:
    """What `digits`, a folder of latents, the run that encoded them, or a folder of features holds."""
    if reference == DIGITS:
        return DataInfo(reference, DIGITS, None, 1797, (1, 8, 8), DIGIT_NAMES)
    path = locate_latents(reference)
    features = find_features(path)
    if features:
        found = FeatureFolder(features)
        return DataInfo(reference, "features", features, len(found), found.shape, found.class_names, found.views)
    index = read_index(path)
    views, scaling = 2 if index.flips else 1, index.scaling_factor
    return DataInfo(reference, "latents", path, index.count, index.shape, index.class_names, views, scaling)


def locate_latents(reference: str) -> Path:
    """The folder meant by a folder of latents or features, a run folder or a run id."""
    try:
        candidates = [Path(reference).expanduser()]
    except RuntimeError:  # a home folder of nobody
        candidates = [Path(reference)]
    if reference and Path(reference).name == reference:
        candidates.append(runs_folder() / reference)
    for candidate in candidates if reference else []:
        for folder in (candidate / "latents", candidate):
            if exists(folder / INDEX_FILE) or exists(folder) and find_features(folder):
                return folder
    if reference and any(exists(c / "status.json") for c in candidates):
        raise BadRequest(f"run {reference!r} has no finished latents; go on with `tinylab resume {reference}`")
    if reference and any(exists(c) for c in candidates):
        raise BadRequest(f"{reference} holds no latents; make some of your pictures with `tinylab encode`")
    raise BadRequest(f"unknown data {reference!r}; give digits, a folder of latents or features, or an encode run")
