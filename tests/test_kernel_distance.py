"""The kernel distance of two sets, against its definition, and what it says of digits."""

from __future__ import annotations

import pytest
import torch

from tinylab.data.digits import load_digits
from tinylab.metrics.digit_fidelity import DigitFidelity
from tinylab.metrics.fidelity.distances import kernel_distance
from tinylab.models.load import load_model, load_reader


def test_it_is_its_definition() -> None:
    a, b = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64) + 1

    def kernel(x, y) -> float:
        return ((x @ y).item() / 3 + 1) ** 3

    within_a = sum(kernel(a[i], a[j]) for i in range(5) for j in range(5) if i != j) / 20
    within_b = sum(kernel(b[i], b[j]) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(kernel(x, y) for x in a for y in b) / 20
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across)


def test_it_is_unbiased_and_grows_with_the_distance() -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(count: int, shift: float) -> torch.Tensor:
        return torch.randn(count, 4, generator=generator) + shift

    same = torch.tensor([kernel_distance(drawn(10, 0), drawn(10, 0)) for _ in range(400)])
    assert abs(same.mean()) < 5 * same.std() / 20
    assert (same < 0).any()
    near, far = (kernel_distance(drawn(300, 0), drawn(300, shift)) for shift in (0.5, 2.0))
    assert 5 * same.std() / 20 < near < far


def test_a_single_feature_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        kernel_distance(torch.zeros(1, 2), torch.zeros(3, 2))


def test_real_digits_are_near_digits_and_noise_is_far() -> None:
    train, held_out = load_digits()
    reader = load_reader(load_model("digits-dit"))
    assert reader is not None
    fidelity = DigitFidelity(reader, train)
    images, labels = held_out.take(torch.arange(200))
    real = fidelity.scores(images, labels)
    noise = fidelity.scores(torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(0)), labels)
    assert abs(real.kernel_distance) < 0.02 * noise.kernel_distance
    assert real.read_correctly > 0.95 > 0.4 > noise.read_correctly
