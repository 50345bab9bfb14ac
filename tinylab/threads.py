"""How CPU threads of a job behave on a machine that does other things, too."""

from __future__ import annotations

import os

__all__ = ["share_cores", "use_threads"]


def share_cores() -> None:
    """Let idle worker threads sleep instead of spin. Call before torch is imported.

    On two cores with another process at work, two spinning threads made a training step ten times slower
    (1.65 s against 0.16 s for a 12-block DiT of width 64 at batch 64).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_threads(count: int) -> None:
    """Compute with `count` threads; 0 leaves the choice to torch."""
    if count:
        import torch

        torch.set_num_threads(count)
