"""Whether the blocks of a transformer that nobody has looked at can be left out one by one."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import torch
from diffusers.hooks._helpers import TransformerBlockRegistry
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from tinylab.errors import BadRequest
from tinylab.models.adapters.architectures import Architecture, Stack
from tinylab.models.block_form import BlockForm

__all__ = ["examine", "init_settings", "sketch_transformer"]

_FIRST_ARGUMENTS = ("hidden_states", "hidden_state", "x", "h")
_PLAIN = (bool, int, float, str, type(None))


def examine(transformer: ModelMixin) -> Architecture:
    """The architecture of a transformer with one list of equal blocks, each of which follows on the last.

    Raises:
        BadRequest: it is not clear that a block can be left out; the message says why.
    """
    name = type(transformer).__name__
    try:
        stack, blocks = _only_list(transformer)
        _check_equal(stack, blocks)
        form = _form(blocks[0])
        _check_loop(transformer, stack)
        return Architecture({stack: Stack(_depth_key(transformer, stack), form)})
    except _Misfit as reason:
        raise BadRequest(f"{name} cannot be cut block by block: {reason}; use one of the known classes") from None


class _Misfit(Exception):
    """Why a model does not fit."""


def init_settings(cls: type, config: Any) -> dict[str, Any]:
    """The entries of a config that the class takes."""
    known = inspect.signature(cls).parameters
    return {key: value for key, value in config.items() if key in known}


def sketch_transformer(cls: type, config: Any) -> ModelMixin:
    """A transformer without memory for its weights (on the meta device)."""
    with torch.device("meta"):
        return cls(**init_settings(cls, config))


def _only_list(transformer: ModelMixin) -> tuple[str, nn.ModuleList]:
    lists = {
        n: child for n, child in transformer.named_children() if isinstance(child, nn.ModuleList) and len(child) > 1
    }
    if not lists:
        raise _Misfit("it holds no list of blocks")
    if len(lists) > 1:
        raise _Misfit(f"it holds several lists ({', '.join(lists)}), and how they are passed through is not known")
    return next(iter(lists.items()))


def _check_equal(stack: str, blocks: nn.ModuleList) -> None:
    """All blocks must be of one class, with the same weights and settings."""
    first = blocks[0]
    shapes, settings = _shapes(first), dict(_settings(first))
    for index, block in enumerate(blocks):
        if type(block) is not type(first):
            raise _Misfit(f"{stack} mixes blocks of {type(first).__name__} and {type(block).__name__}")
        own = _shapes(block)
        odd = sorted(own.items() ^ shapes.items())
        if odd:
            raise _Misfit(f"its {stack} are not alike: block {index} and block 0 differ in {odd[0][0]}")
        differing = sorted(key for key, value in _settings(block) if settings.get(key, ...) != value)
        if differing:
            raise _Misfit(f"its {stack} are not alike: block {index} has another {differing[0]} than block 0")


def _shapes(block: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in block.state_dict().items()}


def _settings(block: nn.Module) -> Iterator[tuple[str, Any]]:
    """Everything plain that the modules of a block hold beside weights."""
    for path, module in block.named_modules():
        yield f"{path}.__class__".lstrip("."), type(module).__name__
        for name, value in vars(module).items():
            if isinstance(value, _PLAIN):
                yield f"{path}.{name}".lstrip("."), value


def _form(block: nn.Module) -> BlockForm:
    """How the block passes the hidden state on, from its signature and from what diffusers knows of its class."""
    name = type(block).__name__
    signature = inspect.signature(type(block).forward)
    arguments = list(signature.parameters)[1:]
    if not arguments or arguments[0] not in _FIRST_ARGUMENTS:
        raise _Misfit(f"the first argument of {name} is {arguments[0] if arguments else 'missing'}, not a hidden state")
    skips = [argument for argument in arguments if "skip" in argument]
    if skips:
        raise _Misfit(f"{name} takes {skips[0]}, which another block gives it")
    try:
        entry = TransformerBlockRegistry.get(type(block))
    except ValueError:
        entry = None
    if entry is not None and entry.return_encoder_hidden_states_index is not None:
        places = {
            entry.return_hidden_states_index: entry.hidden_states_argument_name,
            entry.return_encoder_hidden_states_index: entry.encoder_hidden_states_argument_name,
        }
        return BlockForm(tuple(places[i] for i in sorted(places)), known=False)
    returned = str(signature.return_annotation).lower()
    if "tuple" in returned or "dict" in returned:
        raise _Misfit(f"{name} returns several tensors, and which are hidden states is not known")
    return BlockForm(known=False)


def _check_loop(transformer: ModelMixin, stack: str) -> None:
    """The class may only walk through its blocks: one that counts them may treat each by its place."""
    try:
        source = inspect.getsource(type(transformer))
    except (OSError, TypeError):
        raise _Misfit("its source is not at hand") from None
    uses = re.findall(rf"[^\n]*self\.{re.escape(stack)}\b[^\n]*", source)
    walk = re.compile(rf"\s*(for \w+ in self\.{re.escape(stack)}:|self\.{re.escape(stack)}\s*(:.*)?= .*)\s*")
    odd = [use.strip() for use in uses if not walk.fullmatch(use)]
    if odd:
        raise _Misfit(f"its blocks may depend on their place ({odd[0]!r})")


def _depth_key(transformer: ModelMixin, stack: str) -> str:
    """The config entry that makes the list one block shorter and changes nothing else."""
    config: Any = dict(transformer.config)  # type: ignore[attr-defined]
    depth = len(getattr(transformer, stack))
    last = f"{stack}.{depth - 1}."
    wanted = {name: shape for name, shape in _shapes(transformer).items() if not name.startswith(last)}
    own = _plain_attributes(transformer)
    for key, value in config.items():
        if type(value) is int and value == depth:
            try:
                shorter = sketch_transformer(type(transformer), config | {key: depth - 1})
            except Exception:  # whatever a class thinks of such a config: it is not this entry
                continue
            if _shapes(shorter) == wanted and _plain_attributes(shorter) == own:
                return key
    raise _Misfit(f"no entry of its config sets the number of {stack} and nothing else")


def _plain_attributes(transformer: nn.Module) -> dict[str, Any]:
    ignored = ("training", "gradient_checkpointing")
    return {n: v for n, v in vars(transformer).items() if isinstance(v, (*_PLAIN, tuple, list)) and n not in ignored}
