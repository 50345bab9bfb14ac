"""The names of the tensors in a published state dict, freed from what training wrapped around them. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["plain_names"]

_WRAPPERS = ("module.", "_orig_mod.", "model.", "ema_model.", "ema.")
_GATES = "gumbel_gates."  # the logits of the published depth search, saved along with the whole model


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Name in the published layout -> name in the file; the logits of a depth search are left out.

    A prefix goes only when every tensor has it, as with DistributedDataParallel or torch.compile.
    """
    plain = {name: name for name in names}
    while plain:
        common = next((w for w in _WRAPPERS if all(name.startswith(w) for name in plain)), None)
        if common is None:
            break
        plain = {name.removeprefix(common): old for name, old in plain.items()}
    return {name: old for name, old in plain.items() if not name.startswith(_GATES)}
