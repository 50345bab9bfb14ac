"""Recognising published state dicts by their headers alone, and the table of published sizes."""

from __future__ import annotations

import math

import pytest
from golden_values import load_golden

from tinylab.errors import BadRequest
from tinylab.models.families import FAMILIES
from tinylab.models.load import sketch
from tinylab.models.published.published import Hints, recognise
from tinylab.models.published.published_shapes import expected_shapes, plain_names
from tinylab.models.sizes import HEADS, SIZES, size_name

DIT = {"input_size": 8, "patch_size": 2, "in_channels": 3, "hidden_size": 16, "depth": 3, "num_heads": 2}
DIT |= {"mlp_ratio": 2.5, "num_classes": 7, "learn_sigma": False}
MAR = {"img_size": 24, "vae_stride": 3, "patch_size": 2, "encoder_embed_dim": 12, "encoder_depth": 2}
MAR |= {"encoder_num_heads": 3, "decoder_embed_dim": 24, "decoder_depth": 3, "decoder_num_heads": 6, "mlp_ratio": 2.0}
MAR |= {"vae_embed_dim": 5, "class_num": 7, "buffer_size": 4, "diffloss_d": 2, "diffloss_w": 20}
MAR |= {"num_sampling_steps": 9, "diffusion_batch_mul": 2, "clip_value": 1.5}
TINY = {"dit": DIT, "sit": DIT | {"path": "gvp"}, "mar": MAR}
UNTOLD = {
    "dit": Hints("dit", 2),
    "sit": Hints("sit", 2, path="gvp"),
    "mar": Hints("mar", 3, 6, 2, 3, num_sampling_steps=9, diffusion_batch_mul=2, clip_value=1.5),
}


def refusal(shapes: dict[str, tuple[int, ...]], **options: object) -> str:
    with pytest.raises(BadRequest) as refused:
        recognise(shapes, "it", **{"hints": Hints(num_heads=2), **options})
    message = str(refused.value)
    assert message and "\n" not in message
    return message


@pytest.fixture
def shapes() -> dict[str, tuple[int, ...]]:
    """Those of a tiny DiT, to be damaged."""
    return expected_shapes("dit", DIT)


@pytest.mark.parametrize("family", FAMILIES)
def test_worked_out_shapes_are_those_of_the_class(family: str) -> None:
    state = sketch(FAMILIES[family], TINY[family]).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected_shapes(family, TINY[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_config_comes_back_from_shapes(family: str) -> None:
    found = recognise(expected_shapes(family, TINY[family]), "it", hints=UNTOLD[family])
    assert (found.family.name, found.config, found.size, found.notes) == (family, TINY[family], None, ())


@pytest.mark.parametrize("name", SIZES)
def test_every_published_size_is_known_by_its_shapes(name: str) -> None:
    size = SIZES[name]
    found = recognise(expected_shapes(size.family, size.config), "it", hints=Hints(size.family))
    assert found.size == name
    assert {key: found.config[key] for key in size.config} == size.config


def test_sizes_have_their_published_number_of_parameters() -> None:
    def millions(name: str) -> float:
        model = sketch(FAMILIES[SIZES[name].family], SIZES[name].config)
        return sum(p.numel() for p in model.parameters() if p.requires_grad) / 1e6

    assert {name: round(millions(name)) for name in ("DiT-S/2", "DiT-B/2", "DiT-L/2", "DiT-XL/2", "TinyDiT-D14/2")} == {
        "DiT-S/2": 33, "DiT-B/2": 130, "DiT-L/2": 458, "DiT-XL/2": 675, "TinyDiT-D14/2": 340,
    }  # fmt: skip
    assert [round(millions(name)) for name in ("SiT-S/2", "SiT-B/2", "SiT-L/2", "SiT-XL/2")] == [33, 130, 458, 675]
    masked = {name: math.ceil(millions(name)) for name in ("MAR-B", "MAR-L", "MAR-H")}
    assert masked == {"MAR-B": 208, "MAR-L": 479, "MAR-H": 943}
    exact = {
        "DiT-XL/2": 675_129_632,
        "TinyDiT-D14/2": 340_457_504,
    }  # with the fixed positions, as checkpoints hold them
    for name, count in exact.items():
        assert sum(math.prod(shape) for shape in expected_shapes("dit", SIZES[name].config).values()) == count


def test_sizes_agree_on_the_heads_of_a_width() -> None:
    for size in SIZES.values():
        family = FAMILIES[size.family]
        assert HEADS[size.config[family.width]] == size.config[family.heads]


def test_another_depth_is_of_no_published_size() -> None:
    assert size_name("dit", {**SIZES["DiT-XL/2"].config, "depth": 27}) is None


def test_the_golden_model_is_recognised() -> None:
    golden = load_golden("dit")
    found = recognise({n: tuple(t.shape) for n, t in golden.part("model").items()}, "it", hints=Hints(num_heads=4))
    assert {name: found.config[name] for name in golden.config} == golden.config


@pytest.mark.parametrize(
    "name, family",
    [
        ("SiT-XL-2-256.pt", "sit"),
        ("tinysit_d14.pt", "sit"),
        ("DiT-XL-2.pt", "dit"),
        ("transit.pt", "dit"),
        ("x", "dit"),
    ],
)
def test_the_file_name_tells_a_sit_and_the_guess_is_said(name: str, family: str, shapes) -> None:
    found = recognise(shapes, "it", name=name, hints=Hints(num_heads=2))
    assert found.family.name == family
    assert found.notes[0].endswith(
        "--family dit takes it as DiT" if family == "sit" else "--family sit takes it as SiT"
    )


def test_what_a_mar_does_not_tell_is_assumed_and_said() -> None:
    found = recognise(expected_shapes("mar", MAR), "it", hints=Hints(num_heads=3))
    told = {name: found.config[name] for name in ("img_size", "vae_stride", "patch_size", "vae_embed_dim")}
    assert told == {"img_size": 64, "vae_stride": 16, "patch_size": 1, "vae_embed_dim": 20}
    assert "latents of 20 channels, 4x4, in patches of 1" in found.notes[0]


def test_a_class_table_without_a_null_class_is_suspected(shapes) -> None:
    config = DIT | {"num_classes": 9}
    (_, note) = recognise(expected_shapes("dit", config), "it", hints=Hints(num_heads=2)).notes
    assert note.startswith("its class table has 10 rows: read as 9 classes")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"blocks.1.attn.qkv.weight": None}, "lacks blocks.1.attn.qkv.weight (48, 16)"),
        ({"blocks.2.mlp.fc1.weight": (41, 16)}, "blocks.2.mlp.fc1.weight is (41, 16), should be (40, 16)"),
        ({"extra\x1b[31m": (1,)}, "has unknown extra\\x1b[31m (1,)"),
        ({"blocks.7.attn.qkv.weight": (48, 16)}, "lacks blocks.3, though it has blocks.7"),
        ({"y_embedder.embedding_table.weight": (8, 12)}, "is (8, 12), should be (8, 16)"),
        ({"y_embedder.embedding_table.weight": (1, 16)}, "a class and the null class"),
        ({"final_layer.linear.weight": (18, 16)}, "12, or 24 with a learned variance"),
        ({"pos_embed": (1, 15, 16)}, "15 positions, which make no square"),
        ({"pos_embed": (16, 16)}, "should have 3 dimensions"),
        ({"x_embedder.proj.weight": (0, 3, 2, 2)}, "none of them empty"),
        ({"x_embedder.proj.weight": (18, 3, 2, 2)}, "multiple of 4"),
        ({"x_embedder.proj.weight": None}, "holds no DiT, SiT or MAR"),
        ({"t_embedder.mlp.0.weight": (16, 128)}, "should be (16, 256)"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict, words: str, shapes) -> None:
    damaged = {name: shape for name, shape in (shapes | changes).items() if shape is not None}
    assert words in refusal(damaged)


@pytest.mark.parametrize(
    "hints, words",
    [
        (Hints(), "width of 16, so say its attention heads: --num-heads N"),
        (Hints(num_heads=3), "3 heads do not divide a width of 16"),
        (Hints(num_heads=0), "0 heads do not divide"),
        (Hints("mar", 2), "holds a DiT or a SiT"),
        (Hints("cat", 2), "choose one of: dit, sit, mar"),
        (Hints(num_heads=2, kept={"blocks": [0, 2, 2]}, full_depth={"blocks": 6}), "was cut from"),
        (Hints(num_heads=2, kept={"blocks": [0, 2, 6]}, full_depth={"blocks": 6}), "was cut from"),
        (Hints(num_heads=2, kept={"blocks": [0, 2, 3]}), "was cut from"),
    ],
)
def test_hints_that_do_not_fit_are_refused(hints: Hints, words: str, shapes) -> None:
    assert words in refusal(shapes, hints=hints)


def test_a_mar_is_refused_where_it_does_not_fit() -> None:
    shapes = expected_shapes("mar", MAR)
    assert "holds a MAR" in refusal(shapes, hints=Hints("sit", 3))
    assert "patches of 3 do not divide tokens of 20" in refusal(shapes, hints=Hints(num_heads=3, patch_size=3))
    assert "--patch-size 0" in refusal(shapes, hints=Hints(num_heads=3, patch_size=0))
    assert "a buffer need more" in refusal(
        shapes | {"encoder_pos_embed_learned": (1, 16, 12)}, hints=Hints(num_heads=3)
    )
    shapes.pop("decoder_blocks.2.norm2.bias")
    assert "lacks decoder_blocks.2.norm2.bias (24,)" in refusal(shapes, hints=Hints(num_heads=3))


def test_a_shallow_file_declares_no_deep_model() -> None:
    """The index of a block costs nothing to write; a table of so many blocks must not be made."""
    shapes = expected_shapes("dit", DIT) | {"blocks.9999.attn.qkv.weight": (48, 16)}
    assert "lacks blocks.3" in refusal(shapes)


def test_wrappers_and_search_logits_go_from_the_names() -> None:
    names = ["module._orig_mod.pos_embed", "module._orig_mod.gumbel_gates.0"]
    assert plain_names(names) == {"pos_embed": "module._orig_mod.pos_embed"}
    assert plain_names(["module.a", "b"]) == {"module.a": "module.a", "b": "b"}
