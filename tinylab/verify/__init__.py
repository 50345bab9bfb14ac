"""Proof that Tinylab computes what published code computes: golden files, recomputed and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tinylab.errors import BadRequest
from tinylab.registry import Registry

__all__ = ["KINDS", "kind_of"]

KINDS: Registry = Registry("kind of golden file")
_HERE = "tinylab.verify"
KINDS.register("dit", f"{_HERE}.dit:recompute", summary="DiT: forward, guidance, losses, gradients, samplers")
KINDS.register("sit", f"{_HERE}.sit:recompute", summary="SiT: forward, guidance, loss, ODE sampling")
KINDS.register("mar", f"{_HERE}.mar:recompute", summary="MAR: encoder, decoder, diffusion loss, gradients")
KINDS.register("gates", f"{_HERE}.gates:recompute", summary="TinyFusion's depth mask: forward and gradients")
KINDS.register("masked_kd", f"{_HERE}.masked_kd:recompute", summary="TinyFusion's masked distillation")

# What only files of a kind hold: (test, kind), tried in turn. `names` are those of the tensors, with their dtypes.
_SIGNS: tuple[tuple[Callable[[Mapping[str, str]], bool], str], ...] = (
    (lambda names: any(name.startswith("teacher.") for name in names), "masked_kd"),
    (lambda names: any(name.startswith("input.gumbel.") for name in names), "gates"),
    (lambda names: any(name.startswith("model.encoder_blocks.") for name in names), "mar"),
    (lambda names: "model.x_embedder.proj.weight" in names and names.get("input.t", "").startswith("F"), "sit"),
    (lambda names: "model.x_embedder.proj.weight" in names, "dit"),
)


def kind_of(dtypes: Mapping[str, str], source: object) -> str:
    """The kind of a golden file, from the names and dtypes of its tensors; BadRequest if it is none that is known."""
    for test, kind in _SIGNS:
        if test(dtypes):
            return kind
    raise BadRequest(f"{source} is no golden file of a known kind ({', '.join(KINDS.names())})")
