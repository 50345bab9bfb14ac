"""Inception v3 with random weights: spatial features, sFID by torch-fidelity and by scipy, and files of weights."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch_fidelity
from bare_pictures import Pictures
from safetensors.torch import save_file
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.extractors import Extractor, open_extractor
from tinylab.metrics.fidelity.features import Features
from tinylab.metrics.fidelity.scores import score


class RandomInception(FeatureExtractorInceptionV3):
    """torch-fidelity's network as it is before it loads weights."""

    def __init__(self) -> None:
        nothing = io.BytesIO()
        torch.save({}, nothing)
        nothing.seek(0)
        super().__init__("random", ["2048"], feature_extractor_weights_path=nothing)

    def load_state_dict(self, *_, **__) -> None:  # type: ignore[override]
        """None are there to load."""


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = RandomInception()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # signals reach the end as large as they began
    return network.state_dict()


@pytest.fixture(scope="module")
def weights(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def extractor(weights: Path) -> Extractor:
    return open_extractor("inception-v3", weights=weights)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (8, 24, 24, 3), np.uint8)


@pytest.fixture(scope="module")
def features(extractor: Extractor, pixels: np.ndarray) -> Features:
    return extractor.features(pixels, batch_size=5)


@pytest.fixture(scope="module")
def sfid(features: Features) -> float:
    """Of the first half of the pictures against the second."""
    return score(("sfid",), features[torch.arange(4)], features[torch.arange(4, 8)])["sfid"].value


def test_spatial_features_are_seven_channels_of_a_branch(
    extractor: Extractor, pixels: np.ndarray, features: Features
) -> None:
    net = extractor.network.net
    x = torch.from_numpy(pixels[:3]).permute(0, 3, 1, 2).float()
    x = (interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False) - 128) / 128
    steps = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    steps += ("MaxPool_2", "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c")
    with torch.no_grad():
        for step in steps:
            x = getattr(net, step)(x)
        branch = net.Mixed_6d.branch1x1
        x = branch.bn(branch.conv(x)).clamp(min=0)[:, :7]
    assert features.spatial is not None and features.spatial.shape == (8, 2023)
    torch.testing.assert_close(features.spatial[:3], x.flatten(1), rtol=1e-3, atol=1e-4)
    assert features.pooled.shape == (8, 2048) and features.logits is not None and features.logits.shape == (8, 1008)


def test_no_hook_is_left(extractor: Extractor, features: Features) -> None:
    assert features.spatial is not None
    assert not any(module._forward_hooks for module in extractor.network.modules())


def test_sfid_is_scipys_on_spatial_features(features: Features, sfid: float) -> None:
    a, b = features[torch.arange(4)], features[torch.arange(4, 8)]
    x, y = (each.spatial.double().numpy() for each in (a, b) if each.spatial is not None)
    # The root of a product of rank three is taken in the space that the pictures span, where it has full rank.
    _, _, basis = np.linalg.svd(np.concatenate([x - x.mean(0), y - y.mean(0)]), full_matrices=False)
    first, second = (basis[:6] @ np.cov(each, rowvar=False) @ basis[:6].T for each in (x, y))
    root = np.linalg.svd(_root(first) @ _root(second), compute_uv=False).sum()
    direct = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * root
    assert sfid == pytest.approx(direct, rel=1e-4)
    assert direct > 0


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = scipy.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def test_torch_fidelity_can_be_asked_for_sfid(weights: Path, sfid: float, pixels: np.ndarray) -> None:
    theirs = torch_fidelity.calculate_metrics(
        input1=Pictures(pixels[:4]),
        input2=Pictures(pixels[4:]),
        feature_extractor="inception-v3",
        feature_extractor_weights_path=weights,
        feature_layer_fid="spatial",
        **{"fid": True, "cuda": False, "save_cpu_ram": True, "verbose": False, "cache": False},
    )
    assert sfid == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)


def test_safetensors_and_weights_without_counters_are_the_same_network(
    extractor: Extractor, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(state, tmp_path / "weights.safetensors")
    assert open_extractor("inception-v3", weights=tmp_path / "weights.safetensors").hash == extractor.hash
    older = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(older, tmp_path / "older.pth", _use_new_zipfile_serialization=False)
    assert open_extractor("inception-v3", weights=tmp_path / "older.pth").hash == extractor.hash


def test_its_download_is_found_where_torch_fidelity_keeps_it(
    extractor: Extractor, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth").symlink_to(weights)
    assert open_extractor("inception-v3").hash == extractor.hash


class Harm:
    """Runs code when it is unpickled by a careless reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("modern", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path, modern: bool) -> None:
    trace, path = tmp_path / "ran", tmp_path / "weights.pth"
    torch.save({"fc.bias": Harm(trace)}, path, _use_new_zipfile_serialization=modern)
    with pytest.raises(BadRequest, match="refused"):
        open_extractor("inception-v3", weights=path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # it was no empty threat


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"fc.bias": torch.zeros(1008)}, "lacks Conv2d_1a_3x3.bn.bias"),
        ({"fc.bias": 3}, "more than named tensors"),
        ([torch.zeros(2)], "more than named tensors"),
        ({}, "more than named tensors"),
        (None, "damaged"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: object, expected: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    if content is None:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadRequest, match=expected) as caught:
        open_extractor("inception-v3", weights=path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "tensor", "expected"),
    [
        ("fc.bias", torch.zeros(1000), r"fc.bias is \(1000,\), not \(1008,\)"),
        ("fc.bias", torch.zeros(1).expand(10**12), "fc.bias is"),
        ("fc.bias", torch.full((1008,), torch.nan), "not numbers in fc.bias"),
        ("more", torch.zeros(2), "has unknown more"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    state: dict[str, torch.Tensor], tmp_path: Path, name: str, tensor: torch.Tensor, expected: str
) -> None:
    torch.save({**state, name: tensor}, tmp_path / "weights.pt")
    with pytest.raises(BadRequest, match=expected):
        open_extractor("inception-v3", weights=tmp_path / "weights.pt")
