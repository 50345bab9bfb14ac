"""`tinylab verify` on golden files of other sizes, written here: depths, channels, patches, groups, steps, copies."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.verify.golden import read_golden
from tinylab.verify.report import KINDS, kind_of, verify_file

N = 3


def states(**models: Denoiser) -> dict[str, Tensor]:
    return {f"{part}.{name}": value for part, model in models.items() for name, value in model.state_dict().items()}


def config_of(model: Denoiser) -> str:
    hidden = ("kept", "full_depth", "path", "clip_value")  # published classes do not know these
    return json.dumps({k: v for k, v in model.config.items() if not k.startswith("_") and k not in hidden})


def write(path: Path, tensors: dict[str, Tensor], outputs: list[str], **metadata: str) -> Path:
    """A golden file whose outputs are what verify finds, so that all must hold; returns its path."""
    draft = {**tensors, **{f"output.{name}": torch.zeros(1) for name in outputs}}
    save_file({k: v.contiguous() for k, v in draft.items()}, path, metadata)
    found = KINDS[kind_of(read_golden(path).dtypes, path)](read_golden(path))
    assert set(outputs) <= set(found)
    final = {**tensors, **{f"output.{name}": found[name].clone().contiguous() for name in outputs}}
    save_file({k: v.contiguous() for k, v in final.items()}, path, metadata)
    return path


def holds(path: Path, count: int) -> bool:
    rows = verify_file(path)
    return len(rows) == count and all(row.ok for row in rows)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"depth": 3, "in_channels": 3, "patch_size": 4, "hidden_size": 24, "num_heads": 3, "num_classes": 1}, 21),
        ({"depth": 1, "in_channels": 1, "mlp_ratio": 2.0}, 2),
        ({"depth": 5, "in_channels": 5, "learn_sigma": False, "input_size": 2}, 7),
    ],
)
def test_dit(changes: dict[str, Any], steps: int, build_tiny: Callable[..., Denoiser], tmp_path: Path) -> None:
    model = build_tiny("dit", **changes)
    shape = model.sample_shape
    inputs = {"x": torch.randn(N, *shape), "noise": torch.randn(N, *shape), "y": torch.zeros(N, dtype=torch.int64)}
    inputs |= {"t": torch.tensor([0, 500, 999]), "t_loss": torch.tensor([0, 1, 999])}
    inputs |= {"sample_z": torch.randn(N, *shape).repeat(2, 1, 1, 1), "sample_z_ddim": torch.randn(N, *shape)}
    inputs |= {"sample_noises": torch.randn(steps, 2 * N, *shape)}
    outputs = [
        "forward",
        "forward_with_cfg",
        "training_losses.loss",
        "training_losses.vb",
        "grad.blocks.0.mlp.fc1.bias",
    ]
    outputs += [f"sample_ddpm{steps}_cfg3", f"sample_ddim{steps}_eta0"]
    tensors = {**states(model=model), **{f"input.{name}": value for name, value in inputs.items()}}
    config = json.dumps({**json.loads(config_of(model)), "class_dropout_prob": 0.1})
    path = write(tmp_path / "a.safetensors", tensors, outputs, config=config, note="scale 2.5, that is the guidance")
    assert holds(path, len(outputs))

    # The guided pass by the published formula: the first three output channels, whatever they are.
    x, t, y = inputs["x"], inputs["t"], inputs["y"]
    with torch.no_grad():
        with_class, without = model(x, t, y), model(x, t, torch.full_like(y, model.num_classes))
    guided = without[:, :3] + 2.5 * (with_class[:, :3] - without[:, :3])
    expected = torch.cat([torch.cat([guided] * 2), torch.cat([with_class, without])[:, 3:]], dim=1)
    assert torch.allclose(read_golden(path).part("output")["forward_with_cfg"], expected, atol=1e-5)


@pytest.mark.parametrize("learn_sigma", [True, False])
def test_sit(learn_sigma: bool, build_tiny: Callable[..., Denoiser], tmp_path: Path) -> None:
    model = build_tiny("sit", depth=2, in_channels=3, learn_sigma=learn_sigma, num_classes=4)
    x, t, noise = torch.randn(N, 3, 8, 8), torch.tensor([0.0, 0.5, 1.0]), torch.randn(N, 3, 8, 8)
    tensors = {**states(model=model), "input.x": x, "input.t": t, "input.y": torch.arange(N), "input.noise": noise}
    outputs = ["forward", "forward_with_cfg", "loss", "sample_euler1", "sample_heun6", "grad.blocks.1.attn.qkv.bias"]
    path = write(tmp_path / "a.safetensors", tensors, outputs, config=config_of(model), note="scale 4")
    assert holds(path, len(outputs))
    golden = read_golden(path).part("output")
    with torch.no_grad():  # at t = 0 the model sees noise, at t = 1 data
        said = model(t.view(-1, 1, 1, 1) * x + (1 - t).view(-1, 1, 1, 1) * noise, t, torch.arange(N))
        first = noise + model(noise, torch.zeros(N), torch.arange(N))
    assert torch.allclose(golden["loss"], (said - (x - noise)).square().mean((1, 2, 3)), rtol=1e-5)
    assert torch.allclose(golden["sample_euler1"], first, atol=1e-6)
    alone = {name: value for name, value in tensors.items() if name != "input.noise"}
    assert holds(write(tmp_path / "b.safetensors", alone, ["forward"], config=config_of(model)), 1)


@pytest.mark.parametrize("groups", [[[1, 3], [2, 2], [3, 4]], [[2, 5]], [[1, 1], [1, 4], [2, 3], [1, 2]]])
def test_gates(groups: list[list[int]], build_tiny: Callable[..., Denoiser], tmp_path: Path) -> None:
    model = build_tiny("dit", depth=sum(m for _, m in groups), in_channels=3)
    tensors, keep = states(model=model), []
    for index, (n, m) in enumerate(groups):
        rows = [[float(i in kept) for i in range(m)] for kept in itertools.combinations(range(m), n)]
        tensors |= {f"input.options.{index}": torch.tensor(rows)}
        tensors |= {f"input.logits.{index}": 0.02 + 0.01 * torch.randn(1, len(rows))}
        tensors |= {f"input.gumbel.{index}": torch.randn(N, len(rows))}
        chosen = (7.0 * tensors[f"input.logits.{index}"] + tensors[f"input.gumbel.{index}"]).argmax(1)
        keep.append(tensors[f"input.options.{index}"][chosen])
    x, t, y = torch.randn(N, 3, 8, 8), torch.tensor([0, 3, 999]), torch.arange(N)
    tensors |= {"input.x": x, "input.t": t, "input.y": y, "input.noise": torch.randn(N, 3, 8, 8)}
    outputs = ["forward", "grad.blocks.0.mlp.fc1.weight", *(f"grad.logits.{i}" for i in range(len(groups)))]
    notes = {"groups": json.dumps(groups), "tau": "0.7", "scaling": "7.0", "config": config_of(model)}
    path = write(tmp_path / "a.safetensors", tensors, outputs, **notes)
    assert holds(path, len(outputs))

    # Each image by itself through the blocks that its mask keeps.
    expected = []
    with torch.no_grad():
        for i, mask in enumerate(torch.cat(keep, dim=1).bool().tolist()):
            shallow = build_tiny("dit", depth=len(mask), in_channels=3)
            shallow.blocks = torch.nn.ModuleList(
                block for block, kept in zip(shallow.blocks, mask, strict=True) if kept
            )
            expected.append(shallow(x[i : i + 1], t[i : i + 1], y[i : i + 1]))
    assert torch.allclose(read_golden(path).part("output")["forward"], torch.cat(expected), atol=1e-4)

    notes["groups"] = json.dumps([*groups, [1, 2]])
    save_file(read_golden(path).tensors, path, notes)
    with pytest.raises(BadRequest, match="lacks input.options"):
        verify_file(path)


@pytest.mark.parametrize(("patch", "copies", "hidden"), [(2, 3, 11), (1, 1, 64), (4, 2, 3)])
def test_mar(patch: int, copies: int, hidden: int, build_tiny: Callable[..., Denoiser], tmp_path: Path) -> None:
    shape = {"patch_size": patch, "vae_embed_dim": 3, "encoder_depth": 1, "decoder_depth": 3, "decoder_embed_dim": 24}
    model: Any = build_tiny("mar", **shape, decoder_num_heads=3, diffusion_batch_mul=copies, num_sampling_steps="9")
    tokens, values = model.num_tokens, 3 * patch**2
    mask = torch.zeros(N, tokens).scatter_(1, torch.rand(N, tokens).argsort(1)[:, :hidden], 1.0)
    inputs = {"x": torch.randn(N, 3, 8, 8), "y": torch.arange(N), "mask": mask}
    inputs |= {
        "diff_t": torch.randint(1000, (copies * N * tokens,)),
        "diff_noise": torch.randn(copies * N * tokens, values),
    }
    tensors = {**states(model=model), **{f"input.{name}": value for name, value in inputs.items()}}
    outputs = ["tokens", "encoder", "decoder", "loss", "grad.decoder_blocks.2.mlp.fc2.weight"]
    config = json.dumps({**json.loads(config_of(model)), "label_drop_prob": 0.1, "mask_ratio_min": 0.7})
    path = write(tmp_path / "a.safetensors", tensors, outputs, config=config)
    assert holds(path, len(outputs))
    golden = read_golden(path).part("output")
    assert golden["encoder"].shape == (N, tokens - hidden + model.buffer_size, 16)
    assert golden["decoder"].shape == (N, tokens, 24)
    some = {name: value for name, value in tensors.items() if "diff_" not in name}
    assert holds(write(tmp_path / "b.safetensors", some, ["tokens", "encoder"], config=config), 2)


def test_masked_kd(build_tiny: Callable[..., Denoiser], tmp_path: Path) -> None:
    changes = {"in_channels": 3, "patch_size": 4, "num_classes": 5}
    teacher, student = build_tiny("dit", depth=6, **changes), build_tiny("dit", 1, depth=2, **changes)
    inputs = {"x": torch.randn(N, 3, 8, 8), "noise": torch.randn(N, 3, 8, 8), "t": torch.tensor([0, 9, 999])}
    inputs |= {"y": torch.arange(N), "drop": torch.tensor([0, 1, 0])}
    tensors = states(teacher=teacher, student=student) | {f"input.{name}": value for name, value in inputs.items()}
    outputs = ["loss", "kd_loss", "gt", "feat_loss", "mse", "vb", "vb_kd", "grad.student.blocks.1.mlp.fc1.bias"]
    notes = {"alpha_kd": "0.5", "beta_feat": "0.2", "student_depth": "2", "layer_map": "[[0, 2], [1, 5]]"}
    path = write(tmp_path / "a.safetensors", tensors, outputs, config=config_of(teacher), **notes)
    assert holds(path, len(outputs))
    golden = read_golden(path).part("output")
    parts = 0.5 * golden["kd_loss"] + 0.5 * golden["gt"] + 0.2 * golden["feat_loss"]
    assert torch.allclose(golden["loss"], parts, rtol=1e-5)
    notes["layer_map"] = "[[0, 2], [1, 6]]"
    save_file(read_golden(path).tensors, path, {**notes, "config": config_of(teacher)})
    with pytest.raises(BadRequest, match="do not fit together"):
        verify_file(path)
