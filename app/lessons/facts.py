"""What the lessons say in numbers, all of it computed from recorded data."""

import json
import statistics
from bisect import bisect_left
from functools import cache
from typing import Any

from plotly.colors import sample_colorscale

from app.lessons import figures
from app.lessons.choices import SEEDS, Choice, chosen, correlation, ground_truth, surprises, without_first
from app.lessons.recorded import BIN, COLUMNS, KS, SETTINGS, SPRITE, hidden_values, lessons_folder, subsets
from tinylab.config import SearchConfig
from tinylab.figures.search import KEEP_SCALE
from tinylab.paths import assets_folder
from tinylab.reports.names import method_label
from tinylab.reports.reading import keep_columns
from tinylab.runs import recordings

__all__ = ["FACTS", "candidates", "finalists", "hidden", "pairs", "recipes", "single", "start", "switches"]

_SAME = 2e-5  # losses after fine-tuning that nobody would tell apart
_SEARCH = "recorded-search-digits-dit"
_MOMENTS, _SHADES = 60, 32  # of the picture of a search


def _digits() -> dict[str, Any]:
    """Where the recorded digits are, for `static/lesson-digits.js`."""
    return {"url": f"gradio_api/file={(lessons_folder() / SPRITE).as_posix()}", "columns": COLUMNS}


def _full() -> float:
    return subsets().loss[subsets().full]


@cache
def start() -> dict[str, Any]:
    """The picture of a recorded search: a row of shades for each block, one a moment.

    Nothing for a lab whose assets lack the recording.
    """
    run = recordings.recording(_SEARCH)
    if run is None:
        return {}
    columns = list(keep_columns(run.metrics(), ("blocks",)).values())
    shown = [columns[round(i * (len(columns) - 1) / (_MOMENTS - 1))] for i in range(_MOMENTS)]
    return {
        "run": run.id,
        "rows": [[round(share * (_SHADES - 1)) for share in row] for row in zip(*shown, strict=True)],
        "shades": sample_colorscale(KEEP_SCALE, _SHADES),
    }


@cache
def switches() -> dict[str, Any]:
    """Everything about all ways to switch the blocks on and off."""
    known = subsets()
    return {"digits": _digits(), "loss": known.loss, "read": known.read, "steps": SETTINGS["steps"]}


@cache
def candidates() -> dict[str, Any]:
    """The ground truth, and the two candidates whose order the fine-tuning turns round."""
    truth, (fallen, risen) = ground_truth(), surprises()
    done = sorted(after for _, _, after in truth.finetuned)
    pair = [_standing(" ".join(row.kept), before, after, done) for row, before, after in (fallen, risen)]
    marked = {name: each[1:] for name, each in zip("AB", (fallen, risen), strict=True)}
    named: list[dict[str, Any]] = [{"names": [name], **each} for name, each in zip("AB", pair, strict=True)]
    named += [
        {"names": list(map(method_label, each.methods)), **_standing(each.kept, each.before, each.after[0], done)}
        for each in chosen()
    ]
    return {
        "digits": _digits(),
        "figure": figures.candidates(chosen(), marked, _full()),
        "pair": pair,
        "table": sorted(named, key=lambda each: each["before"]),
        "all": len(truth.table.rows),
        "finetuned": len(done),
        "correlation": correlation(),
        "with_first": correlation(first=True),
        "without_first": correlation(first=False),
        "early": {str(count): losses for count, losses in without_first().items()},  # sent, so keys are text
        "full": _full(),
        "best": chosen()[0].before,
    }


def _standing(kept: str, before: float, after: float, done: list[float]) -> dict[str, Any]:
    """The losses of a choice, and its rank by the one after fine-tuning among the sorted losses `done`."""
    return {"kept": kept, "before": before, "after": after, "rank": bisect_left(done, after) + 1}


def _learned() -> Choice:
    return next(choice for choice in chosen() if "learned" in choice.methods)


def _default(setting: str) -> int:
    return SearchConfig.model_fields[setting].default


@cache
def finalists() -> dict[str, Any]:
    """The choice with the smallest loss right after the cut, and the learned one, seed by seed."""
    first, learned = chosen()[0], _learned()
    differences = [ours - theirs for ours, theirs in zip(learned.after, first.after, strict=True)]
    places = sorted(row.loss_pruned or 0.0 for row in ground_truth().table.rows)
    return {
        "figure": figures.seeds(first, learned, SEEDS),
        "first": {"kept": first.kept, "before": first.before, "after": first.mean, "rules": len(first.methods)},
        "learned": {
            "kept": learned.kept,
            "before": learned.before,
            "after": learned.mean,
            "rank": places.index(learned.before) + 1,
        },
        "all": len(places),
        "draws": _default("steps") * _default("batch_size"),  # one for each image of each step of the search
        "seeds": len(SEEDS),
        "better": sum(difference < -_SAME for difference in differences),
        "same": sum(abs(difference) <= _SAME for difference in differences),
        "difference": statistics.mean(differences),
        "error": statistics.stdev(differences) / len(differences) ** 0.5,
        "digits": _digits(),
    }


@cache
def single() -> dict[str, Any]:
    """The loss without each block alone."""
    known = subsets()
    losses = [known.without(i) for i in range(known.blocks)]
    worst, mildest = losses.index(max(losses)), losses.index(min(losses))
    return {
        "digits": _digits(),
        "figure": figures.block_bars(losses, _full()),
        "losses": losses,
        "full": _full(),
        "worst": worst,
        "mildest": mildest,
    }


@cache
def pairs() -> dict[str, Any]:
    """Whether the damage of several blocks is the sum of their damages."""
    known, full = subsets(), _full()
    alone = [known.without(i) - full for i in range(known.blocks)]

    def together(*blocks: int) -> float:
        return known.loss[known.full ^ sum(1 << i for i in blocks)] - full

    ratios: list[list[float | None]] = [[None] * known.blocks for _ in alone]
    for i in range(known.blocks):
        for j in range(i):
            ratios[i][j] = round(together(i, j) / (alone[i] + alone[j]), 3)
    mild = sorted(sorted(range(known.blocks), key=alone.__getitem__)[: known.blocks // 2])
    whole, parts = together(*mild), sum(alone[i] for i in mild)
    known_pairs = [(ratio, j) for row in ratios for j, ratio in enumerate(row) if ratio is not None]
    less = [j for ratio, j in known_pairs if ratio < 1]
    return {
        "figure": figures.pair_heatmap(ratios),
        "mild": " ".join(map(str, mild)),
        "sum": parts,
        "together": whole,
        "ratio": whole / parts,
        "neighbours": ratios[6][5],
        "pairs": len(known_pairs),
        "less": len(less),
        "less_first": max(less),  # each of these pairs has this block or an earlier one
    }


_TOLD = ("student", "teacher", "furthest", "masked", "carried", "separate")


@cache
def hidden() -> dict[str, Any]:
    """Hidden values, and what a mask leaves out, for every block of a student that differs from its teacher."""
    document = hidden_values()
    models = [
        {
            "model": each["model"],
            "pairs": [
                {
                    **{
                        name: pair[name] for name in ("student", "teacher", "furthest", "masked", "carried", "separate")
                    },
                    "counts": figures.hidden_counts(pair["counts"], BIN),
                    "curves": figures.mask_curves(KS, pair["masked"], pair["carried"]),
                }
                for pair in each["pairs"]
                if pair["gap"] > 0
            ],
        }
        for each in document["models"]
    ]
    return {"ks": KS, "models": models, "images": document["images"]}


_SHOWN = {  # recipes of docs/study.md, and what the lesson calls them
    "diffusion": "diffusion",
    "logit": "logit",
    "feature": "feature",
    "masked-kd": "masked",
    "feature:beta=0.1+layer_map=span+warm_start=linear": "best",
}


@cache
def recipes() -> dict[str, Any]:
    """What losses of recovery are worth on digits-dit."""
    cells = json.loads((assets_folder() / "studies" / "recovery" / "digits-dit.json").read_text())["cells"]
    found = {name: [cell["loss"] for cell in cells if cell["recipe"] == recipe] for recipe, name in _SHOWN.items()}
    rows = [
        (name, statistics.mean(losses), statistics.stdev(losses) / len(losses) ** 0.5) for name, losses in found.items()
    ]
    means = {name: mean for name, mean, _ in rows}
    return {
        "figure": figures.recipe_bars(rows, _full()),
        "means": means,
        "full": _full(),
        "seeds": len(found["diffusion"]),
        "regained": (means["diffusion"] - means["logit"]) / (means["diffusion"] - _full()),
    }


FACTS = {
    "start": start,
    "switches": switches,
    "candidates": candidates,
    "finalists": finalists,
    "single": single,
    "pairs": pairs,
    "hidden": hidden,
    "recipes": recipes,
}
