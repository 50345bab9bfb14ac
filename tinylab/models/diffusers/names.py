"""The DiT of diffusers and ours, name by name and entry by entry of the config. Free of torch.

diffusers' DiTTransformer2DModel holds the embedders of time and class once per block, splits query, key and value, and
computes the positions itself; all else is only named otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinylab.errors import BadRequest
from tinylab.models.families import FAMILIES
from tinylab.models.published.published_shapes import expected_shapes

__all__ = ["CLASS_NAMES", "Place", "our_config", "places", "their_config", "their_shapes"]

CLASS_NAMES = ("DiTTransformer2DModel", "Transformer2DModel")  # the second is what early exports call it
_POSITIONS_LIMIT = 2**26  # numbers in the table of positions, which no file holds
# What our DiT does, as diffusers says it; entries that a config leaves out have these values too.
_FIXED = {
    "norm_type": "ada_norm_zero",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
    "cross_attention_dim": None,
    "num_vector_embeds": None,
}
_DEFAULTS = {
    **{"num_attention_heads": 16, "attention_head_dim": 72, "in_channels": 4, "out_channels": None, "num_layers": 28},
    **{"sample_size": 32, "patch_size": 2, "num_embeds_ada_norm": 1000, "norm_eps": 1e-5, "dropout": 0.0},
}
_SIZES = {
    **{"sample_size": "input_size", "patch_size": "patch_size", "in_channels": "in_channels"},
    **{"num_layers": "depth", "num_attention_heads": "num_heads", "num_embeds_ada_norm": "num_classes"},
}
_EMBEDDERS = {
    "t_embedder.mlp.0.weight": "timestep_embedder.linear_1.weight",
    "t_embedder.mlp.0.bias": "timestep_embedder.linear_1.bias",
    "t_embedder.mlp.2.weight": "timestep_embedder.linear_2.weight",
    "t_embedder.mlp.2.bias": "timestep_embedder.linear_2.bias",
    "y_embedder.embedding_table.weight": "class_embedder.embedding_table.weight",
}
_LAYERS = {
    "x_embedder.proj": "pos_embed.proj",
    "final_layer.adaLN_modulation.1": "proj_out_1",
    "final_layer.linear": "proj_out_2",
}
_BLOCK_LAYERS = {
    "attn.qkv": ("attn1.to_q", "attn1.to_k", "attn1.to_v"),
    "attn.proj": ("attn1.to_out.0",),
    "mlp.fc1": ("ff.net.0.proj",),
    "mlp.fc2": ("ff.net.2",),
    "adaLN_modulation.1": ("norm1.linear",),
}


@dataclass(frozen=True)
class Place:
    """Where diffusers keeps one of our tensors.

    Attributes:
        names: the tensors that it is made of, joined along the first axis.
        copies: `names` are equal copies of the whole instead, one a block.
    """

    names: tuple[str, ...]
    copies: bool = False


def places(depth: int) -> dict[str, Place]:
    """The place of every tensor of ours but the positions, for a DiT of `depth` blocks."""
    kinds = ("weight", "bias")
    found = {f"{ours}.{kind}": Place((f"{theirs}.{kind}",)) for ours, theirs in _LAYERS.items() for kind in kinds}
    for ours, theirs in _EMBEDDERS.items():
        copies = tuple(f"transformer_blocks.{i}.norm1.emb.{theirs}" for i in range(depth))
        found[ours] = Place(copies, copies=True)
    for i in range(depth):
        for layer, parts in _BLOCK_LAYERS.items():
            for kind in kinds:
                names = tuple(f"transformer_blocks.{i}.{part}.{kind}" for part in parts)
                found[f"blocks.{i}.{layer}.{kind}"] = Place(names)
    return found


def their_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape by name of every tensor in diffusers' state dict of a model with this config of ours."""
    ours = expected_shapes("dit", config)
    table: dict[str, tuple[int, ...]] = {}
    for name, place in places(config["depth"]).items():
        rows, *rest = ours[name]
        parts = 1 if place.copies else len(place.names)
        table |= dict.fromkeys(place.names, (rows // parts, *rest))
    return table


def our_config(config: Mapping[str, Any], source: object) -> tuple[dict[str, Any], list[str]]:
    """Our config of a transformer with this config of diffusers, and what it loses, one line each.

    Raises:
        BadRequest: another class, or settings that our DiT does not have; `source` is named in it.
    """
    class_name = config.get("_class_name")
    if class_name not in CLASS_NAMES:
        raise BadRequest(f"{source} holds a {class_name!r}; of diffusers, Tinylab reads {CLASS_NAMES[0]}")
    if "quantization_config" in config:
        raise BadRequest(f"{source} is of a quantised model; give the model in float32, float16 or bfloat16")
    for key, value in _FIXED.items():
        if config.get(key, value) != value:
            raise BadRequest(f"{source}: {key} is {config[key]!r}; a DiT has {value!r}")
    given = {key: config.get(key, default) for key, default in _DEFAULTS.items()}
    if class_name != CLASS_NAMES[0]:
        given |= {key: config.get(key) for key in ("num_embeds_ada_norm", "sample_size", "patch_size")}
    ours: dict[str, Any] = {"_class_name": "DiT", **{name: given[key] for key, name in _SIZES.items()}}
    ours |= {"hidden_size": _width(given, source), "mlp_ratio": 4.0}
    FAMILIES["dit"].check(ours, source)
    ours["learn_sigma"] = _learns_sigma(given, source)
    _check_positions(ours, source)
    return ours, _losses(given, source)


def _width(given: Mapping[str, Any], source: object) -> int:
    heads, width = given["num_attention_heads"], given["attention_head_dim"]
    if type(heads) is not int or type(width) is not int or heads < 1 or width < 1:
        raise BadRequest(f"{source}: num_attention_heads and attention_head_dim should be whole numbers from 1")
    return heads * width


def _learns_sigma(given: Mapping[str, Any], source: object) -> bool:
    inputs, outputs = given["in_channels"], given["out_channels"]
    if outputs not in (None, inputs, 2 * inputs):
        raise BadRequest(f"{source}: out_channels is {outputs!r}; a DiT has in_channels ({inputs}), or twice as many")
    return outputs == 2 * inputs


def _check_positions(ours: Mapping[str, Any], source: object) -> None:
    """The table of positions is in no file: its size must be sane before it is made."""
    grid, width = ours["input_size"] // ours["patch_size"], ours["hidden_size"]
    if width % 4:
        raise BadRequest(f"{source}: the width {width} is no multiple of 4, as 2-D positions need")
    if grid * grid * width > _POSITIONS_LIMIT:
        raise BadRequest(f"{source} asks for {grid}x{grid} positions of width {width}; get a sound copy of it")


def _losses(given: Mapping[str, Any], source: object) -> list[str]:
    if given["norm_eps"] not in (1e-5, 1e-6):
        raise BadRequest(f"{source}: norm_eps is {given['norm_eps']!r}; a DiT has 1e-06")
    notes = ["computed as published: with time frequencies that diffusers spreads a little further apart"]
    if given["norm_eps"] != 1e-6:
        notes.append(f"norm_eps {given['norm_eps']} became the published 1e-06")
    if given["dropout"]:
        notes.append(f"dropout {given['dropout']} is left out: our DiT has none")
    return notes


def their_config(ours: Mapping[str, Any]) -> dict[str, Any]:
    """The config for diffusers of a DiT with this config of ours.

    Raises:
        BadRequest: the class of diffusers cannot be built like this.
    """
    width, inner = ours["hidden_size"], int(ours["hidden_size"] * ours["mlp_ratio"])
    if inner != 4 * width:
        raise BadRequest(
            f"diffusers' DiT has an mlp_ratio of 4 only, this model has {ours['mlp_ratio']}; use --to published"
        )
    theirs: dict[str, Any] = {key: ours[name] for key, name in _SIZES.items()}
    theirs["attention_head_dim"] = width // ours["num_heads"]
    theirs["out_channels"] = ours["in_channels"] * (2 if ours["learn_sigma"] else 1)
    # An eps of 1e-6 is what every norm of the published DiT has; the default of diffusers is another.
    theirs |= {"dropout": 0.0, "norm_num_groups": 32, "upcast_attention": False, "norm_eps": 1e-6}
    return theirs | {key: value for key, value in _FIXED.items() if value is not None}
