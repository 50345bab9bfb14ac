"""A fine-tuning: loss, samples on the way, and what it brought."""

from __future__ import annotations

from typing import cast

from app.live import Payload
from app.views.parts import losses, picture, status_card
from tinylab.config import FinetuneConfig
from tinylab.figures import curves
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.record import Run

__all__ = ["SLOTS", "view"]

SLOTS = ("status", "result", "snapshots", "loss")
_SHOWN = 8  # snapshots; the first and the last always among them


def view(run: Run) -> Payload:
    """Everything the Fine-tune tab shows of a run."""
    config = cast(FinetuneConfig, run.config())
    metrics = MetricsReader(run.metrics_path)
    html, figures = {"status": status_card(run)}, {}
    points = metrics.scalars("loss")
    result = run.result()
    if points:
        levels = {"full model, held out": result["loss_full"]} if result else {}
        figures["loss"] = curves(
            {"loss": points},
            key=run.id,
            heading="Training loss",
            unit="loss",
            total_steps=config.steps,
            levels=levels,
        )
    snapshots = sorted((run.artifacts / "snapshots").glob("*.png"))
    if snapshots:
        html["snapshots"] = _film(snapshots)
    if result:
        named = [
            ("full model", result["loss_full"]),
            ("right after the cut", result["loss_pruned"]),
            ("fine-tuned", result["loss_finetuned"]),
        ]
        html["result"] = losses(named, "The fine-tuned model is saved. Generate draws with it.")
    return Payload(html, figures)


def _film(snapshots: list) -> str:
    step = max(1, -(-(len(snapshots) - 1) // (_SHOWN - 1)))
    chosen = sorted({*snapshots[::step], snapshots[-1]})
    rows = "".join(
        f"<figure>{picture(path, f'samples after {int(path.stem)} steps')}"
        f"<figcaption>{'after the cut' if int(path.stem) == 0 else f'{int(path.stem):,} steps'}</figcaption></figure>"
        for path in chosen
    )
    return f'<div class="tl-film"><h4>The same noise, sampled on the way</h4>{rows}</div>'
