"""Model folders: exact round trips, and one clear line for whatever cannot be read."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tinylab.errors import BadRequest
from tinylab.models.catalog import describe_model, locate_model
from tinylab.models.families import WEIGHTS_FILE
from tinylab.models.load import load_model, pick_device, save_model
from tinylab.models.networks.dit import DiT


@pytest.fixture
def saved(tiny_dit: DiT, tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    save_model(tiny_dit, folder, card="# Tiny\n")
    return folder


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(3, 1, 8, 8, generator=generator)
    return x, torch.tensor([0, 500, 999]), torch.tensor([1, 9, 10])


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = {name: value.clone() for name, value in load_file(folder / WEIGHTS_FILE).items()}
    change(tensors)
    save_file(tensors, folder / WEIGHTS_FILE)


def write_header(folder: Path, header: Any, length: int | None = None) -> None:
    """Replace the weights by a bare header, which may claim to be of another length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / WEIGHTS_FILE).write_bytes(struct.pack("<Q", len(text) if length is None else length) + text)


def refusal(reference: Path | str) -> str:
    with pytest.raises(BadRequest) as refused:
        load_model(str(reference))
    message = str(refused.value)
    assert message and "\n" not in message
    return message


def test_saved_model_comes_back_with_equal_outputs(
    tiny_dit: DiT, saved: Path, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    found = load_model(str(saved))
    assert not found.training
    settings = {name: value for name, value in tiny_dit.config.items() if not name.startswith("_")}
    assert {name: found.config[name] for name in settings} == settings
    with torch.no_grad():
        assert torch.equal(found(*inputs), tiny_dit(*inputs))


def test_loaded_model_is_trainable_but_for_its_positions(saved: Path) -> None:
    frozen = [name for name, parameter in load_model(str(saved)).named_parameters() if not parameter.requires_grad]
    assert frozen == ["pos_embed"]


def test_cut_model_remembers_what_it_was_cut_from(build_tiny_dit: Callable[..., DiT], tmp_path: Path) -> None:
    cut = build_tiny_dit(depth=2, kept={"blocks": [0, 3]}, full_depth={"blocks": 4})
    save_model(cut, tmp_path / "cut", card="")
    info = describe_model(str(tmp_path / "cut"))
    assert (info.depth, info.kept, info.full_depth) == ({"blocks": 2}, {"blocks": [0, 3]}, {"blocks": 4})
    assert load_model(str(tmp_path / "cut")).config.kept == {"blocks": [0, 3]}


def test_description_agrees_with_the_model(tiny_dit: DiT, saved: Path) -> None:
    info = describe_model(str(saved))
    assert info.family.name == "dit"
    assert info.parameters == sum(parameter.numel() for parameter in tiny_dit.parameters())
    assert (info.depth, info.kept, info.full_depth) == ({"blocks": 4}, None, {"blocks": 4})


def test_model_folder_has_its_card_and_readable_files(saved: Path) -> None:
    assert (saved / "README.md").read_text() == "# Tiny\n"
    assert {path.stat().st_mode & 0o777 for path in saved.iterdir()} == {0o644}


def test_model_is_found_by_folder_run_folder_and_run_id(saved: Path, runs: Path) -> None:
    inside = runs / "some-run" / "model"
    shutil.copytree(saved, inside)
    assert locate_model(str(saved)) == saved
    assert locate_model(str(runs / "some-run")) == inside
    assert locate_model("some-run") == inside


def test_built_in_model_is_found_by_name(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLAB_ASSETS", str(tmp_path))
    assert locate_model("tiny") == saved


def test_failed_save_leaves_the_old_model(saved: Path, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    before = load_model(str(saved))(*inputs)
    with pytest.raises(TypeError):
        save_model(load_model(str(saved)), saved, card=None)  # type: ignore[arg-type]
    assert torch.equal(load_model(str(saved))(*inputs), before)


def test_unknown_name_lists_the_built_in_ones(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "unknown model 'nonsense'" in refusal("nonsense")
    monkeypatch.setenv("TINYLAB_ASSETS", str(tmp_path))
    assert "(tiny)" in refusal("nonsense")


@pytest.mark.parametrize("reference", ["", ".", "a\nb", "a\x00b", "../..", "https://example.org/x"])
def test_odd_names_are_refused(reference: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.mkdir()
    monkeypatch.chdir(runs)
    assert refusal(reference)


@pytest.mark.parametrize("reference", ["x" * 300, "~no-such-user/model"])
def test_names_that_no_file_system_holds_are_refused(reference: str) -> None:
    assert refusal(reference)


def test_folder_without_a_model_says_what_is_needed(tmp_path: Path) -> None:
    assert "config.json" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_truncated_weights_are_refused(saved: Path, keep: int) -> None:
    file = saved / WEIGHTS_FILE
    file.write_bytes(file.read_bytes()[:keep])
    assert "truncated" in refusal(saved)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"\xff\xfe",
        b"[" * 100_000,
        [],
        None,
        {"a": 3},
        {"a": {"dtype": "F32", "shape": [2]}},
        {"a": {"dtype": "F32", "shape": ["2"], "data_offsets": [0, 8]}},
        {"a": {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": ["0", "8"]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
    ],
    ids=str,
)
def test_weights_with_a_damaged_header_are_refused(saved: Path, header: Any) -> None:
    write_header(saved, header)
    assert "not a safetensors file" in refusal(saved)


def test_header_that_declares_more_than_the_file_holds_is_refused(saved: Path) -> None:
    write_header(saved, {"pos_embed": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}})
    assert "truncated" in refusal(saved)


def test_header_that_declares_a_large_tensor_over_few_bytes_is_refused(saved: Path) -> None:
    write_header(saved, {"pos_embed": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 0]}})
    assert "truncated" in refusal(saved)


@pytest.mark.parametrize("length", [2**20, 2**40, 2**64 - 1])
def test_header_that_claims_to_be_longer_than_the_file_is_refused(saved: Path, length: int) -> None:
    write_header(saved, {}, length)
    assert "truncated" in refusal(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", "[" * 100_000])
def test_damaged_config_is_refused(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text)
    assert "is not a model config" in refusal(saved)


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        ("mar", {"diffloss_d": 10**6}, "1000000 diffloss.net.res_blocks"),
        ("mar", {"diffloss_d": 10**12}, "diffloss_d is 1000000000000"),
        ("mar", {"num_sampling_steps": "many"}, "from 1 to 1000"),
        ("mar", {"num_sampling_steps": 10**9}, "from 1 to 1000"),
        ("mar", {"diffusion_batch_mul": 10**5}, "from 1 to 1024"),
        ("mar", {"clip_value": -1}, "clip_value is -1"),
        ("mar", {"patch_size": 3}, "patch_size 3 does not divide"),
        ("mar", {"class_num": 1000}, "class_emb.weight is (10, 16), should be (1000, 16)"),
        ("sit", {"path": []}, "not one of: linear, gvp, vp"),
        ("sit", {"mlp_ratio": float("inf")}, "mlp_ratio is inf"),
        ("sit", {"mlp_ratio": "4"}, "mlp_ratio is '4'"),
        ("dit", {"num_classes": 10**12}, "num_classes is 1000000000000"),
        ("dit", {"num_classes": 1000}, "(11, 16), should be (1001, 16)"),
        ("dit", {"input_size": 7}, "patch_size 2 does not divide"),
        ("dit", {"kept": {"blocks": [0.0, 1, 2, 3]}, "full_depth": {"blocks": 4}}, "kept and full_depth"),
    ],
    ids=str,
)
def test_sizes_that_cannot_be_are_refused_from_the_header_alone(
    family: str, changes: dict[str, Any], words: str, build_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    save_model(build_tiny(family), tmp_path / "odd", card="# Odd\n")
    change_config(tmp_path / "odd", **changes)
    assert words in refusal(tmp_path / "odd")
    with pytest.raises(BadRequest):
        describe_model(str(tmp_path / "odd"))


@pytest.mark.parametrize("file", ["config.json", WEIGHTS_FILE, "model_index.json"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "endless"])
def test_what_is_no_file_is_refused_and_never_waited_for(file: str, kind: str, saved: Path) -> None:
    (saved / file).unlink(missing_ok=True)
    make = {"folder": Path.mkdir, "pipe": os.mkfifo, "endless": lambda path: path.symlink_to("/dev/zero")}
    make[kind](saved / file)
    assert file in refusal(saved)


@pytest.mark.parametrize("name", ["UNet2DModel", None, 3])
def test_foreign_model_is_refused_by_its_class(saved: Path, name: Any) -> None:
    change_config(saved, _class_name=name)
    assert f"holds a {name!r}" in refusal(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"wheels": 4},
        {"hidden_size": "wide"},
        {"hidden_size": -16},
        {"hidden_size": 18},
        {"mlp_ratio": None},
        {"input_size": None},
    ],
    ids=str,
)
def test_config_that_describes_no_dit_is_refused(saved: Path, changes: dict[str, Any]) -> None:
    change_config(saved, **changes)
    assert "config.json" in refusal(saved)


@pytest.mark.parametrize("depth", [None, "four", [4], {}])
def test_config_whose_depth_is_no_number_is_refused(saved: Path, depth: Any) -> None:
    change_config(saved, depth=depth)
    assert "config.json" in refusal(saved)


@pytest.mark.parametrize("heads", [0, -2, 3, "2"])
def test_config_whose_heads_do_not_divide_the_width_is_refused(saved: Path, heads: Any) -> None:
    change_config(saved, num_heads=heads)
    assert "config.json" in refusal(saved)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"depth": 6}, "blocks, the file has 4"),
        ({"depth": 3}, "blocks, the file has 4"),
        ({"num_classes": 1000}, "y_embedder.embedding_table.weight is (11, 16), should be (1001, 16)"),
        ({"learn_sigma": False}, "final_layer.linear"),
    ],
    ids=str,
)
def test_weights_of_other_names_or_shapes_are_refused(saved: Path, changes: dict[str, Any], says: str) -> None:
    change_config(saved, **changes)
    message = refusal(saved)
    assert "does not fit" in message
    assert says in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(saved: Path, value: float) -> None:
    change_weights(saved, lambda tensors: tensors["blocks.2.mlp.fc1.weight"][0, 0].fill_(value))
    assert "blocks.2.mlp.fc1.weight" in refusal(saved)


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool], ids=str)
def test_weights_of_another_type_are_refused(saved: Path, dtype: torch.dtype) -> None:
    name = "blocks.2.mlp.fc1.weight"
    change_weights(saved, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    assert name in refusal(saved)


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_absent_gpu_is_refused() -> None:
    with pytest.raises(BadRequest, match="--device cpu"):
        pick_device("cuda")


def test_diffusers_own_loader_reads_the_folder_too(
    tiny_dit: DiT, saved: Path, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    found = DiT.from_pretrained(saved, use_safetensors=True).eval()
    with torch.no_grad():
        assert torch.equal(found(*inputs), tiny_dit(*inputs))
