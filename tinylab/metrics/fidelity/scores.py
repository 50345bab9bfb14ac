"""The scores of generated pictures against real ones, from the features of both."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.distances import (
    NEIGHBOURS,
    frechet_distance,
    kernel_inception_distance,
    measure_frechet,
    measure_kernel,
    measure_precision,
    measure_recall,
    precision_and_recall,
)
from tinylab.metrics.fidelity.features import Features, Moments, moments_of
from tinylab.metrics.fidelity.names import METRICS, Metric, check_metrics
from tinylab.metrics.fidelity.resampling import Measure, drawn_evenly, interval
from tinylab.metrics.fidelity.settings import resamples_within_reach, warnings_for

__all__ = [
    "Metric",
    "METRICS",
    "Score",
    "fewest_pictures",
    "inception_score",
    "measure_inception_score",
    "right",
    "score",
    "warnings_for",
]

_BOUNDS = {
    **{"fid": (0.0, math.inf), "sfid": (0.0, math.inf), "kid": (-math.inf, math.inf), "is": (1.0, math.inf)},
    **{name: (0.0, 1.0) for name in ("precision", "recall", "accuracy")},
}


_ALONE = ("is", "accuracy")  # these look at samples only


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes:
        low: with `high` the ends of its 95% interval (see `half_samples`); None where none was computed.
        biased: see `Metric`.
    """

    value: float
    low: float | None
    high: float | None
    biased: bool

    def to_json(self) -> dict[str, float | bool | None]:
        """As it stands in a run's result.json."""
        return asdict(self)


def score(
    metrics: Sequence[str],
    generated: Features,
    real: Features,
    *,
    labels: Tensor | None = None,
    strata: Tensor | None = None,
    resamples: int = 0,
    seed: int = 0,
) -> dict[str, Score]:
    """Score generated pictures against real ones.

    Args:
        labels: the class asked for of each generated picture (N,), for accuracy.
        strata: classes of which set numbers were drawn (N,), which intervals take into account; default: `labels`,
            where each of them occurs equally often.
        resamples: half-samples behind each interval; 0 for none. Costly ones get fewer, or none
            (see `resamples_within_reach`).
        seed: of random subsets and half-samples; equal seeds give equal scores.

    Raises:
        BadRequest: unknown metrics, or too little to compute one from.
    """
    check_metrics(metrics)
    labels = None if labels is None else torch.as_tensor(labels)
    if strata is None and labels is not None and drawn_evenly(labels):
        strata = labels
    _check(metrics, generated, real, labels)
    shared: dict[str, float] = {}
    found = {}
    for name in metrics:
        value = _value(name, generated, real, labels, seed, shared)
        low = high = None
        features = _chosen(name, generated).shape[1]
        draws = resamples_within_reach(name, resamples, len(generated), len(real), features)
        if draws:
            measure = _measures(generated, real, labels)[name]()
            low, high = interval(
                value, measure, len(generated), resamples=draws, seed=seed, bounds=_BOUNDS[name], strata=strata
            )
        found[name] = Score(value, low, high, METRICS[name].biased)
    return found


def fewest_pictures(name: str) -> int:
    """How many samples, and where they count how many real pictures, a score needs at least."""
    return NEIGHBOURS + 1 if name in ("precision", "recall") else 1 if name in _ALONE else 2


def _value(
    name: str, generated: Features, real: Features, labels: Tensor | None, seed: int, shared: dict[str, float]
) -> float:
    if name in ("fid", "sfid"):
        return frechet_distance(moments_of(_chosen(name, generated)), _real_moments(name, real))
    if name == "kid":
        return kernel_inception_distance(generated.pooled, real.pooled, seed)
    if name == "is":
        return inception_score(_chosen(name, generated), seed)
    if name == "accuracy":
        assert labels is not None
        return right(_chosen(name, generated), labels).mean().item()
    if not shared:
        shared["precision"], shared["recall"] = precision_and_recall(generated.pooled, real.pooled)
    return shared[name]


def _measures(generated: Features, real: Features, labels: Tensor | None) -> dict[str, Callable[[], Measure]]:
    """For each score what computes it from some rows of `generated`."""

    def accuracy() -> Measure:
        assert labels is not None
        hits = right(_chosen("accuracy", generated), labels)
        return lambda rows: hits[rows].mean().item()

    return {
        "fid": lambda: measure_frechet(generated.pooled, _real_moments("fid", real)),
        "sfid": lambda: measure_frechet(_chosen("sfid", generated), _real_moments("sfid", real)),
        "kid": lambda: measure_kernel(generated.pooled, real.pooled),
        "is": lambda: measure_inception_score(_chosen("is", generated)),
        "precision": lambda: measure_precision(generated.pooled, real.pooled),
        "recall": lambda: measure_recall(generated.pooled, real.pooled),
        "accuracy": accuracy,
    }


def _chosen(name: str, features: Features) -> Tensor:
    """What the score is computed from."""
    chosen = {"sfid": features.spatial, "is": features.logits, "accuracy": features.logits}.get(name, features.pooled)
    if chosen is None:
        raise BadRequest(f"this extractor gives nothing to compute {name} from; leave it out of --metrics")
    return chosen


def _real_moments(name: str, real: Features) -> Moments:
    if real.statistics is not None:
        found = real.statistics.spatial if name == "sfid" else real.statistics.pooled
        if found is None:
            raise BadRequest("the reference holds no statistics for sfid; leave it out of --metrics")
        return found
    return moments_of(_chosen(name, real))


def _width(name: str, real: Features) -> int:
    """Number of features of real pictures."""
    if real.statistics is not None and name in ("fid", "sfid"):
        return len(_real_moments(name, real).mean)
    return _chosen(name, real).shape[1]


def _check(metrics: Sequence[str], generated: Features, real: Features, labels: Tensor | None) -> None:
    """BadRequest for what no score can be computed from."""
    for name in metrics:
        if name == "accuracy" and labels is None:
            raise BadRequest("accuracy needs the class of each sample; leave it out of --metrics")
        alone, fewest = name in _ALONE, fewest_pictures(name)
        given = real.statistics is not None and name in ("fid", "sfid")
        if real.statistics is not None and not len(real) and not given and not alone:
            raise BadRequest(f"the reference holds statistics and no pictures, not enough for {name}; take fid or sfid")
        if len(generated) < fewest or not (alone or given) and len(real) < fewest:
            raise BadRequest(f"{name} needs at least {fewest} samples and as many real pictures; give more with --n")
        widths = _chosen(name, generated).shape[1], _width(name, real)
        if not alone and widths[0] != widths[1]:
            raise BadRequest(
                f"samples have {widths[0]} features, real pictures {widths[1]}; take one extractor for both"
            )
        if not _chosen(name, generated).isfinite().all():
            raise BadRequest("features of the samples are not all numbers; look at the samples")


_SPLITS = 10  # as published


def splits_of(count: int) -> int:
    """Ten; fewer where a split would have less than ten samples."""
    return max(1, min(_SPLITS, count // 10))


def inception_score(logits: Tensor, seed: int) -> float:
    """exp of the mean over samples of KL(p(y|x) | p(y)), a mean over ten splits, by torch-fidelity in float64."""
    return isc_features_to_metric(logits, splits_of(len(logits)), shuffle=True, rng_seed=seed)[KEY_METRIC_ISC_MEAN]


def measure_inception_score(logits: Tensor) -> Measure:
    """The same for some rows of `logits` (N, K), in as many splits as all of them have."""
    p = logits.double().softmax(1)
    sureness = (p * logits.double().log_softmax(1)).sum(1)  # (N,), negative entropies
    splits = splits_of(len(logits))

    def measure(rows: Tensor) -> float:
        found = []
        for part in rows.tensor_split(splits):
            q = p[part].mean(0)
            found.append(math.exp((sureness[part].mean() - q.xlogy(q).sum()).item()))
        return sum(found) / splits

    return measure


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """1.0 for each sample (N,) whose largest logit is the one of its class in `labels` (N,), else 0.0."""
    if len(labels) != len(logits):
        raise BadRequest(f"there are {len(logits)} samples but {len(labels)} classes; give the class of each")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise BadRequest(f"classes must lie between 0 and {logits.shape[1] - 1} ; leave accuracy out")
    return (logits.argmax(1) == labels.to(logits.device)).double()
