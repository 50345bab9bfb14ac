"""Pictures as torch-fidelity wants them: a data set of bare tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset


class Pictures(Dataset):
    """uint8 (C, H, W), one by one, of pixels (N, H, W, C)."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.pixels[index]
