"""Which scores may stand in one column: those taken in the same way. Free of torch, for reports and the app.

The entries read here are those of an evaluation's result.json. What a score depends on besides the model is its
setting: the extractor and its weights, the reference, the number of samples, and how they were drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinylab.metrics.fidelity.names import METRICS

__all__ = ["FEWEST", "resamples_within_reach", "Column", "columns", "same_setting", "setting_of", "warnings_for"]

FEWEST = 16  # samples below which halves say nothing
_FEWEST_RESAMPLES = 20  # of fewer, no 95% interval can be told
_MOST_WORK = 1e13  # floating-point operations for one interval, some minutes of one core
_MOST_PAIRS = 250_000_000  # distances or kernel values kept at once, 2 GB

_DRAWN = ("sampler", "steps", "guidance", "guidance_schedule", "temperature", "cache", "vae", "seed", "classes")


@dataclass
class Column:
    """Scores of one kind taken in the same way.

    Attributes:
        title: for people; no two columns have the same.
        metric: a key of `METRICS`.
        setting: see `setting_of`.
        cells: score entries ({"value", "low", "high", "biased"}) by the label of the row.
        floor: the entry of real pictures against real ones, None if there is none.
        floor_images: sizes of the two halves behind it.
    """

    title: str
    metric: str
    setting: Mapping[str, Any]
    cells: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    floor: Mapping[str, Any] | None = None
    floor_images: Sequence[int] | None = None


def setting_of(result: Mapping[str, Any], row: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the scores in `row` of an evaluation's result depend on besides the model, flat, by name.

    Without a row, its first one counts. What was not drawn but read from files has a setting unknown: None.
    """
    rows = result.get("rows") or [result]
    chosen = rows[0] if row is None else row
    extractor, reference = result.get("extractor") or {}, result.get("reference") or {}
    drawn = chosen.get("setting")
    found = {
        "extractor": extractor.get("name"),
        "extractor hash": extractor.get("hash"),
        "reference": reference.get("hash"),
        "samples": chosen.get("images"),
        "drawn": drawn is not None,
    }
    return found | {name.replace("_", " "): (drawn or {}).get(name) for name in _DRAWN}


def same_setting(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Names of what differs between two results, or two settings of `setting_of`; empty if they compare."""
    first, second = (dict(each) if "extractor hash" in each else setting_of(each) for each in (a, b))
    return [name for name in first | second if first.get(name) != second.get(name)]


def columns(results: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The scores of several evaluations in columns, metric by metric in the order of `METRICS`.

    Two scores stand in one column only if nothing of their settings differs; so models do not split a column, and
    another sampler, number of steps or cache does. Titles name what is usual, and beyond that what tells two columns
    apart. Rows are labels; another model (or other pictures) with a label that is taken becomes `LABEL (2)`.
    """
    found: list[Column] = []
    labels = _Labels()
    for result in results:
        for row in result.get("rows", ()):
            setting = setting_of(result, row)
            label = labels.of(row, setting)
            for metric, entry in row.get("scores", {}).items():
                column = _column(found, metric, setting)
                column.cells[label] = entry
                if column.floor is None:
                    floor = result.get("floor") or {}
                    column.floor = floor.get("scores", {}).get(metric)
                    column.floor_images = floor.get("images") if column.floor else None
    names = list(METRICS)
    found.sort(key=lambda column: names.index(column.metric) if column.metric in names else len(names))
    references = {_reference(result).get("hash"): _reference(result).get("name") for result in results}
    _name(found, references)
    return found


class _Labels:
    """One label for one model: its source, depth and size, and what it scored where it was measured twice."""

    def __init__(self) -> None:
        self._owners: dict[str, dict] = {}

    def of(self, row: Mapping[str, Any], setting: Mapping[str, Any]) -> str:
        identity = [row.get(name) for name in ("label", "source", "depth", "parameters", "drawn")]
        taken = tuple(setting.values())
        label, scores, number = str(row.get("label")), row.get("scores"), 1
        shown = label
        while True:
            owner = self._owners.setdefault(shown, {"identity": identity, "scores": {}})
            if owner["identity"] == identity and owner["scores"].setdefault(taken, scores) == scores:
                return shown
            number += 1
            shown = f"{label} ({number})"


def _column(found: list[Column], metric: str, setting: dict[str, Any]) -> Column:
    for column in found:
        if column.metric == metric and column.setting == setting:
            return column
    found.append(Column("", metric, setting))
    return found[-1]


def _reference(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result.get("reference") or {}


def _name(found: Sequence[Column], references: Mapping[Any, Any]) -> None:
    """Give every column a title of its own."""
    groups: dict[str, list[Column]] = {}
    for column in found:
        groups.setdefault(_usual_title(column), []).append(column)
    for title, group in groups.items():
        differing = [name for name in group[0].setting if len({repr(each.setting[name]) for each in group}) > 1]
        for column in group:
            more = [_difference(name, column.setting[name], references) for name in differing]
            column.title = " · ".join([title, *more])


def _usual_title(column: Column) -> str:
    """What a score is, how many samples it is of, and how they were drawn."""
    setting = column.setting
    label = METRICS[column.metric].label if column.metric in METRICS else column.metric
    samples = f"{setting['samples']:,} samples" if isinstance(setting["samples"], int) else "samples"
    how = "from files"
    if setting["drawn"]:
        how = f"{setting['sampler']} {setting['steps']} steps, guidance {setting['guidance']}, seed {setting['seed']}"
        how += "" if setting["cache"] in (None, "none") else f", cache {setting['cache']}"
    return " · ".join([label, str(setting["extractor"]), samples, how])


def _difference(name: str, value: Any, references: Mapping[Any, Any]) -> str:
    shown = f"{references.get(value)} {value}" if name == "reference" else value
    return f"{name} {shown}"


_PUBLISHED = 50_000  # samples behind published scores
_PER_FEATURE = 10  # samples a feature, below which the covariance is poorly known
_SPATIAL = 2023
_INCEPTION = 2048


def warnings_for(
    n_generated: int, n_real: int, features: int, metrics: Sequence[str], *, resamples: int = 0
) -> list[str]:
    """What to know of scores of `n_generated` samples against `n_real` real pictures (0 for statistics alone).

    Args:
        features: number of pooled features.
        resamples: half-samples that were asked for; says which intervals are left out.
    """
    found = _of_bias(n_generated, n_real, features, metrics)
    if resamples and n_generated < FEWEST:
        return [*found, f"Fewer than {FEWEST} samples: no intervals."]
    for name in metrics if resamples else ():
        width = _SPATIAL if name == "sfid" else features
        draws = resamples_within_reach(name, resamples, n_generated, n_real, width)
        label = METRICS[name].label
        if not draws:
            found.append(f"{label}: no interval, which would take too long or too much memory for so many pictures.")
        elif draws < resamples:
            found.append(f"{label}: its interval is from {draws} half-samples, not {resamples}, to save time.")
    return found


def _of_bias(n_generated: int, n_real: int, features: int, metrics: Sequence[str]) -> list[str]:
    found = []
    fewest = min(n_generated, n_real or n_generated)
    for name in ("fid", "sfid"):
        width = _SPATIAL if name == "sfid" else features
        if name in metrics and fewest < _PER_FEATURE * width:
            found.append(
                f"{METRICS[name].label} of {width:,} features from {fewest:,} pictures is biased upwards: compare it "
                "only with that of equally many."
            )
    if "is" in metrics and n_generated < _PUBLISHED:
        found.append(f"IS from {n_generated:,} samples is biased downwards: compare it only with equally many.")
    if {"precision", "recall"} & set(metrics):
        found.append("Precision and recall depend on the numbers of samples and of real pictures: keep both equal.")
    if features == _INCEPTION and {"fid", "sfid", "is"} & set(metrics) and n_generated < _PUBLISHED:
        found.append(
            f"Published scores are of {_PUBLISHED:,} samples; these, of {n_generated:,}, compare only with each other."
        )
    return found


def resamples_within_reach(metric: str, resamples: int, samples: int, real: int, features: int) -> int:
    """How many of the `resamples` asked for are affordable; 0 where an interval would need too much time or memory.

    FID and sFID cost a covariance and the eigenvalues of a matrix each time, and the number is cut to what 1e13
    operations pay for. KID and recall keep a value for each pair of pictures, at most 250 million pairs.
    """
    if samples < FEWEST:
        return 0
    if metric in ("kid", "recall"):
        return resamples if samples * (samples + real) <= _MOST_PAIRS else 0
    if metric in ("fid", "sfid"):
        side, other = sorted((features, samples // 2))
        affordable = int(_MOST_WORK / (2 * side * side * other + 10 * side**3))
        return min(resamples, affordable) if affordable >= min(resamples, _FEWEST_RESAMPLES) else 0
    return resamples
