"""What the parts of a model cost: its stacks of blocks, the embedders before and around them, and the head."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tinylab.metrics.cost import CPU_ATTENTION, synchronised_time
from tinylab.models.base import Denoiser

__all__ = ["PARTS", "Parts", "Shares", "macs_by_part", "parameters_by_part", "parts_of", "seconds_by_part"]

PARTS = ("blocks", "embedders", "head")
_HEADS = {"dit": "final_layer", "sit": "final_layer", "mar": "diffloss.net"}


@dataclass(frozen=True)
class Parts:
    """The modules of a model by what they are for.

    Attributes:
        stacks: the blocks of every stack.
        head: what turns hidden states into images: the final layer, of a MAR the denoiser of tokens.
        embedders: all modules that are neither.
    """

    stacks: Mapping[str, tuple[nn.Module, ...]]
    head: nn.Module
    embedders: tuple[nn.Module, ...]

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """The blocks of all stacks."""
        return tuple(block for stack in self.stacks.values() for block in stack)

    @property
    def head_pieces(self) -> tuple[nn.Module, ...]:
        """The head and what it is made of: the sampler of a MAR calls pieces of it by themselves."""
        lists = [child for child in self.head.children() if isinstance(child, nn.ModuleList)]
        return (self.head, *self.head.children(), *(module for several in lists for module in several))


@dataclass(frozen=True)
class Shares:
    """Shares of the time of some work, 1 in all; `rest` is what no part of the model took: the sampler's arithmetic."""

    stacks: Mapping[str, float]
    embedders: float
    head: float
    rest: float

    @property
    def blocks(self) -> float:
        """The share of all stacks."""
        return sum(self.stacks.values())

    def speedup(self, left: Mapping[str, float]) -> float:
        """The speed-up to expect where the share `left` of every stack's blocks is left: Amdahl's law."""
        blocks = sum(share * left[stack] for stack, share in self.stacks.items())
        return 1 / (self.embedders + self.head + self.rest + blocks)


def parts_of(model: Denoiser) -> Parts:
    """The parts of a DiT, a SiT or a MAR."""
    stacks = model.block_stacks()
    head = model.get_submodule(_HEADS[model.family])
    others = [child for child in model.children() if all(child is not stack for stack in stacks.values())]
    embedders = tuple(child for child in others if head not in child.modules())
    return Parts({name: tuple(stack) for name, stack in stacks.items()}, head, embedders)


def parameters_by_part(model: Denoiser) -> dict[str, int]:
    """Number of weights in blocks, embedders (fixed positions included) and head, and in total."""
    parts = parts_of(model)
    counts = {"blocks": sum(map(_count, parts.blocks)), "head": _count(parts.head)}
    return _with_rest(counts, _count(model))


def macs_by_part(model: Denoiser, work: Callable[[], object]) -> dict[str, int]:
    """Multiply-adds of the matrix products, convolutions and attentions in blocks, embedders and head while `work` runs
    the model, and in total."""
    parts, found = parts_of(model), {"blocks": 0, "head": 0}
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:

        def account(part: str, before: float) -> None:
            found[part] += counter.get_total_flops() - int(before)

        with _watched({"blocks": parts.blocks, "head": parts.head_pieces}, counter.get_total_flops, account):
            work()
        total = counter.get_total_flops()
    return _with_rest({part: flops // 2 for part, flops in found.items()}, total // 2)


def seconds_by_part(
    model: Denoiser, work: Callable[[], object], *, clock: Callable[[], float] = synchronised_time
) -> Shares:
    """Shares of the time of `work`, which runs the model, by the clock.

    On a GPU the clock waits at both ends of every module, so that no part is told the time of another; what small
    kernels would have overlapped then counts for the part that they belong to.
    """
    parts = parts_of(model)
    watched = {**parts.stacks, "head": parts.head_pieces, "embedders": parts.embedders}
    found = dict.fromkeys(watched, 0.0)

    def account(part: str, began: float) -> None:
        found[part] += clock() - began

    began = clock()
    with _watched(watched, clock, account):
        work()
    total = clock() - began
    shares = {part: seconds / total for part, seconds in found.items()}
    stacks = {stack: shares[stack] for stack in parts.stacks}
    return Shares(stacks, shares["embedders"], shares["head"], max(0.0, 1 - sum(shares.values())))


@contextlib.contextmanager
def _watched(
    parts: Mapping[str, tuple[nn.Module, ...]],
    read: Callable[[], float],
    account: Callable[[str, float], None],
) -> Iterator[None]:
    """Within the context, `account(part, what read() said before)` is called whenever a module of a part has run that
    no other of that part has called."""
    with contextlib.ExitStack() as undo:
        for part, modules in parts.items():
            running: list[float] = []  # what was read when each module of this part began, the outermost first

            def enter(module: nn.Module, args: object, running: list[float] = running) -> None:
                running.append(running[0] if running else read())

            def leave(
                module: nn.Module, args: object, output: object, part: str = part, running: list[float] = running
            ) -> None:
                before = running.pop()
                if not running:
                    account(part, before)

            for module in modules:
                undo.callback(module.register_forward_pre_hook(enter).remove)
                undo.callback(module.register_forward_hook(leave).remove)
        yield


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _with_rest(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """The counts in the order of `PARTS`, embedders as what is left of the total."""
    whole = {**counts, "embedders": total - sum(counts.values())}
    return {**{part: whole[part] for part in PARTS}, "total": total}
