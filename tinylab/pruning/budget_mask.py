"""One budget for the whole model: a logit for every block, and exact draws of the sets of blocks that fit.

The probability of a set S is proportional to exp(sum of the logits of S) among the sets whose cost fits the budget.
With equal costs this is k-subset sampling (Ahmed et al. 2023, SIMPLE, arXiv:2210.01941). Sums over all sets come
from dynamic programming over the blocks: Z[i][b][f] is the weight of all ways to go on from block i with a budget b
left, f telling whether the stack has kept a block so far, since no stack may be empty.

A set is drawn block by block, each time with the exact probability given what was kept before. Gradients pass
through the marginals m (SIMPLE): the derivative of m by the logits is the covariance of the kept blocks.
"""

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.pruning.depth_mask import INITIAL_LOGIT, DepthMask, Drawn, MaskDistribution
from tinylab.pruning.estimators import sets_rule
from tinylab.pruning.layout import Layout
from tinylab.pruning.verdict import GroupState

__all__ = ["BudgetMask", "mask_for", "whole_costs"]

_NEVER = -1e9  # the log of no weight at all; infinities would make gradients that are no numbers
_UNITS = 200  # what the time of all blocks is divided into


def whole_costs(seconds: Sequence[float]) -> list[int]:
    """Measured times as whole numbers that add up to about 200; equal times stay equal."""
    unit = sum(seconds) / _UNITS
    return [max(1, round(second / unit)) for second in seconds]


class BudgetMask(MaskDistribution):
    """The distribution over the sets of blocks that use up a budget.

    A set fits if it costs no more than the budget, and so much that the cheapest block would not fit in addition.

    Args:
        layout: one global group.
        costs: whole numbers, one a block, for a budget of time; by default every block costs 1.
        protected: indices per stack of blocks that every mask keeps.

    Raises:
        BadRequest: nothing fits the budget.
    """

    seen: Tensor

    def __init__(
        self,
        layout: Layout,
        scaling: float = 100.0,
        *,
        costs: Sequence[int] | None = None,
        protected: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        super().__init__()
        (group,) = layout.groups
        self.layout, self.scaling, self.blocks = layout, scaling, group.blocks
        self.costs = list(costs or [1] * len(group.blocks))
        self.budget = group.keep if layout.time is None else math.floor(layout.time * sum(self.costs) + 0.5)
        self.slack = min(self.costs) - 1  # what may be left over
        self.fixed = group.fixed(protected or {})
        ends = list(itertools.accumulate(layout.depth.values()))
        self.last = {end - 1 for end in ends}  # the last block of every stack
        self.logits = nn.Parameter(torch.full((1, len(self.blocks)), INITIAL_LOGIT))
        self.register_buffer("seen", torch.zeros(2, len(self.blocks)))  # how often left out, how often kept
        if self._log_total(torch.zeros(len(self.blocks))) < _NEVER / 2:
            raise BadRequest(f"nothing fits {layout}: some blocks must stay, and no stack can be empty; allow more")

    def draw(self, count: int, tau: float, generator: torch.Generator, *, estimator: str = "gumbel") -> Drawn:
        """A set for each of `count` samples."""
        theta = self.scaling * self.logits[0]
        sets = self._sample(count, theta.detach(), generator)
        if self.training:
            self.seen += torch.stack([(1 - sets).sum(dim=0), sets.sum(dim=0)])
        log_probability = sets @ theta - self._log_total(theta)  # log p(S) = sum of theta over S - log Z
        smooth = sets_rule(estimator)(sets, theta, tau, self._marginals)
        # Straight through, as in `estimators.gumbel`: the value of the drawn sets, the gradient of the rule's.
        return Drawn(self._by_stack(sets - smooth.detach() + smooth), log_probability)

    @torch.no_grad()
    def _sample(self, count: int, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Sets (count, blocks) of 0 and 1, drawn exactly."""
        weights = self._weights(theta, _log_sum)
        uniform = torch.rand((count, len(self.blocks)), generator=generator).to(theta.device)
        left = torch.full((count,), self.budget, device=theta.device)
        begun, columns = torch.zeros_like(left), []
        for i in range(len(self.blocks)):
            leave, keep = self._continued(weights[i + 1], theta, i, left, begun)
            # P(keep i | the choices before it) = Z_keep / (Z_keep + Z_leave) = sigmoid(log Z_keep - log Z_leave): the
            # product over i telescopes to exp(sum of theta over S) / Z, so sets are drawn exactly, in one pass.
            kept = (uniform[:, i] < torch.sigmoid(keep - leave)).long()
            left = left - kept * self.costs[i]
            begun = torch.zeros_like(begun) if i in self.last else begun | kept
            columns.append(kept)
        return torch.stack(columns, dim=1).float()

    def keep_probabilities(self) -> dict[str, Tensor]:
        """Probability of every block to be kept, (depth,) per stack."""
        columns = self._by_stack(self._marginals((self.scaling * self.logits[0]).detach()).detach().unsqueeze(0))
        return {stack: p.squeeze(0) for stack, p in columns.items()}

    @torch.no_grad()
    def decision(self) -> dict[str, tuple[int, ...]]:
        """The most probable set."""
        kept = [self.blocks[i] for i in self._best()]
        return {stack: tuple(i for name, i in kept if name == stack) for stack in self.layout.depth}

    def states(self) -> dict[str, GroupState]:
        """What was learned, under the name of the one group."""
        theta = (self.scaling * self.logits[0]).detach()
        p, log_total = self._marginals(theta).detach(), self._log_total(theta)
        best = theta[self._best()].sum()
        largest = self._log_total(torch.zeros_like(theta)).item()
        one_sided = (self.seen == 0).any(dim=0).float().mean().item()
        state = GroupState(
            confidence=(best - log_total).exp().item(),
            entropy=(log_total - (theta * p).sum()).item() / max(largest, math.log(2)),  # H = log Z - E[theta . S]
            moved=self.scaling * (self.logits - self.logits.mean()).abs().max().item(),
            unseen=one_sided,
        )
        return {"all": state}

    @torch.no_grad()
    def prefer(self, scores: Mapping[str, Sequence[float]]) -> None:
        """The logits become the scores."""
        self.logits.copy_(torch.tensor([[scores[stack][i] for stack, i in self.blocks]]))

    def _log_total(self, theta: Tensor) -> Tensor:
        """The log of the weight of all sets that fit."""
        return self._weights(theta, _log_sum)[0][self.budget, 0]

    def _marginals(self, theta: Tensor) -> Tensor:
        """Probability of every block to be kept, (blocks,): the derivative of the log of all weights by the logits."""
        # m_i = d log Z / d theta_i = P(i in S), since Z = sum over S of exp(sum of theta over S) (SIMPLE).
        # With costs of 1 every set that fits has exactly k blocks, so the m_i add up to k at every step: the search
        # moves probability between blocks and never has to be pulled back to the budget by a penalty.
        with torch.enable_grad():
            at = theta if theta.requires_grad else theta.clone().requires_grad_()
            return torch.autograd.grad(self._log_total(at), at, create_graph=True)[0]

    def _weights(self, theta: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        """Z from every block on, each (budget + 1, 2); `join` adds weights up, or takes the larger for the best set."""
        # Behind the last block a set has weight 1 (log 0.0) if less is left than the cheapest block costs, else none.
        end = torch.full((self.budget + 1, 2), _NEVER, device=theta.device)
        end[: self.slack + 1, 0] = 0.0
        table, left = [end], torch.arange(self.budget + 1, device=theta.device)
        for i in reversed(range(len(self.blocks))):
            columns = [join(*self._continued(table[-1], theta, i, left, torch.full_like(left, f))) for f in (0, 1)]
            table.append(torch.stack(columns, dim=1))
        return table[::-1]

    def _continued(self, after: Tensor, theta: Tensor, i: int, left: Tensor, begun: Tensor) -> tuple[Tensor, Tensor]:
        """Log weights (N,) of all ways to go on if block i is left out, and if it is kept; `after` is Z behind it."""
        # Z[i][b][f] = Z[i+1][b][f] + exp(theta_i) Z[i+1][b - cost_i][1], in logs. Where a stack ends it must have kept
        # a block (f = 1), and the next one starts from f = 0.
        cost, ends = self.costs[i], i in self.last
        leave = torch.where(begun == 1, after[left, 0], _NEVER) if ends else after[left, begun]
        keep = theta[i] + after[(left - cost).clamp(min=0), 0 if ends else 1]
        keep = torch.where(left >= cost, keep, _NEVER)
        return torch.full_like(leave, _NEVER) if i in self.fixed else leave, keep

    def _best(self) -> list[int]:
        """The places of the blocks of the most probable set."""
        theta = (self.scaling * self.logits[0]).detach()
        # The same recursion with max in place of the sum (Viterbi) gives the weight of the best way to go on.
        best = self._weights(theta, torch.maximum)
        left, begun, kept = torch.tensor([self.budget]), torch.zeros(1, dtype=torch.long), []
        left, begun = left.to(theta.device), begun.to(theta.device)
        for i in range(len(self.blocks)):
            leave, keep = self._continued(best[i + 1], theta, i, left, begun)
            if (keep >= leave).item():
                kept.append(i)
                left, begun = left - self.costs[i], torch.ones_like(begun)
            if i in self.last:
                begun = torch.zeros_like(begun)
        return kept

    def _by_stack(self, columns: Tensor) -> dict[str, Tensor]:
        """Columns (N, all blocks) as (N, depth) per stack."""
        parts = columns.split(list(self.layout.depth.values()), dim=1)
        return dict(zip(self.layout.depth, parts, strict=True))


def _log_sum(first: Tensor, second: Tensor) -> Tensor:
    """log(exp first + exp second); unlike torch.logaddexp with a second derivative that is a number everywhere."""
    return torch.stack([first, second]).logsumexp(dim=0)


def mask_for(
    layout: Layout,
    scaling: float,
    *,
    protected: Mapping[str, Collection[int]] | None = None,
    seconds: Mapping[str, Sequence[float]] | None = None,
) -> MaskDistribution:
    """A categorical for every local group, or a logit for every block under a global budget.

    Args:
        seconds: measured time of every block per stack, for a budget of time.

    Raises:
        BadRequest: nothing fits; a budget of time without measured times.
    """
    if not layout.is_global:
        return DepthMask(layout, scaling, protected=protected)
    if layout.time is None:
        return BudgetMask(layout, scaling, protected=protected)
    if seconds is None:
        raise BadRequest(f"{layout} needs the measured time of every block")
    costs = whole_costs([seconds[stack][i] for stack, i in layout.groups[0].blocks])
    return BudgetMask(layout, scaling, costs=costs, protected=protected)
