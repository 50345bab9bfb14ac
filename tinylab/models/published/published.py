"""Telling what a published state dict is from the names and shapes of its tensors. Free of torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tinylab.errors import BadRequest
from tinylab.models.families import FAMILIES, Family, history_fits
from tinylab.models.published.published_shapes import expected_shapes
from tinylab.models.sizes import HEADS, size_name

__all__ = ["Hints", "Published", "recognise"]

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Hints:
    """What the shapes do not tell, as far as it is known.

    Attributes:
        family: `dit`, `sit` or `mar`.
        num_heads: attention heads, for widths that no published size has; of a MAR's encoder.
        decoder_num_heads: of a MAR's decoder, if it has others.
        patch_size, vae_stride: of a MAR; its tensors only fix their products with other sizes.
        num_sampling_steps, diffusion_batch_mul, clip_value: of a MAR's head, which leave no trace in its tensors.
        path: of a SiT.
        kept, full_depth: what a model was cut from.
    """

    family: str | None = None
    num_heads: int | None = None
    decoder_num_heads: int | None = None
    patch_size: int | None = None
    vae_stride: int | None = None
    num_sampling_steps: int | None = None
    diffusion_batch_mul: int | None = None
    clip_value: float | None = None
    path: str | None = None
    kept: dict[str, list[int]] | None = None
    full_depth: dict[str, int] | None = None

    def __or__(self, weaker: Hints) -> Hints:
        """These hints, filled up with `weaker` ones."""
        unknown = {f.name: getattr(weaker, f.name) for f in fields(self) if getattr(self, f.name) is None}
        return replace(self, **unknown)


@dataclass(frozen=True)
class Published:
    """What a state dict is.

    Attributes:
        config: all arguments of the family's class.
        size: the published size it is of, such as `DiT-XL/2`; None for another one.
        notes: what was guessed, and how to say otherwise; one line each.
    """

    family: Family
    config: dict[str, Any]
    size: str | None
    notes: tuple[str, ...]


def recognise(shapes: Shapes, source: object, *, name: str = "", hints: Hints | None = None) -> Published:
    """The family and the full config of a state dict in the published layout.

    Args:
        shapes: shape by tensor name, without prefixes of wrappers.
        source: named in errors.
        name: of the file; one that says SiT tells a SiT from a DiT.
        hints: what else is known; it wins over what would be guessed.

    Raises:
        BadRequest: foreign names, a missing block, an odd shape, or a size that cannot be.
    """
    hints = hints or Hints()
    notes: list[str] = []
    family = _family(shapes, source, name, hints, notes)
    if family.name == "mar":
        config = _mar_config(shapes, source, hints, notes)
    else:
        config = _dit_config(shapes, source, hints, notes)
        if family.name == "sit":
            config["path"] = hints.path or "linear"
    family.check(config, source)
    _check_agreement(expected_shapes(family.name, config), shapes, source, family)
    size = size_name(family.name, config)
    if hints.kept or hints.full_depth:
        config |= {"kept": hints.kept, "full_depth": hints.full_depth}
        _check_history(config, family.depth(config), source)
    return Published(family, config, size, tuple(notes))


def _family(shapes: Shapes, source: object, name: str, hints: Hints, notes: list[str]) -> Family:
    masked = "encoder_pos_embed_learned" in shapes or "z_proj.weight" in shapes
    if not masked and "x_embedder.proj.weight" not in shapes:
        found = ", ".join(_plain(n) for n in list(shapes)[:2]) or "no tensors"
        raise BadRequest(f"{source} holds no DiT, SiT or MAR in the published layout; it has {found}")
    if hints.family is not None and hints.family not in FAMILIES:
        raise BadRequest(f"unknown family {hints.family!r}; choose one of: {', '.join(FAMILIES)}")
    if hints.family is not None:
        if masked != (hints.family == "mar"):
            held = "a MAR" if masked else "a DiT or a SiT"
            raise BadRequest(f"{source} holds {held} by its tensors' names, not the family {hints.family!r}")
        return FAMILIES[hints.family]
    if masked:
        return FAMILIES["mar"]
    # The two have equal tensors, and only whoever trained it knows what its output means.
    guess = "sit" if re.search(r"(?<![a-z])(tiny)?sit(?![a-z])", name, re.IGNORECASE) else "dit"
    other = "dit" if guess == "sit" else "sit"
    why = "its file name says so" if guess == "sit" else "nothing says SiT"
    notes.append(
        f"read as {FAMILIES[guess].class_name}: {why}; --family {other} takes it as {FAMILIES[other].class_name}"
    )
    return FAMILIES[guess]


def _dit_config(shapes: Shapes, source: object, hints: Hints, notes: list[str]) -> dict[str, Any]:
    width, channels, patch, _ = _shape(shapes, "x_embedder.proj.weight", 4, source)
    if width % 4:
        raise BadRequest(f"{source}: a width of {width} is not a multiple of 4, as 2-D positions need")
    _, tokens, _ = _shape(shapes, "pos_embed", 3, source)
    rows, _ = _shape(shapes, "y_embedder.embedding_table.weight", 2, source)
    if rows < 2:
        raise BadRequest(
            f"{source}: y_embedder.embedding_table.weight has {rows} row; a class and the null class need 2"
        )
    if rows % 10 == 0:
        notes.append(
            f"its class table has {rows} rows: read as {rows - 1} classes and the null class of guidance; a model that "
            "was trained without label dropout has no null class and cannot be guided"
        )
    outputs, _ = _shape(shapes, "final_layer.linear.weight", 2, source)
    plain = patch * patch * channels
    if outputs not in (plain, 2 * plain):
        raise BadRequest(
            f"{source}: final_layer.linear.weight has {outputs} rows; patches of {patch} with {channels} channels need "
            f"{plain}, or {2 * plain} with a learned variance"
        )
    depth = _depth(shapes, "blocks", source)
    return {
        "input_size": _side(tokens, "pos_embed", source) * patch,
        "patch_size": patch,
        "in_channels": channels,
        "hidden_size": width,
        "depth": depth,
        "num_heads": _heads(width, source, hints.num_heads),
        "mlp_ratio": _mlp_ratio(shapes, "blocks", width, source),
        "num_classes": rows - 1,
        "learn_sigma": outputs == 2 * plain,
    }


def _mar_config(shapes: Shapes, source: object, hints: Hints, notes: list[str]) -> dict[str, Any]:
    width, values = _shape(shapes, "z_proj.weight", 2, source)
    wide, _ = _shape(shapes, "decoder_embed.weight", 2, source)
    _, tokens, _ = _shape(shapes, "diffusion_pos_embed_learned", 3, source)
    _, positions, _ = _shape(shapes, "encoder_pos_embed_learned", 3, source)
    classes, _ = _shape(shapes, "class_emb.weight", 2, source)
    head_width, _ = _shape(shapes, "diffloss.net.input_proj.weight", 2, source)
    if positions <= tokens:
        raise BadRequest(
            f"{source}: encoder_pos_embed_learned has {positions} rows; {tokens} tokens and a buffer need more"
        )
    patch = 1 if hints.patch_size is None else hints.patch_size
    stride = 16 if hints.vae_stride is None else hints.vae_stride
    if min(patch, stride) < 1:
        raise BadRequest(f"--patch-size {patch} and --vae-stride {stride} should be whole numbers from 1")
    if values % patch**2:
        raise BadRequest(
            f"{source}: patches of {patch} do not divide tokens of {values} numbers; give another --patch-size"
        )
    side = _side(tokens, "diffusion_pos_embed_learned", source) * patch
    if hints.patch_size is None or hints.vae_stride is None:
        notes.append(
            f"read as latents of {values // patch**2} channels, {side}x{side}, in patches of {patch}, {stride} pixels "
            "of the picture to one of the latent; --patch-size and --vae-stride say otherwise"
        )
    decoder_heads = hints.decoder_num_heads
    if decoder_heads is None:
        decoder_heads = _heads(wide, source, hints.num_heads)
        if hints.num_heads is not None and wide != width:
            notes.append(f"its decoder, of another width than its encoder, is taken to have {decoder_heads} heads, too")
    return {
        "img_size": side * stride,
        "vae_stride": stride,
        "patch_size": patch,
        "encoder_embed_dim": width,
        "encoder_depth": _depth(shapes, "encoder_blocks", source),
        "encoder_num_heads": _heads(width, source, hints.num_heads),
        "decoder_embed_dim": wide,
        "decoder_depth": _depth(shapes, "decoder_blocks", source),
        "decoder_num_heads": _heads(wide, source, decoder_heads),
        "mlp_ratio": _mlp_ratio(shapes, "encoder_blocks", width, source),
        "vae_embed_dim": values // patch**2,
        "class_num": classes,
        "buffer_size": positions - tokens,
        "diffloss_d": _depth(shapes, "diffloss.net.res_blocks", source),
        "diffloss_w": head_width,
        "num_sampling_steps": hints.num_sampling_steps or 100,
        "diffusion_batch_mul": hints.diffusion_batch_mul or 4,
        "clip_value": hints.clip_value,
    }


def _shape(shapes: Shapes, name: str, dimensions: int, source: object) -> tuple[int, ...]:
    """The shape of a tensor that the rest is derived from."""
    if name not in shapes:
        raise BadRequest(f"{source} lacks {name}; get a whole copy of it")
    shape = shapes[name]
    if len(shape) != dimensions or min(shape) < 1:
        raise BadRequest(f"{source}: {name} is {shape}, should have {dimensions} dimensions, none of them empty")
    return shape


def _depth(shapes: Shapes, stack: str, source: object) -> int:
    """Number of blocks in a stack; every index from 0 must be there, so that a short file declares no deep model."""
    found = {int(m[1]) for n in shapes if (m := re.match(rf"{re.escape(stack)}\.(\d{{1,4}})\.", n))}
    if not found:
        raise BadRequest(f"{source} has no {stack}; get a whole copy of it")
    for index in range(len(found)):
        if index not in found:
            raise BadRequest(
                f"{source} lacks {stack}.{index}, though it has {stack}.{max(found)}; get a whole copy of it"
            )
    return len(found)


def _side(tokens: int, name: str, source: object) -> int:
    side = math.isqrt(tokens)
    if side * side != tokens:
        raise BadRequest(f"{source}: {name} has {tokens} positions, which make no square picture")
    return side


def _heads(width: int, source: object, given: int | None) -> int:
    heads = HEADS.get(width) if given is None else given
    if heads is None:
        raise BadRequest(
            f"{source}: no published size has a width of {width}, so say its attention heads: --num-heads N"
        )
    if heads < 1 or width % heads:
        raise BadRequest(f"{source}: {heads} heads do not divide a width of {width}; give another --num-heads")
    return heads


def _mlp_ratio(shapes: Shapes, stack: str, width: int, source: object) -> float:
    rows, _ = _shape(shapes, f"{stack}.0.mlp.fc1.weight", 2, source)
    ratio = rows / width
    return ratio if int(width * ratio) == rows else math.nextafter(ratio, math.inf)


def _check_agreement(wanted: Shapes, found: Shapes, source: object, family: Family) -> None:
    """The names and shapes must be exactly those of the model that was recognised."""
    missing = [name for name in wanted if name not in found]
    foreign = [name for name in found if name not in wanted]
    odd = [name for name in wanted if name in found and found[name] != wanted[name]]
    parts = []
    if odd:
        parts.append(f"{odd[0]} is {found[odd[0]]}, should be {wanted[odd[0]]}{_more(odd)}")
    if missing:
        parts.append(f"it lacks {missing[0]} {wanted[missing[0]]}{_more(missing)}")
    if foreign:
        parts.append(f"it has unknown {_plain(foreign[0])} {found[foreign[0]]}{_more(foreign)}")
    if parts:
        raise BadRequest(f"{source} does not hold a whole {family.class_name}: {'; '.join(parts)}")


def _check_history(config: Mapping[str, Any], depth: Mapping[str, int], source: object) -> None:
    """What a file says of the model it was cut from must be possible."""
    if not history_fits(config["kept"], config["full_depth"], depth):
        raise BadRequest(f"{source}: what it says of the model it was cut from does not fit {dict(depth)}")


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _plain(name: str) -> str:
    """A name from a stranger's file, fit for a terminal."""
    return name.encode("unicode_escape").decode()[:80]
