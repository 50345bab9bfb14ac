"""The scores against closed forms and direct computations in numpy and scipy, on the same features."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.distances import (
    frechet_distance,
    kernel_distance,
    kernel_inception_distance,
    measure_frechet,
    measure_kernel,
)
from tinylab.metrics.fidelity.features import Features, Moments
from tinylab.metrics.fidelity.names import ALLOWED, EXTRACTORS, METRICS, check_metrics
from tinylab.metrics.fidelity.scores import Score, score, warnings_for
from tinylab.metrics.fidelity.settings import resamples_within_reach

PICTURE_METRICS = ("fid", "sfid", "kid", "is", "precision", "recall", "accuracy")


def drawn(count: int, seed: int, shift: float = 0.0, width: int = 12) -> Features:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=torch.Generator().manual_seed(99))
    pooled = torch.randn(count, width, generator=generator) @ mixing + shift
    return Features(pooled, pooled[:, :5] * 0.5, torch.randn(count, 7, generator=generator) * 2 + shift)


def frechet_by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root))


def numbers(tensor: torch.Tensor | None) -> np.ndarray:
    assert tensor is not None
    return tensor.double().numpy()


def test_fid_and_sfid_are_scipys() -> None:
    a, b = drawn(60, 0, 0.5), drawn(80, 1)
    found = score(("fid", "sfid"), a, b)
    assert found["fid"].value == pytest.approx(frechet_by_scipy(numbers(a.pooled), numbers(b.pooled)), rel=1e-9)
    assert found["sfid"].value == pytest.approx(frechet_by_scipy(numbers(a.spatial), numbers(b.spatial)), rel=1e-9)


def test_the_frechet_distance_of_axis_aligned_gaussians_has_a_closed_form() -> None:
    first = Moments(np.array([1.0, 2.0]), np.diag([4.0, 9.0]))
    second = Moments(np.array([0.0, 0.0]), np.diag([1.0, 25.0]))
    assert frechet_distance(first, second) == pytest.approx((1 + 4) + (2 - 1) ** 2 + (3 - 5) ** 2)


@pytest.mark.parametrize("count", [6, 200])  # fewer than features: covariances without full rank
def test_fid_of_a_set_with_itself_is_zero(count: int) -> None:
    features = drawn(count, 0, 3.0)
    found = score(("fid", "sfid"), features, features)
    assert found["fid"].value == 0 == found["sfid"].value


def test_a_small_distance_is_not_taken_for_rounding() -> None:
    features = drawn(200, 0)
    moved = Features(features.pooled + 0.01)
    assert score(("fid",), moved, features)["fid"].value == pytest.approx(12 * 0.01**2, rel=1e-3)


@pytest.mark.parametrize("count", [8, 60])  # both Gram matrices
def test_what_intervals_use_for_fid_is_fid(count: int) -> None:
    a, b = drawn(100, 0, 0.3), drawn(90, 1)
    rows = torch.randperm(100)[:count]
    value = score(("fid",), a[rows], b)["fid"].value
    moments = Moments(numbers(b.pooled).mean(0), np.cov(numbers(b.pooled), rowvar=False))
    assert measure_frechet(a.pooled, moments)(rows) == pytest.approx(value, rel=1e-6)


def test_kid_is_a_direct_double_loop() -> None:
    a, b = drawn(9, 0, 0.5), drawn(9, 1)
    x, y = numbers(a.pooled), numbers(b.pooled)

    def kernel(first: np.ndarray, second: np.ndarray) -> float:
        return (first @ second / 12 + 1) ** 3

    within = sum(kernel(s[i], s[j]) for s in (x, y) for i in range(9) for j in range(9) if i != j) / 72
    across = sum(kernel(p, q) for p in x for q in y) / 81
    assert score(("kid",), a, b)["kid"].value == pytest.approx(within - 2 * across)


def test_kid_of_unequal_sets_is_the_mean_over_random_subsets() -> None:
    a, b = drawn(20, 0, 0.5), drawn(30, 1)
    random = np.random.RandomState(7)
    subsets = [(random.choice(20, 20, replace=False), random.choice(30, 20, replace=False)) for _ in range(100)]
    direct = [kernel_distance(a.pooled[i], b.pooled[j]) for i, j in subsets]
    assert score(("kid",), a, b, seed=7)["kid"].value == pytest.approx(np.mean(direct))


@pytest.mark.parametrize("counts", [(899, 898), (60, 1200)])  # subsets that have more pairs than the sets, and fewer
def test_kid_is_torch_fidelitys_whichever_way_it_is_computed(counts: tuple[int, int]) -> None:
    a, b = (torch.randn(count, 16, generator=torch.Generator().manual_seed(count)) for count in counts)
    wanted = kid_features_to_metric(
        a.double(), b.double(), kid_subsets=100, kid_subset_size=min(counts), rng_seed=5, verbose=False
    )
    found = kernel_inception_distance(a, b, 5)
    assert found == pytest.approx(wanted[KEY_METRIC_KID_MEAN], rel=1e-9, abs=1e-12)


def test_what_intervals_use_for_kid_is_kid_up_to_a_constant() -> None:
    a, b = drawn(40, 0, 0.5), drawn(30, 1)
    first, second = torch.arange(20), torch.arange(15, 35)
    measure = measure_kernel(a.pooled, b.pooled)
    moved = kernel_distance(a.pooled[first], b.pooled) - kernel_distance(a.pooled[second], b.pooled)
    assert measure(first) - measure(second) == pytest.approx(moved)


def test_the_inception_score_is_numpys() -> None:
    features = drawn(105, 0)
    logits = numbers(features.logits)[np.random.RandomState(3).permutation(105)]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    parts = [p[i * 105 // 10 : (i + 1) * 105 // 10] for i in range(10)]
    direct = [np.exp((part * np.log(part / part.mean(0))).sum(1).mean()) for part in parts]
    assert score(("is",), features, features, seed=3)["is"].value == pytest.approx(np.mean(direct))


def test_the_inception_score_of_sure_and_varied_classes_is_their_number() -> None:
    logits = torch.eye(5).repeat(100, 1)[torch.randperm(500)] * 100
    features = Features(torch.zeros(500, 2), logits)
    assert score(("is",), features, features)["is"].value == pytest.approx(5, rel=0.1)  # splits are not quite even
    same = Features(torch.zeros(500, 2), torch.zeros(500, 5))
    assert score(("is",), same, same)["is"].value == pytest.approx(1)


def test_precision_and_recall_are_brute_force() -> None:
    generated, real = drawn(25, 0, 1.0, width=3), drawn(35, 1, width=3)

    def covered(points: np.ndarray, by: np.ndarray) -> float:
        hits = 0
        reach = [sorted(np.linalg.norm(c - other) for other in by)[3] for c in by]
        for point in points:
            hits += any(np.linalg.norm(point - c) <= radius for c, radius in zip(by, reach, strict=True))
        return hits / len(points)

    found = score(("precision", "recall"), generated, real)
    x, y = numbers(generated.pooled), numbers(real.pooled)
    assert found["precision"].value == pytest.approx(covered(x, y))
    assert found["recall"].value == pytest.approx(covered(y, x))
    assert 0 < found["precision"].value != found["recall"].value < 1


def test_accuracy_is_the_share_read_as_asked() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [1.0, 0.0]])
    features = Features(torch.zeros(4, 2), logits)
    found = score(("accuracy",), features, features, labels=torch.tensor([0, 1, 1, 0]))
    assert found["accuracy"] == Score(0.75, None, None, False)
    assert found["accuracy"].to_json() == {"value": 0.75, "low": None, "high": None, "biased": False}


def test_intervals_hold_their_value_and_repeat() -> None:
    a, b = drawn(100, 0, 0.2), drawn(90, 1)
    labels = torch.arange(100) % 5
    found = score(PICTURE_METRICS, a, b, labels=labels, resamples=30, seed=4)
    assert tuple(found) == PICTURE_METRICS
    for name, entry in found.items():
        assert entry.low is not None and entry.high is not None
        assert entry.low <= entry.value <= entry.high and entry.low < entry.high, name
        assert entry.biased is METRICS[name].biased
    assert found == score(PICTURE_METRICS, a, b, labels=labels, resamples=30, seed=4)
    assert found["fid"] != score(("fid",), a, b, resamples=30, seed=5)["fid"]


def test_intervals_cover_what_other_samples_score() -> None:
    real = drawn(100, 0, width=6)
    names = ("fid", "kid", "is", "precision", "recall")
    values = [score(names, drawn(100, seed, 0.5, width=6), real) for seed in range(1, 101)]
    found = [score(names, drawn(100, seed, 0.5, width=6), real, resamples=40) for seed in range(101, 141)]
    for name in names:
        mean = np.mean([each[name].value for each in values])
        spread = np.std([each[name].value for each in values])
        width = np.mean([(each[name].high or 0) - (each[name].low or 0) for each in found])
        covered = np.mean([(each[name].low or 0) <= mean <= (each[name].high or 0) for each in found])
        assert covered >= 0.8, name
        assert 0.7 < width / (2 * 1.96 * spread) < 1.4, name


def test_classes_in_set_numbers_do_not_widen_an_interval() -> None:
    labels = torch.arange(200) % 2
    generator = torch.Generator().manual_seed(0)
    pooled = torch.randn(200, 3, generator=generator) + 10.0 * labels[:, None]
    features, real = Features(pooled), Features(torch.randn(200, 3, generator=generator))
    even = score(("fid",), features, real, labels=labels, resamples=50)["fid"]
    drawn_freely = score(("fid",), features, real, resamples=50)["fid"]
    assert even.high is not None and even.low is not None
    assert drawn_freely.high is not None and drawn_freely.low is not None
    assert even.high - even.low < 0.5 * (drawn_freely.high - drawn_freely.low)


def test_costly_intervals_get_fewer_resamples_or_none() -> None:
    assert resamples_within_reach("fid", 100, 1000, 1797, 128) == 100
    assert 20 <= resamples_within_reach("fid", 100, 50_000, 50_000, 2048) < 100
    assert resamples_within_reach("recall", 100, 50_000, 50_000, 2048) == 0
    assert resamples_within_reach("is", 100, 10, 1797, 128) == 0
    assert score(("fid",), drawn(10, 0), drawn(50, 1), resamples=50)["fid"].low is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((100, 1797, 128, ("fid",)), "biased upwards"),
        ((100, 1797, 128, ("is",)), "biased downwards"),
        ((100, 1797, 128, ("recall",)), "depend on the numbers"),
        ((10_000, 10_000, 2048, ("sfid",)), "Published scores are of 50,000"),
    ],
)
def test_small_samples_get_a_warning_of_bias(arguments: tuple, expected: str) -> None:
    assert expected in " ".join(warnings_for(*arguments))


def test_enough_samples_get_no_warning_and_missing_intervals_one() -> None:
    assert warnings_for(50_000, 50_000, 2048, ("fid", "sfid", "kid", "is")) == []
    assert warnings_for(10, 1797, 128, ("kid",)) == []
    assert "no intervals" in warnings_for(10, 1797, 128, ("kid",), resamples=100)[0]
    cut, missing = warnings_for(50_000, 50_000, 2048, ("fid", "kid"), resamples=100)
    assert "not 100" in cut and "KID: no interval" in missing


@pytest.mark.parametrize(
    ("metrics", "generated", "labels", "expected"),
    [
        (("fd",), drawn(20, 0), None, "unknown metric 'fd'"),
        (("fid", "fid"), drawn(20, 0), None, "names one twice"),
        (("accuracy",), drawn(20, 0), None, "needs the class"),
        (("accuracy",), drawn(20, 0), torch.zeros(19).long(), "20 samples but 19 classes"),
        (("accuracy",), drawn(20, 0), torch.full((20,), 5), "between 0 and 4"),
        (("recall",), drawn(3, 0), None, "at least 4"),
        (("kid",), drawn(1, 0), None, "at least 2"),
        (("is",), Features(torch.randn(20, 12)), None, "nothing to compute is from"),
        (("fid",), Features(torch.full((20, 12), torch.nan)), None, "not all numbers"),
        (("fid",), drawn(20, 0, width=4), None, "4 features"),
    ],
)
def test_what_cannot_be_scored_is_refused(metrics: tuple, generated: Features, labels, expected: str) -> None:
    with pytest.raises(BadRequest, match=expected):
        score(metrics, generated, drawn(20, 1), labels=labels)


def test_every_extractor_allows_known_scores_in_order() -> None:
    assert tuple(ALLOWED) == EXTRACTORS.names()
    for name, allowed in ALLOWED.items():
        assert list(allowed) == [metric for metric in METRICS if metric in allowed]
        check_metrics(allowed, name)
    with pytest.raises(BadRequest, match="dinov2 gives no sfid; choose of: fid, kid, precision, recall"):
        check_metrics(("sfid",), "dinov2")
