"""A removed span becomes a linear map behind the MLP of the block before it (ReplaceMe: arXiv:2505.02819).

A block ends with y + g * m: y is the state after its attention, m the output of its MLP, g the gate of a DiT's
condition (one vector a sample; ones in a block without a condition). The map T and a bias b are chosen so that
y + g * (T m + b) comes nearest to the teacher's state after the span, and become part of the MLP's last layer. The
paper has no gates and no bias.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinylab.data.order import step_generator
from tinylab.errors import BadRequest
from tinylab.models.networks.layers import DiTBlock, Mlp, PlainBlock
from tinylab.training.warm_starts.base import WarmUp
from tinylab.training.warm_starts.calibration import Call, calibration_batches, watched
from tinylab.training.warm_starts.gated_map import Gated, fit_change

__all__ = ["Merge", "calibrated", "merges", "start"]

_RIDGE = 1e-3  # pull towards the identity; from 1e-5 to 1e-2 the held-out losses of the built-in models hardly differ
_TOKENS = 64  # of an image that are used, at most: neighbours are much alike, and all spans are held at once

Calls = Mapping[nn.Module, Call]


def _gate_of_dit(block: nn.Module, calls: Calls) -> Tensor:
    return calls[block.adaLN_modulation].output.chunk(6, dim=1)[5]  # type: ignore[index]  # nn.Module's attributes


def _no_gate(block: nn.Module, calls: Calls) -> Tensor:
    output = calls[block].output
    return torch.ones_like(output[:, 0])


_GATES: Mapping[type[nn.Module], Callable[[nn.Module, Calls], Tensor]] = {DiTBlock: _gate_of_dit, PlainBlock: _no_gate}


@dataclass(frozen=True)
class Merge:
    """A span with removed blocks.

    Attributes:
        student: the student's block that gets the map.
        kept, last: the teacher's first and last block of the span.
    """

    student: nn.Module
    kept: nn.Module
    last: nn.Module

    @property
    def watched(self) -> list[nn.Module]:
        """The teacher's modules whose calls `part` needs."""
        parts = [self.kept.get_submodule("mlp"), self.kept, self.last]
        return parts + [self.kept.get_submodule(name) for name in ("adaLN_modulation",) if hasattr(self.kept, name)]

    def part(self, calls: Calls, generator: torch.Generator) -> Gated:
        """The equations for the map from one forward pass of the teacher, at some of the tokens."""
        state, goal = calls[self.kept].output, calls[self.last].output  # (n, T, D)
        m = calls[self.kept.get_submodule("mlp")].output
        order = torch.rand(state.shape[:2], generator=generator).argsort(dim=1)
        rows = order[:, :_TOKENS].unsqueeze(2).expand(-1, -1, state.shape[2]).to(state.device)
        gate = _GATES[type(self.kept)](self.kept, calls)
        # With T = I + S the student's state is y + g (m + S m + b) = state + g (S m + b): S and b have to add goal -
        # state.
        return Gated(m.gather(1, rows), (goal - state).gather(1, rows), gate)

    @torch.no_grad()
    def apply(self, change: Tensor, bias: Tensor) -> None:
        """Make T = I + change (D, D) and b (D,) part of the student's MLP: T (W h + w) + b."""
        mlp = self.student.get_submodule("mlp")
        assert isinstance(mlp, Mlp)
        # (I + S) (W h + w) + b = (W + S W) h + (w + S w + b): no new weights, no new work.
        for parameter, extra in ((mlp.fc2.weight, 0.0), (mlp.fc2.bias, bias)):
            exact = parameter.double()
            parameter.copy_(exact + change @ exact + extra)


def start(given: WarmUp) -> None:
    """Fit the map of every span with removed blocks on the teacher's own hidden states, and merge it.

    Blocks that were removed before the first kept one have no part in it.

    Raises:
        BadRequest: the blocks are of a class whose MLP is not known; then nothing was changed.
    """
    found = merges(given)
    if not found:
        return
    for merge, parts in zip(found, calibrated(given, found), strict=True):
        merge.apply(*fit_change(parts, ridge=_RIDGE))


def merges(given: WarmUp) -> list[Merge]:
    """The spans with removed blocks."""
    taught = given.teacher.block_stacks()
    for kept in (taught[stack][i] for stack, several in given.plan.kept.items() for i in several):
        if type(kept) not in _GATES:
            raise BadRequest(
                f"the warm start linear knows the blocks of DiT, SiT and MAR, not a {type(kept).__name__}; "
                "use --warm-start none or mean"
            )
    return [Merge(block, taught[stack][i], taught[stack][span[-1]]) for stack, i, block, span in given.merged()]


@torch.no_grad()
def calibrated(given: WarmUp, found: Sequence[Merge]) -> list[list[Gated]]:
    """For every merge its equations from the `SAMPLES` calibration images, each span with the teacher's states."""
    teacher = given.teacher.eval()
    parts: list[list[Gated]] = [[] for _ in found]
    generator = step_generator(given.config.seed, 0, stream=13)
    with watched(module for merge in found for module in merge.watched) as calls:
        for batch in calibration_batches(given):
            given.objective.forward(teacher, batch.x, batch.y, batch.draw)
            for merge, own in zip(found, parts, strict=True):
                own.append(merge.part(calls, generator))
            calls.clear()
    return parts
