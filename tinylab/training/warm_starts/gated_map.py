"""Least squares for a linear map whose result passes a gate: one weighted problem for every output channel."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Gated", "fit_change", "squared_error"]

_ENOUGH = 1e-4  # some 16 rounds; the held-out losses of the built-in models are those of 1e-8, in 28, to five digits
_MOST_ROUNDS = 200  # far more than needed; each can only bring the error down


@dataclass(frozen=True)
class Gated:
    """The equations for the map from some samples.

    Attributes:
        x: what the map is given, (n, T, D).
        missing: what a change of the map should add behind the gate, (n, T, D).
        gate: factor of every channel of a sample, (n, D).
    """

    x: Tensor
    missing: Tensor
    gate: Tensor


def fit_change(parts: Sequence[Gated], *, ridge: float, tolerance: float = _ENOUGH) -> tuple[Tensor, Tensor]:
    """S (D, D) and b (D,), float64, that minimise sum |missing - gate * (S x + b)|^2 + penalty of S.

    The penalty of the row of channel d is ridge * v_d |S_d|^2, with v_d the mean over inputs of sum gate_d^2 x^2: so it
    has no unit, and b goes free. A channel whose gate is always zero gets zeros.

    The normal equations of the D channels share no matrix, as each channel has gates of its own; written out they would
    take D^3 numbers. Conjugate gradients need only their product with a candidate, for all channels at once. The mean
    of the D matrices as preconditioner leaves little to do: where there are no gates, one round solves it exactly.

    Args:
        tolerance: the residual to stop at, as a share of the first one, in the norm of the preconditioner.
    """
    # For channel d with weights w = (S_d, b_d) and tokens x (1 appended): (sum g_d^2 x x^T + P_d) w = sum g_d missing_d
    # x. Preconditioned conjugate gradients (Hestenes & Stiefel 1952), all D systems in step: r <- r - a A p, a = <r, z>
    # / <p, A p>, z = M^-1 r, p <- z + (<r, z> new / old) p. A channel that has arrived takes steps of 0.
    equations = _NormalEquations(parts, ridge)
    change = torch.zeros_like(equations.right_side)
    residual = equations.right_side.clone()
    ahead = equations.precondition(residual)
    direction, size = ahead, _row_dot(residual, ahead)
    goal = tolerance**2 * size
    for _ in range(_MOST_ROUNDS):
        active = size > goal
        if not active.any():
            break
        product = equations.apply(direction)
        pace = torch.where(active, size / _row_dot(direction, product), 0.0)
        change += pace * direction
        residual -= pace * product
        ahead = equations.precondition(residual)
        before, size = size, _row_dot(residual, ahead)
        direction = ahead + torch.where(active, size / before, 0.0) * direction
    return change[:, :-1], change[:, -1]


def squared_error(parts: Sequence[Gated], weight: Tensor, bias: Tensor) -> float:
    """sum |missing - gate * (weight x + bias)|^2, without the penalty."""
    total = 0.0
    for part in parts:
        change = part.x.double() @ weight.T + bias
        total += (part.missing.double() - part.gate.double().unsqueeze(1) * change).square().sum().item()
    return total


class _NormalEquations:
    """One system a channel, in float64; unknowns (D, D + 1), the bias last."""

    def __init__(self, parts: Sequence[Gated], ridge: float) -> None:
        self.inputs = [torch.cat([p.x.double(), torch.ones_like(p.x[..., :1], dtype=torch.float64)], -1) for p in parts]
        self.gates = [part.gate.double().unsqueeze(1) for part in parts]  # (n, 1, D)
        terms = zip(self.gates, parts, self.inputs, strict=True)
        self.right_side = _total([(gate * part.missing.double(), x) for gate, part, x in terms])
        self.strength = self._strength()  # (D, 1)
        self.penalty = (ridge * self.strength).repeat(1, self.right_side.shape[1])
        self.penalty[:, -1] = 0.0
        self.factor = self._factor(ridge) if self.strength.any() else None

    def apply(self, candidate: Tensor) -> Tensor:
        """The left side for a candidate (D, D + 1)."""
        pairs = [(gate.square() * (x @ candidate.T), x) for gate, x in zip(self.gates, self.inputs, strict=True)]
        return _total(pairs) + self.penalty * candidate

    def precondition(self, residual: Tensor) -> Tensor:
        """The residual (D, D + 1) through the inverse of the mean system."""
        return residual if self.factor is None else torch.cholesky_solve(residual.T, self.factor).T

    def _strength(self) -> Tensor:
        """v_d: the mean over inputs of sum gate_d^2 x^2."""
        energies = [x[..., :-1].square().mean(dim=2).sum(dim=1) for x in self.inputs]  # (n,)
        return sum(
            (gate.square() * energy.view(-1, 1, 1)).sum(dim=0).T
            for gate, energy in zip(self.gates, energies, strict=True)
        )  # type: ignore[return-value]  # never empty

    def _factor(self, ridge: float) -> Tensor:
        """Cholesky factor of the mean over channels, each divided by its strength, so that none drowns the others."""
        # M = the mean over channels of A_d / v_d: ridge on every unknown but the bias follows, as P_d / v_d = ridge.
        share = torch.where(self.strength > 0, 1 / self.strength, 0.0) / (self.strength > 0).sum()
        weights = [gate.square() @ share for gate in self.gates]  # (n, 1, 1)
        mean = _total([(weight * x, x) for weight, x in zip(weights, self.inputs, strict=True)])
        mean.diagonal()[:-1] += ridge
        return torch.linalg.cholesky(mean)


def _total(pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The sum of a^T b over all tokens, for pairs (n, T, A) and (n, T, B): (A, B)."""
    products = [a.flatten(0, 1).T @ b.flatten(0, 1) for a, b in pairs]
    return torch.stack(products).sum(dim=0)


def _row_dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of every row, (D, 1)."""
    return (a * b).sum(dim=1, keepdim=True)
