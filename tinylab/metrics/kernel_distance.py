"""How far two sets of features lie apart: the kernel distance of KID (Bińkowski et al. 2018, arXiv:1801.01401)."""

from __future__ import annotations

from torch import Tensor

__all__ = ["kernel_distance"]


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy of features a (N, F) and b (M, F) under the kernel (x·y/F + 1)³.

    Unbiased: small sets give the same on average as large ones, and sets of one distribution give 0 on average, so
    that single values can be below zero.

    Raises:
        ValueError: a set has fewer than two entries.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("two sets of at least two features each are needed")
    a, b = a.double(), b.double()
    return (_within(a) + _within(b) - 2 * _kernel(a, b).mean()).item()


def _within(x: Tensor) -> Tensor:
    """Mean of the kernel over pairs of different entries."""
    values = _kernel(x, x)
    return (values.sum() - values.diagonal().sum()) / (len(x) * (len(x) - 1))


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3
