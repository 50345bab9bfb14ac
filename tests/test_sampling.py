"""Drawing images: the same noise for everybody, guidance, steps, pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from golden_values import relative_error
from PIL import Image

from tinylab.diffusion import objective_for
from tinylab.diffusion.flow import PATHS
from tinylab.errors import BadRequest
from tinylab.sampling import SAMPLERS, gaussian, sampler_for, samplers_of
from tinylab.sampling.generate import Settings, generate
from tinylab.sampling.images import grid_png, to_uint8

LABELS = torch.tensor([3, 1, 4, 1, 5])


@pytest.mark.parametrize(
    ("family", "sampler"), [(family, row.name) for row in SAMPLERS.rows() for family in row.families]
)
@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_an_image_does_not_depend_on_its_batch(family, sampler, guidance, build_tiny):
    model = build_tiny(family)
    settings, objective = Settings(sampler, 4, guidance, seed=2), objective_for(model)
    together = generate(model, objective, LABELS, settings)
    parts = [generate(model, objective, LABELS[at : at + 2], settings, first=at) for at in (0, 2, 4)]
    assert together.shape == (5, 1, 8, 8)
    assert relative_error(torch.cat(parts), together) < 1e-5


_ONE_CLASS = {"num_classes": 1, "in_channels": 3}
_ODD = [("dit", {}), ("dit", {"learn_sigma": False})]
_ODD += [("sit", {"path": path, "learn_sigma": sigma}) for path in PATHS for sigma in (True, False)]
_MASKED = {"class_num": 1, "vae_embed_dim": 3, "patch_size": 4, "num_sampling_steps": "1"}


@pytest.mark.parametrize(("family", "changes"), [*((f, c | _ONE_CLASS) for f, c in _ODD), ("mar", _MASKED)], ids=str)
def test_one_image_of_one_class_is_drawn_in_any_number_of_steps(family, changes, build_tiny):
    model = build_tiny(family, **changes)
    for sampler in samplers_of(family):
        for steps, guidance in ((1, 1.0), (1, 0.0), (2, 100.0), (7, 1.5)):
            settings = Settings(sampler, steps, guidance)
            drawn = generate(model, objective_for(model), torch.tensor([0]), settings)
            assert drawn.shape == (1, 3, 8, 8)
            assert drawn.isfinite().all(), (sampler, steps, guidance)


@pytest.mark.parametrize("path", PATHS)
def test_one_step_of_every_flow_sampler_goes_all_the_way(path, build_tiny):
    model = build_tiny("sit", path=path)
    drawn = [
        generate(model, objective_for(model), LABELS, Settings(name, 1, guidance=1.0)) for name in ("euler", "sde")
    ]
    assert relative_error(*drawn) < 2e-3  # the margin that the ODE keeps on the vp path


def test_seeds_tell_images_apart(tiny_dit):
    objective = objective_for(tiny_dit)
    first, second = (generate(tiny_dit, objective, LABELS, Settings(steps=2, seed=seed)) for seed in (0, 1))
    assert not torch.allclose(first, second)
    assert torch.equal(first, generate(tiny_dit, objective, LABELS, Settings(steps=2, seed=0)))


def test_guidance_one_is_the_conditional_model_and_zero_the_unconditional_one(tiny_dit):
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([500, 500])
    y, null = torch.tensor([1, 2]), torch.tensor([10, 10])
    both = (torch.cat([x, x]), torch.cat([t, t]), torch.cat([y, null]))
    with torch.no_grad():
        for scale, classes in ((1.0, y), (0.0, null)):
            eps = tiny_dit.forward_with_cfg(*both, scale)[:2, :1]
            assert torch.allclose(eps, tiny_dit(x, t, classes)[:, :1], atol=1e-5)


def test_the_last_ddim_step_returns_the_predicted_image(tiny_dit):
    chain = objective_for(tiny_dit).respaced(1)
    x, output = torch.randn(2, 1, 8, 8), torch.randn(2, 2, 8, 8)
    drawn = gaussian.ddim_step(chain, output, x, 0, torch.zeros_like(x))
    assert torch.allclose(drawn, chain.predict(output, x, chain.index(0, 2)).x_start)


def test_progress_is_told_after_every_step(tiny_dit):
    seen: list[int] = []
    generate(tiny_dit, objective_for(tiny_dit), LABELS, Settings(steps=3), on_step=seen.append)
    assert seen == [1, 2, 3]


def test_unknown_samplers_are_refused_with_the_known_ones():
    with pytest.raises(BadRequest, match="ddpm, ddim"):
        sampler_for("dit", "dpm++")


@pytest.mark.parametrize(("family", "sampler", "fitting"), [("dit", "heun", "ddpm or ddim"), ("mar", "ddpm", "masked")])
def test_samplers_of_other_families_are_refused_with_those_that_fit(family, sampler, fitting):
    with pytest.raises(BadRequest, match=fitting):
        sampler_for(family, sampler)


@pytest.mark.parametrize("family", ["dit", "sit", "mar"])
def test_every_family_has_a_default_sampler_and_every_sampler_a_family(family):
    assert sampler_for(family) == samplers_of(family)[0]
    assert all(row.families for row in SAMPLERS.rows())


def test_pixels_are_clipped_and_rounded():
    images = torch.tensor([-3.0, -1.0, 0.0, 1.0, 9.0]).view(1, 1, 1, 5)
    assert to_uint8(images)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_grid_holds_every_image_in_its_place():
    pixels = np.stack([np.full((2, 2, 1), shade, dtype=np.uint8) for shade in (10, 20, 30)])
    picture = Image.open(io.BytesIO(grid_png(pixels, columns=2, scale=2)))
    assert picture.size == (10, 10)
    corners = [picture.getpixel(at) for at in ((0, 0), (6, 0), (0, 6), (6, 6))]
    assert corners == [10, 20, 30, 0]
