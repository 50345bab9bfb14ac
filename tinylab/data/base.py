"""What all training data offers, and finding it by name."""

from typing import Protocol

from torch import Tensor

from tinylab.data.catalog import DIGITS

__all__ = ["Dataset", "load_data"]


class Dataset(Protocol):
    """Images or latents with classes, in memory or on the disk."""

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """Shape of one sample, (C, H, W)."""
        ...

    @property
    def num_classes(self) -> int:
        """Number of classes; labels are 0 to num_classes - 1."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes by id."""
        ...

    def __len__(self) -> int: ...

    @property
    def views(self) -> int:
        """How many views there are of each sample: 2 where a mirrored twin was kept."""
        ...

    def take(self, indices: Tensor, views: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Samples (n, C, H, W) float32 and classes (n,) int64 at `indices` (n,), on the CPU; several threads may ask.

        Args:
            views: which view of each sample (n,), the first by default.
        """
        ...


def load_data(reference: str) -> tuple[Dataset, Dataset]:
    """The fixed (training, held-out) split of `digits`, a folder of latents or features, or an encode run.

    Raises:
        BadRequest: unknown, damaged, or too small to split.
    """
    if reference == DIGITS:
        from tinylab.data.digits import load_digits

        return load_digits()
    from tinylab.data.latents import open_latents

    return open_latents(reference).split()
