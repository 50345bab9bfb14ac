"""What jobs leave among their artifacts, by name. Free of torch, so that the app can look for it."""

from __future__ import annotations

__all__ = ["ACTIVATIONS", "SNAPSHOTS"]

SNAPSHOTS = "snapshots"  # folder of pictures named by their step, of a fine-tuning
ACTIVATIONS = "activations.json"  # hidden states of the teacher, the cut and the recovered model
