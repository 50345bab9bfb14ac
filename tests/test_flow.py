"""Flow matching: paths, velocities, scores and samplers in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tinylab.diffusion import Draw, objective_for
from tinylab.diffusion.flow import PATHS, FlowMatching
from tinylab.errors import BadRequest
from tinylab.sampling.generate import Settings, generate

T = torch.tensor([0.01, 0.2, 0.5, 0.8, 0.99], dtype=torch.float64)
every_path = pytest.mark.parametrize("name", PATHS)


class Point(nn.Module):
    """The exact model of data that is one image: the velocity towards it along a path, whatever the class."""

    family = "sit"
    num_classes = 10
    sample_shape = (1, 2, 2)

    def __init__(self, path: str, value: float = 0.7) -> None:
        super().__init__()
        self.flow, self.value, self.unused = FlowMatching(path), value, nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        path, shape = self.flow.path, (-1, 1, 1, 1)
        t = t.clamp(max=0.999)  # at the very end only the image itself has a velocity
        alpha, sigma = path.alpha(t).view(shape), path.sigma(t).view(shape)
        noise = (x - alpha * self.value) / sigma
        return path.alpha_rate(t).view(shape) * self.value + path.sigma_rate(t).view(shape) * noise


@every_path
def test_path_goes_from_noise_to_data(name: str) -> None:
    path, ends = PATHS[name], torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert torch.allclose(path.sigma(ends), torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-4)
    assert torch.allclose(path.alpha(ends), torch.tensor([0.0, 1.0], dtype=torch.float64), atol=1e-2)


@every_path
def test_rates_are_the_derivatives(name: str) -> None:
    path, h = PATHS[name], 1e-6
    for value, rate in ((path.alpha, path.alpha_rate), (path.sigma, path.sigma_rate)):
        assert torch.allclose((value(T + h) - value(T - h)) / (2 * h), rate(T), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["gvp", "vp"])
def test_curved_paths_preserve_the_variance(name: str) -> None:
    path = PATHS[name]
    assert torch.allclose(path.alpha(T).square() + path.sigma(T).square(), torch.ones_like(T))


@every_path
def test_score_of_a_point_is_that_of_a_gaussian_around_it(name: str) -> None:
    flow, model = FlowMatching(name), Point(name)
    x = torch.randn(len(T), 1, 2, 2, dtype=torch.float64)
    velocity = model(x, T, torch.zeros(len(T)))
    alpha, sigma = (f(T).view(-1, 1, 1, 1) for f in (flow.path.alpha, flow.path.sigma))
    assert torch.allclose(flow.score(velocity, x, T), (alpha * 0.7 - x) / sigma.square(), rtol=1e-6)


@every_path
def test_exact_model_has_no_loss_and_a_shifted_one_the_square_of_the_shift(name: str) -> None:
    flow, x = FlowMatching(name), torch.full((5, 1, 2, 2), 0.7, dtype=torch.float64)
    draw = Draw(T, torch.randn(5, 1, 2, 2, dtype=torch.float64))
    assert flow.losses(Point(name), x, torch.zeros(5), draw).loss.max() < 1e-18
    shifted = lambda *inputs: Point(name)(*inputs) + 0.5  # noqa: E731
    assert torch.allclose(flow.losses(shifted, x, torch.zeros(5), draw).loss, torch.full((5,), 0.25).double())  # type: ignore[arg-type]


@every_path
def test_loss_is_finite_at_both_ends(name: str) -> None:
    x, noise = torch.randn(2, 1, 2, 2), torch.randn(2, 1, 2, 2)
    draw = Draw(torch.tensor([0.0, 1.0]), noise)
    nothing = lambda x, t, y: torch.zeros_like(x)  # noqa: E731
    assert FlowMatching(name).losses(nothing, x, torch.zeros(2), draw).loss.isfinite().all()  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", ["euler", "heun", "sde"])
@every_path
def test_every_sampler_finds_the_one_image_there_is(name: str, sampler: str) -> None:
    model = Point(name)
    found = generate(model, model.flow, torch.zeros(6, dtype=torch.long), Settings(sampler, 100, guidance=1.0))  # type: ignore[arg-type]
    assert (found - 0.7).abs().mean() < 0.1
    assert found.isfinite().all()


def test_heun_is_of_second_order_and_euler_of_first() -> None:
    class Turn(Point):
        """dx/dt = x: e times as large at the end, with no error but that of the steps."""

        def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
            return x

    model, labels = Turn("linear"), torch.zeros(3, dtype=torch.long)

    def error(sampler: str, steps: int) -> float:
        settings = [Settings(sampler, n, guidance=1.0) for n in (steps, 1)]
        end, start = (generate(model, model.flow, labels, s) for s in settings)  # type: ignore[arg-type]
        start = start / (2.0 if sampler == "euler" else 2.5)  # what one step makes of the noise
        return ((end - math.e * start).norm() / start.norm()).item()

    assert 1.8 < error("euler", 10) / error("euler", 20) < 2.2
    assert 3.5 < error("heun", 10) / error("heun", 20) < 4.5


def test_evaluation_times_are_spread_evenly() -> None:
    draws = FlowMatching().evaluation_draws(1000, (1, 2, 2), torch.Generator().manual_seed(0))
    times = torch.cat([draw.t for draw in draws]).sort().values
    assert (times - (torch.arange(1000) + 0.5) / 1000).abs().max() <= 0.5 / 1000 + 1e-6


def test_model_names_its_path_and_unknown_ones_are_refused(build_tiny: Any) -> None:
    assert objective_for(build_tiny("sit", path="gvp")).path is PATHS["gvp"]
    with pytest.raises(BadRequest, match="linear, gvp, vp"):
        FlowMatching("straight")
