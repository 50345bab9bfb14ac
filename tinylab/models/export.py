"""The layouts a model can be written in. The list is free of torch; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.registry import Registry

if TYPE_CHECKING:
    from tinylab.models.base import Denoiser

__all__ = ["EXPORTS", "export_model"]

EXPORTS: Registry[Callable[[Denoiser, Path], list[str]]] = Registry("layout")
EXPORTS.register(
    "published",
    "tinylab.models.published.published_export:export_published",
    summary="the state dict of the original code, in one file",
)
EXPORTS.register(
    "tinylab",
    "tinylab.models.published.published_export:export_folder",
    summary="a model folder of Tinylab's own",
)
EXPORTS.register(
    "diffusers",
    "tinylab.models.diffusers.layout:to_diffusers",
    summary="a folder for DiTPipeline of the diffusers library",
)


def export_model(reference: str, to: str, out: Path) -> list[str]:
    """Write the model that `reference` names to `out` in the layout `to`; notes on what is lost, one line each.

    Raises:
        BadRequest: unknown layout or model, or `out` is there already.
    """
    write = EXPORTS.get(to)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadRequest(f"{out} is in use; choose another --out, or delete it first")
    from tinylab.models.load import load_model

    model = load_model(reference)
    with atomic.disk_errors("free some space, or give another --out"):
        return write(model, out)
