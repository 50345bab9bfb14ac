"""The layout of diffusers: lossless both ways, as stock diffusers reads it, and strict with what comes from outside."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, DiTPipeline, DiTTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tinylab.cli import main
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.models.diffusers.folder import describe_diffusers, is_diffusers
from tinylab.models.diffusers.layout import from_diffusers, to_diffusers
from tinylab.models.families import WEIGHTS_FILE
from tinylab.models.networks.dit import DiT
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.sampling import gaussian

EPS = 1e-6
# One in which no two sizes are equal, so that no mistake of shape can hide.
ODD = {"input_size": 12, "patch_size": 2, "in_channels": 3, "hidden_size": 24, "depth": 2, "num_heads": 3}


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(3, 1, 8, 8, generator=generator), torch.tensor([0, 500, 999]), torch.tensor([1, 9, 10])


@pytest.fixture
def exported(tiny_dit: DiT, tmp_path: Path) -> Path:
    to_diffusers(tiny_dit, tmp_path / "exported")
    return tmp_path / "exported"


@pytest.fixture
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    blocks = {"down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D"]}
    return AutoencoderKL(**blocks, block_out_channels=[4], norm_num_groups=2, latent_channels=1, in_channels=3).eval()


def stock(folder: Path) -> DiTTransformer2DModel:
    return DiTTransformer2DModel.from_pretrained(folder, subfolder="transformer", use_safetensors=True).eval()


def repair(model: DiTTransformer2DModel) -> DiTTransformer2DModel:
    """Set the two things in which diffusers' class differs from the published network."""
    for block in model.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0
        block.norm3.eps = EPS
    return model


def rebuild(folder: Path) -> DiT:
    config, state = from_diffusers(folder)
    model = DiT(**{key: value for key, value in config.items() if not key.startswith("_")}).eval()
    model.load_state_dict(state, strict=True)
    return model


def change_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    file = folder / "transformer" / WEIGHTS_FILE
    tensors = {name: value.clone() for name, value in load_file(file).items()}
    change(tensors)
    save_file(tensors, file)


def refusal(folder: Path) -> str:
    """The line with which a folder is refused, by headers alone where that is possible."""
    with pytest.raises(BadRequest) as refused:
        from_diffusers(folder)
    message = str(refused.value)
    assert message and "\n" not in message
    return message


@pytest.mark.parametrize("changes", [{}, ODD, {"learn_sigma": False}], ids=["tiny", "odd", "fixed variance"])
def test_mended_stock_model_computes_the_same_bits(
    changes: dict[str, Any], build_tiny_dit: Callable[..., DiT], tmp_path: Path
) -> None:
    ours = build_tiny_dit(1, **changes)
    to_diffusers(ours, tmp_path / "out")
    theirs = repair(stock(tmp_path / "out"))
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(4, *ours.sample_shape, generator=generator)
    t, y = torch.tensor([0, 17, 500, 999]), torch.tensor([0, 3, 9, 10])
    with torch.no_grad():
        found, wanted = theirs(x, t, y).sample, ours(x, t, y)
    assert wanted.abs().max() > 0.1
    assert torch.equal(found, wanted)


def test_frequencies_are_the_only_difference_left_in_a_stock_model(
    tiny_dit: DiT, exported: Path, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    theirs = stock(exported)
    assert {module.eps for module in theirs.modules() if isinstance(module, nn.LayerNorm)} == {EPS}
    with torch.no_grad():
        first, *rest = (theirs(*inputs).sample - tiny_dit(*inputs)).abs().amax(dim=(1, 2, 3))
    assert first == 0  # at time 0 all frequencies are alike
    assert min(rest) > 0


def test_fresh_stock_model_reads_as_ours(tmp_path: Path, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    """The way in does not depend on our own way out."""
    torch.manual_seed(3)
    theirs = DiTTransformer2DModel(
        **{"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 1, "out_channels": 2, "num_layers": 3},
        **{"sample_size": 8, "num_embeds_ada_norm": 10},
    ).eval()
    first = theirs.transformer_blocks[0].norm1.emb.state_dict()
    for block in theirs.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(first)
    theirs.save_pretrained(tmp_path / "bare")
    with torch.no_grad():
        assert torch.equal(rebuild(tmp_path / "bare")(*inputs), repair(theirs)(*inputs).sample)
    assert any("norm_eps 1e-05" in note for note in describe_diffusers(tmp_path / "bare")["notes"])


def test_way_out_and_back_changes_nothing(tiny_dit: DiT, exported: Path, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    found = rebuild(exported)
    wanted = tiny_dit.state_dict()
    assert found.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in found.state_dict().items())
    for key in ("depth", "hidden_size", "num_heads", "mlp_ratio", "learn_sigma", "kept", "full_depth", "num_classes"):
        assert found.config[key] == tiny_dit.config[key]
    assert torch.equal(found(*inputs), tiny_dit(*inputs))


def test_cut_model_comes_back_with_its_history(
    tiny_dit: DiT, tmp_path: Path, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    cut = apply_plan(tiny_dit, DepthPlan.of([0, 3], {"blocks": 4}, "indices"))
    to_diffusers(cut, tmp_path / "cut")
    found = rebuild(tmp_path / "cut")
    assert (found.config.kept, found.config.full_depth) == ({"blocks": [0, 3]}, {"blocks": 4})
    with torch.no_grad():
        assert torch.equal(found(*inputs), cut(*inputs))
        assert torch.equal(repair(stock(tmp_path / "cut"))(*inputs).sample, cut(*inputs))


def test_description_needs_the_headers_alone(tiny_dit: DiT, exported: Path) -> None:
    file = exported / "transformer" / WEIGHTS_FILE
    with file.open("r+b") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        stream.seek(8 + length)
        stream.write(b"\xff" * (file.stat().st_size - 8 - length))
    found = describe_diffusers(exported)
    assert found["config"]["_class_name"] == "DiT"
    assert found["parameters"] == sum(parameter.numel() for parameter in tiny_dit.parameters())
    assert found["folder"] == exported / "transformer"
    assert "values that are not numbers" in refusal(exported)


def test_both_folders_are_recognised(exported: Path, tiny_folder: str, tmp_path: Path) -> None:
    assert is_diffusers(exported) and is_diffusers(exported / "transformer")
    assert not is_diffusers(Path(tiny_folder)) and not is_diffusers(tmp_path / "nothing")
    assert from_diffusers(exported / "transformer")[0] == from_diffusers(exported)[0]


def test_whole_pipeline_runs_in_stock_diffusers(
    build_tiny_dit: Callable[..., DiT], vae: AutoencoderKL, tmp_path: Path
) -> None:
    notes = to_diffusers(build_tiny_dit(num_classes=1000), tmp_path / "whole", vae=vae)
    assert not any("VAE" in note or "null class" in note for note in notes)
    pipeline = DiTPipeline.from_pretrained(tmp_path / "whole", use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    assert isinstance(pipeline.scheduler, DDIMScheduler)
    assert pipeline.get_label_ids(["tench"]) == [0]
    options = {"class_labels": [3, 7], "num_inference_steps": 2, "output_type": "np", "guidance_scale": 4.0}
    images = pipeline(**options, generator=torch.Generator().manual_seed(0)).images
    assert images.shape == (2, 8, 8, 3)
    assert images[0].tobytes() != images[1].tobytes()


def test_pipeline_without_a_vae_takes_one_when_it_is_loaded(exported: Path, vae: AutoencoderKL) -> None:
    pipeline = DiTPipeline.from_pretrained(exported, vae=vae, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.labels["7"] == 7
    assert len(pipeline([7], guidance_scale=1, num_inference_steps=2).images) == 1


def test_notes_say_what_a_stock_pipeline_does_otherwise(tiny_dit: DiT, tmp_path: Path) -> None:
    notes = to_diffusers(tiny_dit, tmp_path / "out")
    for words in ("no VAE", "downscale_freq_shift", "null class", "learned variance", "drops labels"):
        assert sum(words in note for note in notes) == 1
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(note in card for note in notes)


def test_scheduler_beside_it_is_the_published_sampler(
    tiny_dit: DiT, exported: Path, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    """Same outputs of the model and same noise: the same images within rounding."""
    scheduler = DDPMScheduler.from_pretrained(exported, subfolder="published_sampler")
    scheduler.set_timesteps(7)
    chain = GaussianDiffusion().respaced(7)
    assert scheduler.timesteps.tolist() == chain.timesteps.tolist()[::-1]
    x, _, y = inputs
    expected = x
    generator, same = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for index, t in zip(reversed(range(7)), scheduler.timesteps, strict=True):
            output = tiny_dit(expected, t.expand(3), y)
            noise = torch.randn(x.shape, generator=same) if index else torch.zeros_like(x)
            x = scheduler.step(output, t, expected, generator=generator).prev_sample
            expected = gaussian.ddpm_step(chain, output, expected, index, noise)
            assert torch.allclose(x, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype, tiny_dit: DiT, exported: Path) -> None:
    change_weights(exported, lambda state: state.update({name: value.to(dtype) for name, value in state.items()}))
    _, state = from_diffusers(exported)
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    name = "blocks.1.attn.qkv.weight"
    assert torch.equal(state[name], tiny_dit.state_dict()[name].to(dtype).float())


def test_weights_in_several_files_are_read(tiny_dit: DiT, exported: Path) -> None:
    stock(exported).save_pretrained(exported / "sharded", max_shard_size="20KB")
    assert len(list((exported / "sharded").glob("*.safetensors"))) > 1
    assert torch.equal(
        rebuild(exported / "sharded").state_dict()["final_layer.linear.weight"], tiny_dit.final_layer.linear.weight
    )


def test_early_exports_are_read(tiny_dit: DiT, exported: Path) -> None:
    """They say Transformer2DModel, have entries of other networks, and hold the positions."""
    change_json(exported / "transformer" / "config.json", _class_name="Transformer2DModel", cross_attention_dim=None)
    change_weights(exported, lambda state: state.update({"pos_embed.pos_embed": tiny_dit.pos_embed.detach().clone()}))
    assert torch.equal(rebuild(exported).blocks[3].mlp.fc1.weight, tiny_dit.blocks[3].mlp.fc1.weight)


def test_embedders_that_differ_are_refused_by_their_block(exported: Path) -> None:
    name = "transformer_blocks.2.norm1.emb.class_embedder.embedding_table.weight"
    change_weights(exported, lambda state: state[name].add_(1))
    assert "block 2 has another class_embedder.embedding_table.weight" in refusal(exported)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"_class_name": "PixArtTransformer2DModel"}, "PixArtTransformer2DModel"),
        ({"num_layers": 10**6}, "num_layers is 1000000, the file has 4"),
        ({"num_layers": 3}, "the file has 4"),
        ({"num_layers": "4"}, "depth is '4'"),
        ({"num_attention_heads": 100}, "do not fit their config"),
        ({"num_attention_heads": 0}, "whole numbers from 1"),
        ({"attention_head_dim": True}, "whole numbers from 1"),
        ({"attention_head_dim": 3}, "no multiple of 4"),
        ({"sample_size": 10**6}, "positions"),
        ({"sample_size": 7}, "does not divide"),
        ({"num_embeds_ada_norm": None}, "num_classes"),
        ({"num_embeds_ada_norm": 12}, "(11, 16), should be (13, 16)"),
        ({"out_channels": 3}, "out_channels is 3"),
        ({"out_channels": None}, "should be (4, 16)"),
        ({"norm_type": "layer_norm"}, "norm_type"),
        ({"activation_fn": "geglu"}, "activation_fn"),
        ({"attention_bias": False}, "attention_bias"),
        ({"norm_eps": 0.1}, "norm_eps"),
        ({"quantization_config": {}}, "quantised"),
    ],
)
def test_odd_config_is_refused_before_anything_is_allocated(changes: dict, words: str, exported: Path) -> None:
    change_json(exported / "transformer" / "config.json", **changes)
    assert words in refusal(exported)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda state: state.pop("proj_out_1.bias"), "lack proj_out_1.bias and 0 more"),
        (lambda state: state.update(extra=torch.zeros(2)), "have unknown extra"),
        (lambda state: state.update({"proj_out_1.bias": torch.zeros(33)}), "(33,), should be (32,)"),
        (lambda state: state.update({"proj_out_1.bias": torch.zeros(32, dtype=torch.int64)}), "is I64"),
        (lambda state: state["proj_out_1.bias"].fill_(float("nan")), "not numbers"),
    ],
)
def test_odd_weights_are_refused(change: Callable, words: str, exported: Path) -> None:
    change_weights(exported, change)
    assert words in refusal(exported)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
@pytest.mark.parametrize("name", ["model_index.json", "transformer/config.json", "transformer/tinylab.json"])
def test_damaged_json_is_refused(name: str, text: str, exported: Path) -> None:
    (exported / name).write_text(text)
    assert "whole copy" in refusal(exported)


@pytest.mark.parametrize("kept", [[0, 1, 2, 9], [0, 1, 2], [1, 0, 2, 3], ["0", 1, 2, 3], None, [0, 1, 2, 2], 7])
def test_impossible_history_is_refused(kept: Any, exported: Path) -> None:
    history = {"kept": {"transformer_blocks": kept}, "full_depth": {"transformer_blocks": 8}}
    (exported / "transformer" / "tinylab.json").write_text(json.dumps(history))
    assert "does not fit" in refusal(exported)


def test_other_pipelines_missing_parts_and_other_formats_are_refused(exported: Path) -> None:
    change_json(exported / "model_index.json", _class_name="FluxPipeline")
    assert "FluxPipeline" in refusal(exported)
    change_json(exported / "model_index.json", _class_name="DiTPipeline")
    weights = exported / "transformer" / WEIGHTS_FILE
    weights.rename(weights.with_suffix(".bin"))
    assert "safetensors" in refusal(exported)
    index = {"weight_map": {"proj_out_1.bias": "../elsewhere.safetensors"}}
    (exported / "transformer" / f"{WEIGHTS_FILE}.index.json").write_text(json.dumps(index))
    assert "beside it" in refusal(exported)
    index = {"weight_map": {"proj_out_1.bias": "gone.safetensors"}}
    (exported / "transformer" / f"{WEIGHTS_FILE}.index.json").write_text(json.dumps(index))
    assert "lacks gone.safetensors" in refusal(exported)
    (exported / "transformer" / "config.json").unlink()
    assert "lacks transformer/config.json" in refusal(exported)


@pytest.mark.parametrize("family, words", [("sit", "velocity"), ("mar", "only a DiT")])
def test_other_families_are_not_written(
    family: str, words: str, build_tiny: Callable[..., Denoiser], tmp_path: Path
) -> None:
    with pytest.raises(BadRequest, match=words):
        to_diffusers(build_tiny(family), tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_what_the_class_cannot_say_is_not_written(
    build_tiny_dit: Callable[..., DiT], vae: AutoencoderKL, tmp_path: Path
) -> None:
    with pytest.raises(BadRequest, match="mlp_ratio"):
        to_diffusers(build_tiny_dit(mlp_ratio=2.0), tmp_path / "out")
    moved = build_tiny_dit()
    moved.pos_embed.data.add_(1e-3)
    with pytest.raises(BadRequest, match="positions"):
        to_diffusers(moved, tmp_path / "out")
    with pytest.raises(BadRequest, match="the VAE has latents of 1 channels, the model draws 4"):
        to_diffusers(build_tiny_dit(in_channels=4), tmp_path / "out", vae=vae)
    with pytest.raises(BadRequest, match="2 labels"):
        to_diffusers(build_tiny_dit(), tmp_path / "out", labels=["a", "b"])
    assert not any(tmp_path.iterdir())


def test_command_exports_and_prints_the_notes(
    tiny_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", tiny_folder, "--to", "diffusers", "--out", str(tmp_path / "out"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert any("VAE" in note for note in printed["notes"])
    assert rebuild(tmp_path / "out").stack_depths() == {"blocks": 4}
