"""Hidden values of the built-in models, and what a mask at kσ leaves of a loss on them.

The student is the learned choice right after the cut: where recovery begins. Each of its blocks learns from the end of
its span, as in the default recipe; the masks are those of `tinylab.training.losses`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.lessons.recorded import BIN, BINS, HIDDEN, IMAGES, KS, PLANS
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.files import atomic
from tinylab.metrics.denoising import noised_batches
from tinylab.models.load import load_model
from tinylab.pruning.plan import DepthPlan, block_names
from tinylab.pruning.surgery import apply_plan
from tinylab.training.hidden_states import hidden_states
from tinylab.training.layer_maps import layer_map
from tinylab.training.losses import masked_error, usual

__all__ = ["measure_pair", "record_hidden", "states_of"]


def record_hidden(folder: Path, work: Path, say: Callable[[str], None]) -> None:
    """Write the tables of all models."""
    del work  # it takes a minute
    models = []
    for reference, kept in PLANS.items():
        models.append({"model": reference, "kept": list(kept), "pairs": _pairs(reference, kept)})
        say(f"hidden values: {reference}")
    document = {"images": IMAGES, "bin": BIN, "ks": KS, "models": models}
    atomic.write_text(folder / HIDDEN, json.dumps(document, separators=(",", ":")) + "\n")


def states_of(reference: str, kept: tuple[str, ...]) -> list[tuple[str, str, Tensor, Tensor]]:
    """For every block of the student: its name before the cut, that of the teacher's block that it learns from, and the
    hidden states (N, T, D) of both."""
    teacher = load_model(reference)
    depth = teacher.stack_depths()
    plan = DepthPlan.of(kept, depth, "learned")
    student, pairs, names = apply_plan(teacher, plan), layer_map(plan, "span"), block_names(depth)
    objective, (_, held_out) = objective_for(teacher), load_digits()
    blocks = [(stack, block) for stack, block, _ in pairs], [(stack, taught) for stack, _, taught in pairs]
    found: list[tuple[list[Tensor], list[Tensor]]] = []
    with torch.no_grad(), hidden_states(student, blocks[0]) as learned, hidden_states(teacher, blocks[1]) as taught:
        for batch in noised_batches(objective, held_out, IMAGES, 0, torch.device("cpu")):
            objective.forward(student, batch.x, batch.y, batch.draw)
            objective.forward(teacher, batch.x, batch.y, batch.draw)
            found.append((list(learned), list(taught)))
    several = zip(*(zip(a, b, strict=True) for a, b in found), strict=True)
    return [
        (
            names[stack][plan.kept[stack][block]],
            names[stack][end],
            torch.cat([a for a, _ in parts]).double(),
            torch.cat([b for _, b in parts]).double(),
        )
        for (stack, block, end), parts in zip(pairs, several, strict=True)
    ]


def _pairs(reference: str, kept: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"student": name, "teacher": end, **measure_pair(learned, taught)}
        for name, end, learned, taught in states_of(reference, kept)
    ]


def measure_pair(student: Tensor, teacher: Tensor) -> dict[str, Any]:
    """The histogram of the teacher's values, and for every k what a mask at kσ leaves out.

    `masked` is the share of values that are extreme on either side, `carried` their share of the squared difference;
    `separate` is what the published mask leaves of the squared difference, as a share of the whole.
    """
    flat = teacher.flatten(1)
    z = (flat - flat.mean(dim=1, keepdim=True)).abs() / flat.std(dim=1, keepdim=True)
    bins = (z / BIN).long().clamp(max=BINS - 1).flatten()
    whole = _gap(student, teacher, KS[-1] * 1e6, "joint")
    rows = {"masked": [], "carried": [], "separate": []}  # type: dict[str, list[float]]
    for k in KS:
        both = usual(student, k) & usual(teacher, k)
        rows["masked"].append(1 - both.double().mean().item())
        rows["carried"].append(1 - _gap(student, teacher, k, "joint") / whole if whole else 0.0)
        rows["separate"].append(_gap(student, teacher, k, "separate") / whole if whole else 1.0)
    return {
        "counts": torch.bincount(bins, minlength=BINS).tolist(),
        "furthest": round(z.max().item(), 3),
        "largest": round(teacher.abs().max().item(), 3),
        "gap": float(f"{whole:.5g}"),
        **{name: [round(value, 5) for value in values] for name, values in rows.items()},
    }


def _gap(student: Tensor, teacher: Tensor, k: float, mask: Any) -> float:
    return masked_error(student, teacher, sigma=k, mask=mask).mean().item()
