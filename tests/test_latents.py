"""Latents on the disk: both layouts, the split, mirroring, and one line for whatever is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tinylab.config import EncodeConfig
from tinylab.data.base import Dataset, load_data
from tinylab.data.catalog import describe_data
from tinylab.data.digits import load_digits
from tinylab.data.latent_index import LatentIndex, Shard, read_index, shard_name, write_index
from tinylab.data.latents import LatentSet, open_latents
from tinylab.data.shards import ShardFolder, file_digest
from tinylab.errors import BadRequest
from tinylab.runs.run import Run

SHAPE = (4, 2, 2)


def make_shards(folder: Path, counts: tuple[int, ...] = (3, 0, 4), *, flips: bool = True, **changes: Any) -> Path:
    """Shards whose plain latents are the number of the picture, and the mirrored ones its negative."""
    folder.mkdir(parents=True)
    shards, first = [], 0
    for number, count in enumerate(counts):
        values = torch.arange(first, first + count).view(-1, 1, 1, 1).expand(-1, *SHAPE).half()
        tensors = {"latents": values.contiguous(), "labels": torch.arange(first, first + count) % 3}
        if flips:
            tensors["flipped"] = -values.contiguous()
        path = folder / shard_name(number)
        save_file(tensors, path)
        shards.append(Shard(path.name, count, path.stat().st_size, file_digest(path)))
        first += count
    values = {
        "shape": SHAPE, "dtype": "float16", "flips": flips, "posterior": "mean", "scaling_factor": 0.18215,
        "shift_factor": None, "class_names": ("a", "b", "c"), "vae": {}, "source": {}, "shards": tuple(shards),
    }  # fmt: skip
    write_index(folder, LatentIndex(**{**values, **changes}))
    return folder


def make_features(
    folder: Path, count: int = 12, views: int = 1, name: str = "imagenet256", label: Callable[[int], Any] = lambda i: i
) -> Path:
    """Feature files whose view v of picture i holds i + 100 v."""
    features, labels = folder / f"{name}_features", folder / f"{name}_labels"
    features.mkdir(parents=True)
    labels.mkdir()
    for i in range(count):
        array = i + 100 * np.arange(views, dtype=np.float32).reshape(-1, 1, 1, 1)
        np.save(features / f"{i}.npy", np.broadcast_to(array, (views, *SHAPE)))
        np.save(labels / f"{i}.npy", np.array([label(i)]))
    return folder


def firsts(x: Tensor) -> list[float]:
    """The one value of each constant latent."""
    assert torch.equal(x, x[:, :1, :1, :1].expand_as(x))
    return x[:, 0, 0, 0].tolist()


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(BadRequest) as refused:
        action()
    message = str(refused.value)
    assert message and "\n" not in message
    return message


def everything(data: Dataset) -> Tensor:
    return data.take(torch.arange(len(data)))[0]


def test_shards_are_read_by_index_in_any_order(tmp_path: Path) -> None:
    data = open_latents(str(make_shards(tmp_path / "latents")))
    x, y = data.take(torch.tensor([6, 0, 3, 3, -1]))
    assert (x.dtype, x.shape, y.dtype) == (torch.float32, (5, *SHAPE), torch.int64)
    assert firsts(x) == [6, 0, 3, 3, 6]
    assert y.tolist() == [0, 0, 0, 0, 0]
    assert (len(data), data.sample_shape, data.num_classes, data.class_names) == (7, SHAPE, 3, ("a", "b", "c"))
    assert data.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_images_can_be_indexed_like_a_tensor(tmp_path: Path) -> None:
    data = open_latents(str(make_shards(tmp_path / "latents")))
    assert data.images.shape == (7, *SHAPE)
    assert firsts(data.images[torch.tensor([2, 5])]) == [2, 5]
    assert firsts(data.images[1:3]) == [1, 2]
    assert data.images[4].shape == SHAPE
    with pytest.raises(IndexError):
        data.images[torch.tensor([7])]


def test_the_view_that_is_asked_for_is_taken_and_the_first_without_a_word(tmp_path: Path) -> None:
    data = open_latents(str(make_shards(tmp_path / "latents", (40,))))
    assert data.views == 2
    views = torch.arange(40) % 2
    x, _ = data.take(torch.arange(40), views)
    assert torch.equal((x[1:, 0, 0, 0] < 0).long(), views[1:])
    assert firsts(x.abs()) == list(range(40))
    assert (everything(data) >= 0).all()


def test_data_without_twins_has_one_view(tmp_path: Path) -> None:
    train, _ = load_digits()
    for data in (open_latents(str(make_shards(tmp_path / "latents", flips=False))), train):
        x, _ = data.take(torch.tensor([1, 0]), torch.tensor([0, 0]))
        assert data.views == 1
        assert torch.equal(x, data.images[torch.tensor([1, 0])])


def test_digits_are_a_dataset_with_the_values_they_always_had() -> None:
    train, held_out = load_data("digits")
    fixed, _ = load_digits()
    chosen = torch.tensor([5, 1499, 0])
    x, y = train.take(chosen)
    assert torch.equal(x, fixed.images[chosen]) and torch.equal(y, fixed.labels[chosen])
    assert (train.sample_shape, train.num_classes, train.class_names[3]) == ((1, 8, 8), 10, "three")
    assert (len(train), len(held_out)) == (1500, 297)


def test_split_is_fixed_disjoint_and_whole(tmp_path: Path) -> None:
    folder = str(make_shards(tmp_path / "latents", (30, 17)))
    train, held_out = load_data(folder)
    assert (len(train), len(held_out)) == (43, 4)
    both = firsts(everything(train)) + firsts(everything(held_out))
    assert sorted(both) == list(range(47))
    again = load_data(folder)[1]
    assert torch.equal(everything(again), everything(held_out))
    labels = isinstance(train, LatentSet) and train.labels
    assert torch.equal(train.take(torch.arange(43))[1], labels)


def test_one_picture_cannot_be_split(tmp_path: Path) -> None:
    assert "encode some more" in refusal(lambda: load_data(str(make_shards(tmp_path / "latents", (1,)))))


def test_a_run_is_found_by_folder_and_by_id(runs: Path) -> None:
    run = Run.create(runs / "mine", EncodeConfig.create())
    assert "tinylab resume mine" in refusal(lambda: open_latents("mine"))
    make_shards(run.path / "latents")
    assert len(open_latents("mine")) == len(open_latents(str(run.path))) == 7


@pytest.mark.parametrize("reference", ["", "no-such-data", "a\0b", "~nobody-here/x"])
def test_unknown_data_says_what_may_be_given(reference: str) -> None:
    assert "digits, a folder of latents" in refusal(lambda: load_data(reference))


def test_folder_without_latents_is_refused(tmp_path: Path) -> None:
    assert "tinylab encode" in refusal(lambda: load_data(str(tmp_path)))


def test_description_needs_no_shards(tmp_path: Path) -> None:
    folder = make_shards(tmp_path / "latents")
    (folder / shard_name(0)).unlink()
    info = describe_data(str(folder))
    assert (info.kind, info.count, info.sample_shape, info.num_classes) == ("latents", 7, SHAPE, 3)
    assert (info.views, info.scaling_factor) == (2, 0.18215)


def test_description_of_the_digits_is_true() -> None:
    info, splits = describe_data("digits"), load_data("digits")
    assert info.count == sum(map(len, splits))
    assert (info.sample_shape, info.class_names) == (splits[0].sample_shape, splits[0].class_names)


def test_model_of_another_shape_or_fewer_classes_does_not_fit(tmp_path: Path) -> None:
    info = describe_data(str(make_shards(tmp_path / "latents")))
    info.check_fits(SHAPE, 1000, "big")
    assert "4 x 2 x 2" in refusal(lambda: info.check_fits((4, 32, 32), 1000, "big"))
    assert "3 classes" in refusal(lambda: info.check_fits(SHAPE, 2, "small"))


def spoil(folder: Path, **changes: Any) -> None:
    file = folder / "index.json"
    values = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in values.items() if value != "gone"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 8}, {"shape": [4, 2]}, {"shape": [4, 0, 2]}, {"shape": [10**9, 1, 1]}, {"shape": 3},
        {"dtype": "int8"}, {"flips": 1}, {"class_names": []}, {"class_names": [1, 2, 3]}, {"class_names": "gone"},
        {"scaling_factor": None}, {"scaling_factor": float("nan")}, {"scaling_factor": True},
        {"shards": [{"file": "../../etc/passwd", "count": 7, "size": 1, "sha256": ""}]},
        {"shards": [{"file": "shard-00000.safetensors", "count": -7, "size": 1, "sha256": ""}]}, {"shards": [3]},
        {"format": "gone"}, {"more": 1}, {"format": "tinylab-latents-9"}, {"vae": 3},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_a_wrong_index_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = make_shards(tmp_path / "latents")
    spoil(folder, **changes)
    assert "index.json" in refusal(lambda: open_latents(str(folder)))


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "null", "{}"])
def test_a_damaged_index_is_refused(tmp_path: Path, text: str) -> None:
    folder = make_shards(tmp_path / "latents")
    (folder / "index.json").write_text(text)
    assert "index.json" in refusal(lambda: open_latents(str(folder)))


def test_an_empty_index_is_refused(tmp_path: Path) -> None:
    assert "holds no latents" in refusal(lambda: read_index(make_shards(tmp_path / "latents", ())))


def damage(folder: Path, how: str) -> None:
    path = folder / shard_name(0)
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(data[:-10])
    elif how == "other shape":
        save_file({"latents": torch.zeros(3, 4, 4, 1).half(), "labels": torch.zeros(3, dtype=torch.int64)}, path)
    elif how == "huge header":
        path.write_bytes((2**60).to_bytes(8, "little") + data[8:])
    elif how == "wrong class":
        zeros = torch.zeros(3, *SHAPE).half()
        save_file({"latents": zeros, "flipped": zeros.clone(), "labels": torch.tensor([0, 1, 3])}, path)


@pytest.mark.parametrize("how", ["missing", "truncated", "other shape", "huge header", "wrong class"])
def test_a_damaged_shard_is_named_on_opening(tmp_path: Path, how: str) -> None:
    folder = make_shards(tmp_path / "latents")
    damage(folder, how)
    assert "shard-00000" in refusal(lambda: open_latents(str(folder)))


def test_a_shard_cut_short_while_in_use_is_named(tmp_path: Path) -> None:
    folder = make_shards(tmp_path / "latents")
    data = open_latents(str(folder))
    with (folder / shard_name(2)).open("r+b") as file:
        file.truncate(400)
    assert "truncated" in refusal(lambda: data.take(torch.tensor([6])))
    assert firsts(data.take(torch.tensor([0]))[0]) == [0]


def test_values_that_are_not_numbers_are_found_when_read(tmp_path: Path) -> None:
    folder = make_shards(tmp_path / "latents", (2, 2))
    x = torch.zeros(2, *SHAPE).half()
    x[1, 0, 0, 0] = torch.nan
    save_file({"latents": x, "flipped": x.clone(), "labels": torch.zeros(2, dtype=torch.int64)}, folder / shard_name(1))
    data = open_latents(str(folder))
    data.take(torch.tensor([0, 1, 2]))
    assert "shard-00001" in refusal(lambda: data.take(torch.tensor([3])))


def test_verify_finds_a_flipped_bit(tmp_path: Path) -> None:
    folder = make_shards(tmp_path / "latents")
    ShardFolder(folder).verify()
    path = folder / shard_name(2)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    assert "shard-00002" in refusal(ShardFolder(folder).verify)


def test_features_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = make_features(tmp_path / "encoded")
    for reference in (folder, folder / "imagenet256_features"):
        data = open_latents(str(reference))
        x, y = data.take(torch.tensor([11, 2, 10]))
        assert (firsts(x), y.tolist()) == ([11, 2, 10], [11, 2, 10])
    assert (data.num_classes, data.class_names[0], data.sample_shape) == (1000, "tench", SHAPE)
    assert data.labels.tolist() == list(range(12))
    assert describe_data(str(folder)).kind == "features"


def test_the_view_of_a_feature_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    data = open_latents(str(make_features(tmp_path / "encoded", 60, views=2)))
    views = torch.arange(60) // 7 % 2
    x, y = data.take(torch.arange(60), views)
    assert torch.equal((x[:, 0, 0, 0] - y) / 100, views.float())
    assert firsts(everything(data)) == list(range(60))


def test_features_of_another_name_count_their_classes(tmp_path: Path) -> None:
    data = open_latents(str(make_features(tmp_path / "encoded", 4, name="birds", label=lambda i: i % 3)))
    assert (data.num_classes, data.class_names) == (3, ("0", "1", "2"))


def test_half_precision_and_big_endian_features_are_read(tmp_path: Path) -> None:
    folder = make_features(tmp_path / "encoded", 2)
    for number, kind in enumerate(("<f2", ">f8")):
        np.save(folder / "imagenet256_features" / f"{number}.npy", np.full((1, *SHAPE), 7, dtype=kind))
    assert firsts(everything(open_latents(str(folder)))) == [7, 7]


def test_features_split_like_any_other_data(tmp_path: Path) -> None:
    train, held_out = load_data(str(make_features(tmp_path / "encoded", 25)))
    assert (len(train), len(held_out)) == (23, 2)


HUGE = (
    b"\x93NUMPY\x01\x00\x76\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 99999, 99999, 9), }".ljust(117)
)


@pytest.mark.parametrize(
    ("place", "content", "says"),
    [
        ("features", np.array([{"a": 1}]), "Python objects"),
        ("features", np.zeros((1, *SHAPE), np.int32), "floating-point"),
        ("features", np.full((1, *SHAPE), np.inf, np.float32), "not numbers"),
        ("features", np.zeros((1, 4, 4, 4), np.float32), "shape"),
        ("features", b"", "damaged"),
        ("features", b"\x80\x04K\x01.", "damaged"),
        ("features", HUGE + b"\n", "damaged"),
        ("labels", np.array([1000]), "class 1000"),
        ("labels", np.array([-1]), "class -1"),
        ("labels", np.array([1, 2]), "one whole number"),
        ("labels", np.array([1.5]), "one whole number"),
        ("labels", np.array([{"a": 1}]), "Python objects"),
    ],
)  # fmt: skip
def test_a_bad_feature_or_label_is_named_when_read(tmp_path: Path, place: str, content: Any, says: str) -> None:
    folder = make_features(tmp_path / "encoded", 3)
    path = folder / f"imagenet256_{place}" / "1.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    data = open_latents(str(folder))
    data.take(torch.tensor([0, 2]))
    message = refusal(lambda: data.take(torch.tensor([1])))
    assert "1.npy" in message and says in message


@pytest.mark.parametrize("how", ["count", "name", "no labels", "none", "two pairs", "flat"])
def test_folders_that_do_not_pair_are_refused(tmp_path: Path, how: str) -> None:
    folder = make_features(tmp_path / "encoded", 3)
    labels, features = folder / "imagenet256_labels", folder / "imagenet256_features"
    if how == "count":
        (labels / "2.npy").unlink()
    elif how == "name":
        (labels / "2.npy").rename(labels / "3.npy")
    elif how == "no labels":
        labels.rename(folder / "elsewhere")
    elif how == "none":
        for file in features.glob("*.npy"):
            file.unlink()
    elif how == "two pairs":
        make_features(folder, 1, name="birds")
    else:
        np.save(features / "0.npy", np.zeros(SHAPE, np.float32))
    says = {"count": "3 files", "name": "no label", "no labels": "imagenet256_labels", "none": "no .npy files"}
    says |= {"two pairs": "birds_features, imagenet256_features", "flat": "(views, C, H, W)"}
    assert says[how] in refusal(lambda: open_latents(str(folder)))
