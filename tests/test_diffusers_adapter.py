"""Transformers of diffusers: gated, searched, cut, saved and loaded, with the real classes at a tiny size."""

from __future__ import annotations

import inspect
import json

import diffusers
import pytest
import torch
from golden_values import relative_error
from tiny_transformers import TINY_TRANSFORMERS, build, inputs, run
from torch import nn

from tinylab.errors import BadRequest
from tinylab.models.adapters import adapt, load_adapted
from tinylab.models.adapters.architectures import ARCHITECTURES
from tinylab.models.load import save_model
from tinylab.pruning.depth_mask import DepthMask
from tinylab.pruning.gates import gated
from tinylab.pruning.layout import Layout
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.training.search import add_lora

NAMES = sorted(TINY_TRANSFORMERS)
every_class = pytest.mark.parametrize("name", NAMES)
WEIGHTS = "diffusion_pytorch_model.safetensors"


def _masks(model, count=3, seed=0):
    """Random hard masks with gradients; blocks that must stay are kept."""
    generator = torch.Generator().manual_seed(seed)
    masks = {}
    for stack, depth in model.stack_depths().items():
        mask = (torch.rand(count, depth, generator=generator) > 0.5).float()
        mask[0, 0], mask[1, 0] = 1, 0  # at least one block with samples of both kinds
        mask[:, list(model.protected_blocks()[stack])] = 1
        masks[stack] = mask.requires_grad_()
    return masks


def _plan(model, parity=1):
    """Every other block and those that must stay."""
    depth = model.stack_depths()
    fixed = model.protected_blocks()
    kept = {s: tuple(i for i in range(n) if i % 2 == parity or i in fixed[s]) for s, n in depth.items()}
    return DepthPlan(kept, depth, "test")


def _by_hand(model, masks):
    """The formula with plain hooks: every hidden state that a block returns is mixed with what it got."""
    handles = []
    for stack, blocks in model.block_stacks().items():
        names = model.block_forms()[stack].returns
        for index, block in enumerate(blocks):
            if index in model.protected_blocks()[stack]:
                continue

            def hook(module, args, kwargs, out, m=masks[stack][:, index], names=names):
                places = list(inspect.signature(type(module).forward).parameters)[1:]
                wanted = names or places[:1]
                given = [kwargs[n] if n in kwargs else args[places.index(n)] for n in wanted]
                m = m.view(-1, 1, 1)
                mixed = [m * f + (1 - m) * x for f, x in zip(out if names else [out], given, strict=True)]
                return tuple(mixed) if names else mixed[0]

            handles.append(block.register_forward_hook(hook, with_kwargs=True))
    return handles


def test_every_known_class_is_tested():
    assert set(NAMES) == set(ARCHITECTURES)


@every_class
@torch.no_grad()
def test_gates_follow_the_formula(name):
    model = adapt(build(name))
    plain = run(model, name)
    ones = {stack: torch.ones(3, depth) for stack, depth in model.stack_depths().items()}
    with gated(model, ones):
        assert relative_error(run(model, name), plain) < 1e-5
    masks = _masks(model)
    with gated(model, masks):
        found = run(model, name)
    handles = _by_hand(model, masks)
    wanted = run(model, name)
    for handle in handles:
        handle.remove()
    assert relative_error(found, wanted) < 1e-5
    assert relative_error(found, plain) > 1e-3
    assert torch.equal(run(model, name), plain)


@every_class
def test_skipping_equals_the_dense_formula_with_all_gradients(name):
    results = []
    for way in ("exact", "dense"):
        model = adapt(build(name))
        masks = _masks(model)
        with gated(model, masks, way=way):
            out = run(model, name)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).mean().backward()
        gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        results.append((out.detach(), gradients | {stack: mask.grad for stack, mask in masks.items()}))
    (fast, fast_gradients), (dense, dense_gradients) = results
    assert relative_error(fast, dense) < 1e-5
    scale = max(gradient.norm() for gradient in dense_gradients.values())
    for key, wanted in dense_gradients.items():
        found = fast_gradients.get(key, torch.zeros_like(wanted))
        assert (found - wanted).norm() <= 1e-5 * max(wanted.norm(), 1e-2 * scale), key
    assert all(dense_gradients[stack].abs().sum() > 0 for stack in masks)


@every_class
def test_the_batch_is_really_taken_apart(name):
    model = adapt(build(name))
    sizes = []
    for blocks in model.block_stacks().values():
        for block in blocks:
            attention = next(m for key, m in block.named_modules() if key.startswith("att") and "." not in key)
            attention.register_forward_pre_hook(
                lambda module, args, kwargs: sizes.append(len(args[0] if args else kwargs["hidden_states"])),
                with_kwargs=True,
            )
    with gated(model, _masks(model)):
        run(model, name)
    assert {1, 2} <= set(sizes)
    sizes.clear()
    with torch.no_grad(), gated(model, _masks(model)):
        run(model, name)
    wanted = sum(round(mask.sum().item()) for mask in _masks(model).values())
    assert sum(sizes) == wanted


@every_class
@torch.no_grad()
def test_a_cut_model_equals_the_gated_one_and_diffusers_alone_loads_it(name, tmp_path):
    model = adapt(build(name))
    plan = _plan(model)
    masks = {s: torch.zeros(3, n).index_fill_(1, torch.tensor(plan.kept[s]), 1) for s, n in plan.depth.items()}
    with gated(model, masks):
        wanted = run(model, name)
    shallow = apply_plan(model, plan)
    out = run(shallow, name)
    assert relative_error(out, wanted) < 1e-5
    save_model(shallow, tmp_path / "cut", card="# Cut\n")
    stock = getattr(diffusers, name).from_pretrained(tmp_path / "cut")
    assert torch.equal(run(stock, name), out)
    back = load_adapted(tmp_path / "cut")
    assert type(back.transformer) is type(stock)
    assert torch.equal(run(back, name), out)
    assert back.stack_depths() == {stack: len(indices) for stack, indices in plan.kept.items()}
    assert back.kept == {stack: list(indices) for stack, indices in plan.kept.items()}
    assert back.full_depth == plan.depth
    assert sum(p.numel() for p in back.parameters()) < sum(p.numel() for p in model.parameters())


@every_class
def test_lora_sits_on_the_blocks_and_starts_as_nothing(name):
    model = adapt(build(name).requires_grad_(False))  # kernels with autograd round differently
    before = run(model, name)
    trainable = add_lora(model, rank=2, alpha=4)
    with torch.no_grad():
        assert torch.equal(run(model, name), before)
    linears = sum(
        isinstance(m, nn.Linear) and "lora" not in key
        for blocks in model.block_stacks().values()
        for key, m in blocks.named_modules()
    )
    assert len(trainable) == 2 * linears > 0
    outside = [key for key, p in model.named_parameters() if p.requires_grad and not _inside(model, key)]
    assert outside == []


def _inside(model, key):
    return any(key.startswith(f"transformer.{stack}.") for stack in model.block_stacks())


@torch.no_grad()
def test_a_second_cut_still_names_the_blocks_of_the_first_model(tmp_path):
    name = "SD3Transformer2DModel"
    once = apply_plan(adapt(build(name)), DepthPlan.of([0, 2, 3], {"transformer_blocks": 4}, "test"))
    assert list(once.config.dual_attention_layers) == [0, 1]
    twice = apply_plan(once, DepthPlan.of([1, 2], {"transformer_blocks": 3}, "test"))
    assert list(twice.config.dual_attention_layers) == [0]
    assert (twice.kept, twice.full_depth) == ({"transformer_blocks": [2, 3]}, {"transformer_blocks": 4})


@torch.no_grad()
def test_the_cut_model_is_a_copy_and_the_first_one_is_whole():
    name = "FluxTransformer2DModel"
    model = adapt(build(name))
    before = run(model, name)
    shallow = apply_plan(model, _plan(model))
    for parameter in shallow.parameters():
        parameter.zero_()
    assert torch.equal(run(model, name), before)
    assert model.config.num_single_layers == 4


def test_an_empty_list_of_blocks_is_no_stack():
    model = adapt(build("FluxTransformer2DModel", num_layers=0))
    assert model.stack_depths() == {"single_transformer_blocks": 4}
    shallow = apply_plan(model, DepthPlan.of([1], model.stack_depths(), "test"))
    assert run(shallow, "FluxTransformer2DModel").shape == (3, 4, 4)


def test_the_last_block_of_sd3_must_stay():
    model = adapt(build("SD3Transformer2DModel"))
    depth = model.stack_depths()
    assert model.protected_blocks() == {"transformer_blocks": (3,)}
    with pytest.raises(BadRequest, match="block 3 of 'transformer_blocks' must stay"):
        apply_plan(model, DepthPlan.of([0, 1], depth, "test"))
    with pytest.raises(BadRequest, match="block 3 of 'transformer_blocks' must stay"):
        with gated(model, {"transformer_blocks": torch.zeros(3, 4)}):
            pass
    mask = DepthMask(Layout.parse("1:2", depth), protected=model.protected_blocks())
    drawn = mask.draw(50, tau=1.0, generator=torch.Generator().manual_seed(0)).masks["transformer_blocks"]
    assert (drawn[:, 3] == 1).all() and (drawn[:, 2] == 0).all()
    assert 0 < drawn[:, 0].mean() < 1
    assert 3 in mask.decision()["transformer_blocks"]


def test_the_first_block_of_a_dit_must_stay_once_its_embedders_differ():
    transformer = build("DiTTransformer2DModel")
    assert adapt(transformer).protected_blocks() == {"transformer_blocks": ()}
    transformer.transformer_blocks[2].norm1.emb.timestep_embedder.linear_1.bias.data += 1
    assert adapt(transformer).protected_blocks() == {"transformer_blocks": (0,)}


def test_dropout_stays_off_in_training():
    model = adapt(build("DiTTransformer2DModel", dropout=0.5)).train()
    assert model.training and not model.transformer.training
    assert torch.equal(run(model, "DiTTransformer2DModel"), run(model, "DiTTransformer2DModel"))


@pytest.mark.parametrize("count", [1, 2, 7])
@torch.no_grad()
def test_any_size_of_batch_also_that_of_a_number_of_tokens(count):
    name = "FluxTransformer2DModel"  # rotary embeddings of 7 tokens without an axis of samples
    model = adapt(build(name))
    masks = _masks(model, max(2, count))
    masks = {stack: mask[:count] for stack, mask in masks.items()}
    with gated(model, masks):
        found = run(model, name, count)
    with gated(model, masks, way="dense"):
        assert relative_error(found, run(model, name, count)) < 1e-5


@every_class
def test_half_precision_keeps_gradients_of_the_masks_in_fp32(name):
    model = adapt(build(name).to(torch.bfloat16))
    masks = _masks(model)
    given = {key: _half(value) for key, value in inputs(name).items()}
    with gated(model, masks):
        out = run(model, name, given=given)
    out.float().square().mean().backward()
    assert all(mask.grad.dtype == torch.float32 and mask.grad.isfinite().all() for mask in masks.values())
    assert all(mask.grad.abs().sum() > 0 for mask in masks.values())


def _half(value):
    if isinstance(value, list):
        return [_half(entry) for entry in value]
    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.to(torch.bfloat16) if floating else value


@torch.no_grad()
def test_arguments_of_twice_the_batch_fall_back_to_the_dense_formula():
    name = "QwenImageTransformer2DModel"
    model = adapt(build(name, zero_cond_t=True))
    masks = _masks(model)
    given = inputs(name) | {"img_shapes": [[(1, 1, 2), (1, 1, 2)]] * 3}
    with gated(model, masks):
        found = run(model, name, given=given)
    with gated(model, masks, way="dense"):
        assert relative_error(found, run(model, name, given=given)) < 1e-5


def test_a_mask_for_another_batch_is_refused():
    model = adapt(build("SanaTransformer2DModel"))
    with gated(model, _masks(model, 2)), pytest.raises(BadRequest, match=r"one entry for each of 2 masks"):
        run(model, "SanaTransformer2DModel")


def test_gates_keep_the_hooks_of_others_and_refuse_checkpointing():
    model = adapt(build("SanaTransformer2DModel"))
    block = model.transformer.transformer_blocks[0]
    calls, first = [], block.forward
    block.forward = lambda *args, **kwargs: (calls.append(1), first(*args, **kwargs))[1]
    theirs = block.forward
    with gated(model, _masks(model)):
        run(model, "SanaTransformer2DModel")
    assert block.forward is theirs and calls
    model.transformer.enable_gradient_checkpointing()
    with pytest.raises(BadRequest, match="do not survive gradient checkpointing"), gated(model, _masks(model)):
        pass


# --- classes that nobody has looked at ---


PRX = {
    "in_channels": 4,
    "patch_size": 1,
    "context_in_dim": 12,
    "hidden_size": 16,
    "num_heads": 2,
    "depth": 4,
    "axes_dim": [4, 4],
}


def _run_prx(model, count=3):
    torch.manual_seed(1)
    x, text = torch.randn(count, 4, 4, 4), torch.randn(count, 3, 12)
    return model(x, torch.linspace(0.1, 0.9, count), text, return_dict=False)[0]


@torch.no_grad()
def test_an_unknown_class_with_one_list_of_equal_blocks_is_adapted(tmp_path):
    transformer = build("PRXTransformer2DModel", **PRX)
    model = adapt(transformer)
    assert model.stack_depths() == {"blocks": 4}
    assert model.depth_keys == {"blocks": "depth"}
    plan = _plan(model)
    mask = torch.zeros(3, 4).index_fill_(1, torch.tensor(plan.kept["blocks"]), 1)
    masks = _masks(model)
    with gated(model, masks):
        found = _run_prx(model)
    with gated(model, masks, way="dense"):
        assert relative_error(found, _run_prx(model)) < 1e-5
    with gated(model, {"blocks": mask}):
        wanted = _run_prx(model)
    shallow = apply_plan(model, plan)
    out = _run_prx(shallow)
    assert relative_error(out, wanted) < 1e-5
    shallow.save_pretrained(tmp_path)
    assert torch.equal(_run_prx(diffusers.PRXTransformer2DModel.from_pretrained(tmp_path)), out)
    assert torch.equal(_run_prx(load_adapted(tmp_path)), out)


def _hunyuan():
    sizes = {"in_channels": 4, "hidden_size": 16, "num_layers": 4, "sample_size": 8, "cross_attention_dim": 8}
    heads = {"num_attention_heads": 2, "attention_head_dim": 8, "activation_fn": "gelu-approximate"}
    text = {"cross_attention_dim_t5": 8, "pooled_projection_dim": 8, "text_len": 3, "text_len_t5": 3}
    return diffusers.HunyuanDiT2DModel(**sizes, **heads, **text, patch_size=2)


def _latte():
    heads = {"num_attention_heads": 2, "attention_head_dim": 8, "norm_type": "ada_norm_single"}
    return diffusers.LatteTransformer3DModel(
        **heads, in_channels=4, num_layers=2, sample_size=8, patch_size=2, cross_attention_dim=16, caption_channels=8
    )


def _unet():
    return diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )


def _mochi():
    heads = {"num_attention_heads": 2, "attention_head_dim": 8}
    return diffusers.MochiTransformer3DModel(
        **heads, num_layers=3, pooled_projection_dim=8, in_channels=4, text_embed_dim=8, time_embed_dim=8
    )


def _chroma():
    return diffusers.ChromaTransformer2DModel(
        in_channels=4,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=8,
        axes_dims_rope=(2, 2, 4),
        approximator_hidden_dim=8,
        approximator_layers=1,
        approximator_num_channels=8,
    )


def _allegro():
    heads = {"num_attention_heads": 2, "attention_head_dim": 12, "cross_attention_dim": 24, "caption_channels": 8}
    return diffusers.AllegroTransformer3DModel(**heads, in_channels=4, out_channels=4, num_layers=2)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_hunyuan, "HunyuanDiT2DModel cannot be cut .* block 3 and block 0 differ in skip_"),
        (_latte, r"it holds several lists \(transformer_blocks, temporal_transformer_blocks\)"),
        (_unet, r"it holds several lists \(down_blocks, up_blocks\)"),
        (_mochi, "its transformer_blocks are not alike: block 2 and block 0 differ in "),
        (_chroma, r"it holds several lists \(transformer_blocks, single_transformer_blocks\)"),
        (_allegro, "its blocks may depend on their place"),
        (lambda: nn.Linear(2, 2), "Linear is not a model of diffusers"),
        (lambda: build("WanTransformer3DModel", num_layers=0), "this WanTransformer3DModel has no blocks"),
    ],
    ids=["skips", "pairs", "unet", "unlike", "place", "counts", "no model", "no blocks"],
)
def test_what_does_not_fit_is_refused_with_the_reason(make, reason):
    with pytest.raises(BadRequest, match=reason) as caught:
        adapt(make())
    assert "\n" not in str(caught.value)


# --- folders of strangers ---


@pytest.fixture
def sana_folder(tmp_path):
    """A tiny Sana, saved by diffusers."""
    build("SanaTransformer2DModel").save_pretrained(tmp_path / "sana")
    return tmp_path / "sana"


def _edit(path, **changes):
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | changes))


def test_a_folder_of_diffusers_is_loaded_as_it_is(sana_folder):
    model = load_adapted(sana_folder)
    assert (model.kept, model.full_depth) == (None, None)
    stock = diffusers.SanaTransformer2DModel.from_pretrained(sana_folder)
    assert torch.equal(run(model, "SanaTransformer2DModel"), run(stock, "SanaTransformer2DModel"))
    assert not model.transformer.training


def test_weights_in_several_files_and_in_bfloat16_are_loaded(tmp_path):
    transformer = build("SanaTransformer2DModel").to(torch.bfloat16)
    transformer.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    model = load_adapted(tmp_path)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    wanted = transformer.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in model.transformer.state_dict().items())
    next(tmp_path.glob("*-00002-*.safetensors")).unlink()
    with pytest.raises(BadRequest, match="lacks diffusion_pytorch_model-00002-"):
        load_adapted(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_class_name": "UNet2DModel"}, "holds a 'UNet2DModel'; give the folder of a transformer"),
        ({"_class_name": "os.system"}, "holds a 'os.system'; give the folder of a transformer"),
        ({"_class_name": None, "auto_map": {"AutoModel": "evil.Model"}}, "holds a None; give"),
        ({"num_layers": 5}, "do not fit their config: lacks transformer_blocks.4"),
        ({"num_layers": 3}, "do not fit their config: has unknown transformer_blocks.3"),
        ({"num_layers": 1_000_000}, "num_layers is 1000000, but the file holds only"),
        ({"in_channels": 10**9}, "in_channels is 1000000000, more than"),
        ({"caption_channels": 20}, r"caption_projection.linear_1.weight is \(16, 12\), should be \(16, 20\)"),
        ({"num_attention_heads": "two"}, "does not describe a SanaTransformer2DModel"),
        ({"sample_size": 60_000, "interpolation_scale": 1}, "asks for tables of"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "of a quantised model"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_before_anything_is_allocated(sana_folder, changes, reason):
    _edit(sana_folder / "config.json", **changes)
    with pytest.raises(BadRequest, match=reason) as caught:
        load_adapted(sana_folder)
    assert "\n" not in str(caught.value)


def test_damaged_and_missing_files_are_refused(sana_folder, tmp_path):
    with pytest.raises(BadRequest, match="config.json is missing"):
        load_adapted(tmp_path / "nowhere")
    weights = sana_folder / WEIGHTS
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(BadRequest, match="truncated or not a safetensors file"):
        load_adapted(sana_folder)
    weights.unlink()
    (sana_folder / "diffusion_pytorch_model.bin").write_bytes(whole)
    with pytest.raises(BadRequest, match="holds no weights"):
        load_adapted(sana_folder)
    for name in ("../../secret.safetensors", "pickle.bin", ["a list"]):
        (sana_folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(BadRequest, match="does not name safetensors files beside it"):
            load_adapted(sana_folder)
    weights.write_bytes(whole)  # diffusers follows the index even then
    with pytest.raises(BadRequest, match="does not name safetensors files beside it"):
        load_adapted(sana_folder)
    (sana_folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(BadRequest, match="is not the config.json"):
        load_adapted(sana_folder)


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    transformer = build("SanaTransformer2DModel")
    transformer.proj_out.bias.data[0] = torch.nan
    transformer.save_pretrained(tmp_path)
    with pytest.raises(BadRequest, match="not numbers in proj_out.bias"):
        load_adapted(tmp_path)


@pytest.mark.parametrize(
    "history",
    [
        {"kept": {"transformer_blocks": [0, 1]}, "full_depth": {"transformer_blocks": 4}},
        {"kept": {"transformer_blocks": [0, 1, 2, 9]}, "full_depth": {"transformer_blocks": 8}},
        {"kept": {"transformer_blocks": [3, 1, 2, 0]}, "full_depth": {"transformer_blocks": 8}},
        {"kept": {"blocks": [0, 1, 2, 3]}, "full_depth": {"blocks": 8}},
        {"kept": [0, 1, 2, 3]},
    ],
)
def test_a_history_that_cannot_be_is_refused(sana_folder, history):
    (sana_folder / "tinylab.json").write_text(json.dumps(history))
    with pytest.raises(BadRequest, match="tinylab.json does not fit a model of"):
        load_adapted(sana_folder)
