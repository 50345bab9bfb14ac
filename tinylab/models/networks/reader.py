"""The digit reader: a small convolutional classifier that judges samples, and how well it reads them."""

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

__all__ = ["DigitReader", "read_digits", "reading_accuracy"]


class DigitReader(ModelMixin, ConfigMixin):  # type: ignore[misc]  # both mixins define config_name
    """Classifies 8x8 images (N, 1, 8, 8) in [-1, 1] into ten digits."""

    family = "reader"

    @register_to_config
    def __init__(self, width: int = 32, features: int = 128, num_classes: int = 10) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.hidden = nn.Linear(2 * width * 4 * 4, features)
        self.head = nn.Linear(features, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Images (N, 1, 8, 8) -> features (N, F), also the space in which sets of digits can be compared."""
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return F.relu(self.hidden(F.relu(self.conv3(x)).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 1, 8, 8) -> class logits (N, 10)."""
        return self.head(self.features(x))


@torch.no_grad()
def read_digits(reader: DigitReader, images: Tensor) -> Tensor:
    """The digit (N,) that the reader sees in each image (N, 1, 8, 8), clipped to [-1, 1] as on a screen."""
    device = next(reader.parameters()).device
    chunks = images.clamp(-1, 1).to(device).split(1000)
    return torch.cat([reader.eval()(chunk).argmax(dim=1) for chunk in chunks]).cpu()


def reading_accuracy(reader: DigitReader, images: Tensor, labels: Tensor) -> float:
    """Share of images read as the class in `labels` (N,)."""
    return (read_digits(reader, images) == labels.cpu()).double().mean().item()
