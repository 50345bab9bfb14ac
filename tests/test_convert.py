"""Published checkpoints in and out: exact round trips, hostile files, and nothing left behind by a refusal."""

from __future__ import annotations

import argparse
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tinylab.cli import main
from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.models.export import EXPORTS
from tinylab.models.families import FAMILIES
from tinylab.models.load import load_model, model_class, save_model
from tinylab.models.networks.dit import DiT
from tinylab.models.published import unpickle
from tinylab.models.published.convert import convert
from tinylab.models.published.published import Hints
from tinylab.models.published.published_export import export_published
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan

DIT = {"input_size": 8, "patch_size": 2, "in_channels": 1, "hidden_size": 16, "depth": 4, "num_heads": 2}
MAR = {"img_size": 16, "vae_stride": 4, "patch_size": 1, "encoder_embed_dim": 12, "encoder_depth": 2}
MAR |= {"encoder_num_heads": 3, "decoder_embed_dim": 24, "decoder_depth": 4, "decoder_num_heads": 2}
MAR |= {"vae_embed_dim": 5, "class_num": 7, "buffer_size": 4, "diffloss_d": 2, "diffloss_w": 20}
TINY: dict[str, dict[str, Any]] = {
    "dit": DIT | {"num_classes": 10},
    "sit": DIT | {"num_classes": 10, "path": "gvp"},
    "mar": MAR | {"num_sampling_steps": 9, "clip_value": 1.5},
}


def build(family: str, seed: int = 0) -> Denoiser:
    """A tiny model whose every weight is random, those that training starts at zero too."""
    model = model_class(FAMILIES[family])(**TINY[family]).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def halve(model: Denoiser) -> Denoiser:
    depth = model.stack_depths()
    kept = {stack: tuple(range(0, count, 2)) for stack, count in depth.items()}
    return apply_plan(model, DepthPlan(kept, depth, "by hand"))


def outputs(model: Denoiser) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    y = torch.tensor([0, 3, model.num_classes])
    with torch.no_grad():
        if model.family == "mar":
            mask = torch.zeros(3, 16).index_fill(1, torch.arange(6), 1.0)
            return model(torch.randn(3, 16, 5, generator=generator), mask, y)
        return model(torch.randn(3, *model.sample_shape, generator=generator), torch.tensor([0.0, 0.5, 0.9]), y)


def settings(model: Denoiser) -> dict[str, Any]:
    return {name: value for name, value in model.config.items() if not name.startswith("_")}


def refusal(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The one line of a refusal, which leaves the folders as they were."""
    folder = Path(str(arguments[1])).parent
    before = sorted(folder.rglob("*"))
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.strip().splitlines()
    assert sorted(folder.rglob("*")) == before
    return line


def reading_refused(source: Path, weights: str = "auto") -> str:
    """How the reader of pickles refuses, asked in this process to spare the start of another."""
    with pytest.raises(BadRequest) as refused:
        unpickle.read_checkpoint(source, source.with_name("target"), weights)
    message = str(refused.value)
    assert "\n" not in message
    return message


def rewrite(source: Path, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write the zip file again, each member as `change(name, data)`."""
    with zipfile.ZipFile(source) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(source, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


class Executes:
    """What unpickling runs when nothing forbids it."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


# ---- there and back ----


@pytest.mark.parametrize("family", FAMILIES)
def test_convert_prune_export_convert_gives_equal_outputs(family: str, tmp_path: Path) -> None:
    whole = build(family)
    state = {name: tensor.detach() for name, tensor in whole.state_dict().items()}
    save_file(state, tmp_path / "plain.safetensors")
    heads = (3, 2) if family == "mar" else (2, None)
    hints = Hints(family, *heads, vae_stride=4, path="gvp", num_sampling_steps=9, clip_value=1.5)
    made = convert(tmp_path / "plain.safetensors", tmp_path / "whole", hints=hints)
    assert (made.family, made.weights, made.depth) == (family, "plain", whole.stack_depths())
    half = halve(load_model(str(tmp_path / "whole")))
    export_published(half, tmp_path / "half.safetensors")
    convert(tmp_path / "half.safetensors", tmp_path / "half")
    back = load_model(str(tmp_path / "half"))
    assert settings(back) == settings(half)
    assert back.config.full_depth == whole.stack_depths()
    assert torch.equal(outputs(back), outputs(halve(whole)))
    assert not torch.equal(outputs(back), outputs(whole))


def test_a_pickle_goes_there_and_back_on_the_command_line(tmp_path: Path, capsys) -> None:
    half = halve(build("sit"))
    save_model(half, tmp_path / "half", card="")
    file, out = tmp_path / "d2.pt", tmp_path / "deep" / "er"
    assert main(["export", str(tmp_path / "half"), "--to", "published", "--out", str(file)]) == 0
    assert "--family sit --num-heads 2" in capsys.readouterr().err
    state = torch.load(file, weights_only=True)  # a plain state dict, as the original code reads it
    assert list(state) == list(half.state_dict())
    command = ["convert", str(file), "--out", str(out), "--family", "sit", "--num-heads", "2", "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["family"], told["depth"], told["weights"], told["notes"]) == ("sit", {"blocks": 2}, "plain", [])
    back = load_model(str(out))
    assert torch.equal(back.state_dict()["pos_embed"], half.state_dict()["pos_embed"])
    assert torch.equal(outputs(back), outputs(half))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d2.pt", "deep", "half"]


def test_a_mar_goes_there_and_back_as_a_pickle_by_the_options_that_its_export_names(tmp_path: Path, capsys) -> None:
    changes = {"patch_size": 2, "decoder_num_heads": 3, "clip_value": None, "num_sampling_steps": 100}
    whole = model_class(FAMILIES["mar"])(**{**TINY["mar"], **changes}).eval()
    half = halve(whole)
    save_model(half, tmp_path / "half", card="")
    assert main(["export", str(tmp_path / "half"), "--to", "published", "--out", str(tmp_path / "a.pt")]) == 0
    told = capsys.readouterr().err
    assert "not in it: which blocks were kept;" in told
    options = told[told.index("--num-heads") :].splitlines()[0].split()
    assert main(["convert", str(tmp_path / "a.pt"), "--out", str(tmp_path / "back"), *options]) == 0
    back = load_model(str(tmp_path / "back"))
    assert settings(back) | {"kept": None, "full_depth": None} == settings(half) | {"kept": None, "full_depth": None}
    inputs = torch.randn(2, 4, 20), torch.tensor([[0.0, 1, 0, 1]] * 2), torch.tensor([0, 7])
    with torch.no_grad():
        assert torch.equal(back(*inputs), half(*inputs))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pickle_comes_back_whole_by_the_options_that_its_export_names(family: str, tmp_path: Path, capsys) -> None:
    model = build(family)
    notes = export_published(model, tmp_path / "a.pt")
    options = next(note for note in notes if "read it back with" in note).split("read it back with ")[1].split()
    assert main(["convert", str(tmp_path / "a.pt"), "--out", str(tmp_path / "back"), *options]) == 0, notes
    assert settings(load_model(str(tmp_path / "back"))) == settings(model)


def test_a_training_checkpoint_gives_its_averaged_weights(tmp_path: Path) -> None:
    """As the original training loops save it: wrapped names, half precision, an optimizer, and the options."""
    raw, averaged = build("sit", 1), build("sit", 2).bfloat16()
    checkpoint = {
        "model": {f"module.{name}": tensor for name, tensor in raw.state_dict().items()},
        "ema": averaged.state_dict() | {"gumbel_gates.0": torch.zeros(2, 6)},
        "opt": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1e-4}]},
        "args": argparse.Namespace(model="SiT-XL/2", path_type="GVP", out=tmp_path, lr=1e-4),
    }
    torch.save(checkpoint, tmp_path / "0400000.pt")
    made = convert(tmp_path / "0400000.pt", tmp_path / "out", hints=Hints(num_heads=2))
    assert (made.family, made.weights) == ("sit", "ema")
    assert "there are others (model)" in made.notes[0] and "left out 1 logits" in made.notes[1]
    back = load_model(str(tmp_path / "out"))
    assert settings(back) == settings(averaged)
    for name, tensor in averaged.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor.float()), name


def test_a_training_checkpoint_of_a_mar_tells_how_its_head_draws(tmp_path: Path) -> None:
    options = argparse.Namespace(model="mar_base", num_sampling_steps="25", diffusion_batch_mul=1, vae_stride=4)
    model = model_class(FAMILIES["mar"])(**{**TINY["mar"], "decoder_num_heads": 3})
    torch.save({"model_ema": model.state_dict(), "args": options}, tmp_path / "checkpoint-last.pth")
    convert(tmp_path / "checkpoint-last.pth", tmp_path / "out", hints=Hints(num_heads=3))
    found = load_model(str(tmp_path / "out")).config
    assert (found.num_sampling_steps, found.diffusion_batch_mul, found.vae_stride) == (25, 1, 4)


@pytest.mark.parametrize("weights, seed", [("auto", 2), ("ema", 2), ("model", 1)])
def test_weights_are_those_that_were_asked_for(weights: str, seed: int, tmp_path: Path) -> None:
    checkpoint = {"model": build("mar", 1).state_dict(), "model_ema": build("mar", 2).state_dict(), "epoch": 7}
    torch.save(checkpoint, tmp_path / "checkpoint-last.pth")
    report = unpickle.read_checkpoint(tmp_path / "checkpoint-last.pth", tmp_path / "target", weights)
    assert report["weights"] == {1: "model", 2: "model_ema"}[seed]
    state = load_file(tmp_path / "target")
    wanted = build("mar", seed).state_dict()
    assert state.keys() == wanted.keys() and all(torch.equal(state[name], wanted[name]) for name in wanted)
    assert "it has: --weights ema or model" in reading_refused(tmp_path / "checkpoint-last.pth", "plain")


def test_half_precision_safetensors_are_widened(tmp_path: Path) -> None:
    model = build("dit").half()
    state = {f"module.{name}": tensor.detach() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "half.safetensors")
    convert(tmp_path / "half.safetensors", tmp_path / "out", hints=Hints(num_heads=2))
    back = load_model(str(tmp_path / "out")).state_dict()
    assert all(torch.equal(back[name], tensor.float()) for name, tensor in model.state_dict().items())


def test_the_card_says_where_the_weights_came_from(tmp_path: Path) -> None:
    export_published(build("dit"), tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`a.safetensors`" in card and "| hidden_size | 16 |" in card


# ---- exports ----


@pytest.mark.parametrize("family", FAMILIES)
def test_an_export_notes_what_its_tensors_do_not_tell(family: str, tmp_path: Path) -> None:
    export_published(build(family), tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        noted = json.loads(file.metadata()["tinylab"])
    wanted = {"dit": {"num_heads": 2}, "sit": {"num_heads": 2, "path": "gvp"}}
    wanted["mar"] = {"num_heads": 3, "decoder_num_heads": 2, "vae_stride": 4, "num_sampling_steps": 9}
    wanted["mar"] |= {"clip_value": 1.5}
    assert noted["family"] == family and wanted[family].items() <= noted.items()


def test_export_as_a_folder_is_the_same_model(tmp_path: Path, capsys) -> None:
    half = halve(build("mar"))
    save_model(half, tmp_path / "half", card="")
    assert main(["export", str(tmp_path / "half"), "--to", "tinylab", "--out", str(tmp_path / "copy")]) == 0
    assert torch.equal(outputs(load_model(str(tmp_path / "copy"))), outputs(half))


def test_an_export_takes_no_place_and_no_name_it_should_not(tiny_folder: str, tmp_path: Path, capsys) -> None:
    taken = tmp_path / "mine.pt"
    taken.write_text("precious")
    assert "in use" in refusal(capsys, "export", tiny_folder, "--out", taken)
    assert taken.read_text() == "precious"
    assert ".safetensors" in refusal(capsys, "export", tiny_folder, "--out", tmp_path / "x" / "model.bin")
    assert ", ".join(EXPORTS.names()) in refusal(capsys, "export", tiny_folder, "--to", "onnx", "--out", tmp_path / "a")
    assert "unknown model" in refusal(capsys, "export", tmp_path / "nothing", "--out", tmp_path / "a.pt")


# ---- refusals ----


@pytest.fixture
def checkpoint(tiny_dit: DiT, tmp_path: Path) -> Path:
    """The tiny DiT as a .pt file."""
    folder = tmp_path / "files"
    folder.mkdir()
    torch.save(tiny_dit.state_dict(), folder / "tiny.pt")
    return folder / "tiny.pt"


def ask(capsys: pytest.CaptureFixture, source: Path, *options: object) -> str:
    return refusal(capsys, "convert", source, "--out", source.parent / "new" / "out", *options)


def test_a_pickle_that_would_run_a_command_does_not(tmp_path: Path, capsys) -> None:
    """The same file does run its command where nothing forbids it."""
    trace, source = tmp_path / "trace", tmp_path / "evil.pt"
    torch.save({"pos_embed": torch.zeros(1), "args": Executes(os.system, f"touch {trace}")}, source)
    assert "it asks for posix.system" in ask(capsys, source)
    assert not trace.exists()
    torch.load(source, weights_only=False)
    assert trace.exists()


def test_the_memory_of_the_reader_is_limited(tmp_path: Path, capsys) -> None:
    """A kilobyte that asks for a gigabyte, by a call that torch itself allows in a pickle."""
    source = tmp_path / "greedy.pt"
    torch.save({"pos_embed": torch.zeros(1), "args": Executes(bytearray, 2**30)}, source)
    assert source.stat().st_size < 2000
    assert "needs more memory" in ask(capsys, source)


def test_a_shape_that_the_file_does_not_hold_is_refused(tmp_path: Path) -> None:
    torch.save({"pos_embed": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "bomb.pt")
    assert "declares (1000000, 1000000) but the file holds less" in reading_refused(tmp_path / "bomb.pt")


def test_a_tensor_beyond_its_own_data_is_refused(checkpoint: Path) -> None:
    """Mapped from the file, it would read what follows."""
    rewrite(checkpoint, lambda name, data: data[: len(data) // 2] if name.endswith("data/0") else data)
    assert "declares more weights than it holds" in reading_refused(checkpoint)


def test_compressed_parts_are_refused(checkpoint: Path) -> None:
    rewrite(checkpoint, lambda name, data: data, zipfile.ZIP_DEFLATED)
    assert "compressed or encrypted" in reading_refused(checkpoint)


def test_a_checkpoint_cut_short_is_refused(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:-300])
    assert "truncated" in reading_refused(checkpoint)


def test_a_zip_of_something_else_is_refused(checkpoint: Path) -> None:
    with zipfile.ZipFile(checkpoint, "w") as archive:
        archive.writestr("letter.txt", "dear")
    assert "no data.pkl" in reading_refused(checkpoint)


@pytest.mark.parametrize(
    "content, words",
    [
        (torch.nn.Linear(2, 2), "asks for torch.nn.modules.linear.Linear"),
        ([torch.zeros(2)], "holds a list, not a state dict"),
        ({"epoch": 3}, "holds no weights"),
        ({"pos_embed": torch.zeros(2, dtype=torch.uint8)}, "pos_embed is uint8"),
        ({"pos_embed": torch.zeros(2, 2).to_sparse()}, "no dense tensor"),
        ({"pos_embed": torch.tensor([1.0, float("nan")])}, "not numbers"),
        ({"pos_embed": torch.tensor([1e300], dtype=torch.float64)}, "too large for float32"),
    ],
    ids=str,
)  # fmt: skip
def test_a_pickle_of_other_things_is_refused(content: object, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pt")
    assert words in reading_refused(tmp_path / "other.pt")


def test_files_that_are_no_zip_are_refused_at_once(tiny_dit: DiT, tmp_path: Path, capsys) -> None:
    torch.save(tiny_dit.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "before 1.6" in ask(capsys, tmp_path / "old.pt")
    (tmp_path / "noise.ckpt").write_bytes(b"\x00" * 100)
    assert "no checkpoint that torch.save wrote" in ask(capsys, tmp_path / "noise.ckpt")


def save_changed(tiny_dit: DiT, path: Path, **changes: Tensor | None) -> None:
    state = {name: tensor.detach().clone() for name, tensor in tiny_dit.state_dict().items()}
    state |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    save_file({name: tensor for name, tensor in state.items() if tensor is not None}, path)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"blocks__2__attn__qkv__bias": None}, "lacks blocks.2.attn.qkv.bias (48,)"),
        ({"pos_embed": torch.zeros(1, 16, 12)}, "pos_embed is (1, 16, 12), should be (1, 16, 16)"),
        ({"y_embedder__embedding_table__weight": torch.zeros(1, 16)}, "the null class"),
        ({"pos_embed": torch.full((1, 16, 16), float("inf"))}, "not numbers in pos_embed"),
        ({"pos_embed": torch.zeros(1, 16, 16, dtype=torch.int32)}, "pos_embed is I32"),
    ],
)
def test_safetensors_that_do_not_fit_are_refused(changes: dict, words: str, tiny_dit: DiT, tmp_path, capsys) -> None:
    save_changed(tiny_dit, tmp_path / "odd.safetensors", **changes)
    assert words in ask(capsys, tmp_path / "odd.safetensors", "--num-heads", 2)


def test_damaged_safetensors_are_refused(tiny_dit: DiT, tmp_path: Path, capsys) -> None:
    file = tmp_path / "a.safetensors"
    save_changed(tiny_dit, file)
    file.write_bytes(file.read_bytes()[:-8])
    assert "truncated" in ask(capsys, file)
    header = json.dumps({"pos_embed": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}})
    file.write_bytes(struct.pack("<Q", len(header)) + header.encode())
    assert "truncated" in ask(capsys, file)


@pytest.mark.parametrize(
    "note, words",
    [
        ("{", "its own note"),
        ("[]", "its own note"),
        ('{"num_heads": 2, "kept": {"blocks": [0]}, "full_depth": {"blocks": 4}}', "was cut from"),
        ('{"num_heads": 2, "family": "sit", "path": "crooked"}', "not one of: linear"),
        ('{"num_heads": 2, "family": "cat"}', "choose one of: dit, sit, mar"),
    ],
)
def test_a_note_that_does_not_fit_is_refused(note: str, words: str, tiny_dit: DiT, tmp_path: Path, capsys) -> None:
    save_file(dict(tiny_dit.state_dict()), tmp_path / "a.safetensors", metadata={"tinylab": note})
    assert words in ask(capsys, tmp_path / "a.safetensors")


def test_a_request_that_cannot_be_met_is_refused(checkpoint: Path, tiny_folder: str, capsys) -> None:
    weights = Path(tiny_folder) / "diffusion_pytorch_model.safetensors"
    assert "--num-heads N" in ask(capsys, weights)
    assert "leave out --weights ema" in ask(capsys, weights, "--weights", "ema")
    assert "auto, ema, model, plain" in ask(capsys, checkpoint, "--weights", "best")
    assert "holds a DiT or a SiT" in ask(capsys, weights, "--family", "mar")
    assert "name a checkpoint file" in ask(capsys, checkpoint.with_name("nothing.pt"))
    assert "is a folder" in ask(capsys, Path(tiny_folder))
    assert "the checkpoints that can be read" in ask(capsys, Path(tiny_folder) / "config.json")
    assert "in use" in refusal(capsys, "convert", weights, "--out", tiny_folder)
    assert "cannot write" in refusal(capsys, "convert", weights, "--out", checkpoint / "below" / "a" / "file")
    assert "--out" in refusal(capsys, "convert", weights)


def test_a_sit_that_predicts_noise_is_refused(tiny_dit: DiT, tmp_path: Path) -> None:
    options = argparse.Namespace(model="SiT-B/2", prediction="noise")
    torch.save({"ema": tiny_dit.state_dict(), "args": options}, tmp_path / "a.pt")
    assert "trained to predict 'noise'" in reading_refused(tmp_path / "a.pt")
