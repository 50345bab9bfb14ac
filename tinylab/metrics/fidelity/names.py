"""What the scores and the extractors are called, in the order in which they are shown. Free of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tinylab.errors import BadRequest
from tinylab.registry import Registry

__all__ = ["ALLOWED", "EXTRACTORS", "METRICS", "Metric", "check_metrics"]


@dataclass(frozen=True)
class Metric:
    """One score.

    Attributes:
        label: for people.
        better: `lower` or `higher`.
        biased: True where the expected value depends on the number of samples, so that only scores of equally many
            samples can be compared.
        summary: what it says, in one line.
    """

    name: str
    label: str
    better: str
    biased: bool
    summary: str


_ALL = (
    Metric("fid", "FID", "lower", True, "distance of two Gaussians fitted to the features (Heusel et al. 2017)"),
    Metric("sfid", "sFID", "lower", True, "FID of features that still have a place in the picture (Nash et al. 2021)"),
    Metric("kid", "KID", "lower", False, "squared kernel distance of the features (Bińkowski et al. 2018)"),
    Metric("is", "IS", "higher", True, "how sure and how varied classes are, Inception Score (Salimans et al. 2016)"),
    Metric("precision", "Precision", "higher", True, "share of samples near real ones (Kynkäänniemi et al. 2019)"),
    Metric("recall", "Recall", "higher", True, "share of real pictures near samples (Kynkäänniemi et al. 2019)"),
    Metric("accuracy", "Accuracy", "higher", False, "share of samples read as the class that was asked for"),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})

EXTRACTORS: Registry = Registry("extractor")
_HERE = "tinylab.metrics.fidelity"
EXTRACTORS.register(
    "digit-reader",
    f"{_HERE}.digit_features:DigitReaderFeatures",
    summary="the shipped classifier of 8x8 digits, for the built-in models; needs no network",
)
EXTRACTORS.register(
    "inception-v3",
    f"{_HERE}.inception:InceptionFeatures",
    summary="Inception v3 of 2015, which published scores rely on; needs its weights",
    label="Inception v3",
)
EXTRACTORS.register(
    "dinov2",
    f"{_HERE}.dinov2:Dinov2Features",
    summary="DINOv2 ViT-B/14, nearer to how people judge pictures; needs its weights",
    label="DINOv2",
)

# The scores that the features of each allow.
ALLOWED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "digit-reader": ("fid", "kid", "is", "precision", "recall", "accuracy"),
        "inception-v3": ("fid", "sfid", "kid", "is", "precision", "recall"),
        "dinov2": ("fid", "kid", "precision", "recall"),
    }
)


def check_metrics(metrics: Sequence[str], extractor: str | None = None) -> None:
    """BadRequest unless all are known, named once, and allowed by the extractor called `extractor`, if one is given."""
    allowed = ALLOWED[EXTRACTORS.entry(extractor).name] if extractor else tuple(METRICS)
    for name in metrics:
        if name not in METRICS:
            raise BadRequest(f"unknown metric {name!r}; choose of: {', '.join(METRICS)}")
        if name not in allowed:
            raise BadRequest(f"{extractor} gives no {name}; choose of: {', '.join(allowed)}")
    if len(set(metrics)) != len(metrics):
        raise BadRequest(f"--metrics {','.join(metrics)} names one twice; name each once")
