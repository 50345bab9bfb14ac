"""What the distinct choices of the compared methods end at, by the recipe of the study of digits-dit."""

import json
from collections.abc import Callable
from pathlib import Path

from app.lessons.choices import CHOICES, FINALISTS, METHODS, SEEDS, STUDY
from tinylab.config import FinetuneConfig
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.files import atomic
from tinylab.jobs.finetune import RECOVERY_FLOOR
from tinylab.jobs.ground_truth import GroundTruth
from tinylab.metrics.denoising import held_out_loss
from tinylab.models.load import load_model
from tinylab.paths import assets_folder
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.training.denoise import DenoiseTask
from tinylab.training.loop import run_loop
from tinylab.training.recorder import SilentRecorder

__all__ = ["loss_of", "record_choices"]


def record_choices(folder: Path, work: Path, say: Callable[[str], None]) -> None:
    """Write the table; what is done already lies in `work`."""
    rows = []
    for kept, methods in METHODS.items():
        after = [_known(kept, seed, work, say) for seed in (SEEDS if kept in FINALISTS else SEEDS[:1])]
        rows.append({"kept": kept, "methods": list(methods), "after": after})
    atomic.write_text(folder / CHOICES, json.dumps({"choices": rows}, indent=1) + "\n")


def _known(kept: str, seed: int, work: Path, say: Callable[[str], None]) -> float:
    file = work / f"choice-{kept.replace(' ', '-')}-{seed}.json"
    if not file.is_file():
        atomic.write_text(file, json.dumps(loss_of(kept, seed)))
        say(f"choices: {kept}, seed {seed}")
    return json.loads(file.read_text())


def loss_of(kept: str, seed: int, steps: int | None = None) -> float:
    """The held-out loss of a choice after the study's fine-tuning with this seed; `steps` 0 is right after the cut."""
    truth = GroundTruth.open(str(assets_folder() / "studies" / STUDY))
    model = load_model(STUDY)
    objective, (train, held_out) = objective_for(model), load_digits()
    model = apply_plan(model, DepthPlan.of(kept.split(), model.stack_depths(), "study"))
    if steps != 0:
        given = {**(truth.recipe or {}), "seed": seed}
        recipe = FinetuneConfig.create(**given)
        task = DenoiseTask(model, objective, train, recipe, floor=RECOVERY_FLOOR)
        run_loop(task, recipe, None, SilentRecorder())
        model = task.ema.module
    return held_out_loss(model, objective, held_out).loss
