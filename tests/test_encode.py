"""Encoding pictures: parity with diffusers, whole shards or none, and going on as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from encode_inputs import make_autoencoder, make_pictures
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from tinylab.cli import main
from tinylab.config import EncodeConfig
from tinylab.data.crop import center_crop
from tinylab.data.latents import open_latents
from tinylab.data.shards import ShardFolder
from tinylab.errors import BadRequest, Stopped
from tinylab.jobs.context import JobContext
from tinylab.jobs.execute import execute, start_run
from tinylab.models.autoencoder.catalog import describe_autoencoder
from tinylab.models.autoencoder.load import load_autoencoder
from tinylab.models.families import WEIGHTS_FILE
from tinylab.runs.run import Run


@pytest.fixture
def vae(tmp_path: Path) -> Path:
    make_autoencoder(tmp_path / "vae")
    return tmp_path / "vae"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures", {"cat": 4, "dog": 3})


@pytest.fixture
def config(data: Path, vae: Path) -> Callable[..., EncodeConfig]:
    """Makes configs of short jobs: seven pictures in shards of three."""

    def make(**changes: Any) -> EncodeConfig:
        short = {"size": 16, "batch_size": 2, "shard_size": 3, "workers": 2, "threads": 1, "device": "cpu"}
        return EncodeConfig.create(**{"data": str(data), "vae": str(vae), **short, **changes})

    return make


def encode(config: EncodeConfig, path: Path) -> dict[str, Any]:
    return execute(start_run(config, path), quiet=True)


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (path / "latents").iterdir()}


def unfinished(path: Path) -> Run:
    """The run there as if its process had been killed just before it said that it was done."""
    run = Run.open(path)
    run.write_status(replace(run.stored_status(), state="interrupted"))
    return run


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(BadRequest) as refused:
        action()
    message = str(refused.value)
    assert message and "\n" not in message
    return message


def squares(folder: Path) -> Tensor:
    """All pictures as the autoencoder should see them, in order."""
    pixels = [center_crop(Image.open(file), 16) for file in sorted(folder.rglob("*.png"))]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, folder / WEIGHTS_FILE)


@pytest.mark.parametrize("shift", [None, 0.25])
def test_latents_equal_those_of_diffusers(config, data: Path, tmp_path: Path, shift: float | None) -> None:
    network = make_autoencoder(tmp_path / "vae", shift_factor=shift, scaling_factor=0.5)
    result = encode(config(posterior="mean", dtype="float32"), tmp_path / "run")
    x = squares(data)
    with torch.no_grad():
        plain, flipped = (network.encode(v).latent_dist.mean.sub(shift or 0).mul(0.5) for v in (x, x.flip(3)))
    shards = [load_file(tmp_path / "run" / "latents" / f"shard-{i:05d}.safetensors") for i in range(3)]
    assert torch.allclose(torch.cat([s["latents"] for s in shards]), plain, atol=1e-5)
    assert torch.allclose(torch.cat([s["flipped"] for s in shards]), flipped, atol=1e-5)
    assert torch.cat([s["labels"] for s in shards]).tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert (result["pictures"], result["classes"], result["shards"], result["shape"]) == (7, 2, 3, [4, 8, 8])


def test_samples_follow_the_posterior_and_the_seed(config, data: Path, vae: Path, tmp_path: Path) -> None:
    shards = {}
    for name, changes in {"a": {}, "b": {"batch_size": 1, "shard_size": 7}, "c": {"seed": 1}}.items():
        encode(config(dtype="float32", flips=False, **changes), tmp_path / name)
        shards[name] = open_latents(str(tmp_path / name)).images[:]
    posterior = AutoencoderKL.from_pretrained(vae).encode(squares(data)).latent_dist
    noise = (shards["a"] / 0.18215 - posterior.mean) / posterior.std
    assert abs(noise.mean().item()) < 0.1 and 0.9 < noise.std().item() < 1.1
    assert torch.allclose(shards["a"], shards["b"], atol=1e-5)
    assert not torch.allclose(shards["a"], shards["c"], atol=1e-2)


def test_index_explains_the_folder(config, vae: Path, tmp_path: Path) -> None:
    encode(config(), tmp_path / "run")
    index = json.loads((tmp_path / "run" / "latents" / "index.json").read_text())
    assert (index["count"], index["shape"], index["class_names"]) == (7, [4, 8, 8], ["cat", "dog"])
    assert (index["dtype"], index["flips"], index["posterior"]) == ("float16", True, "sample")
    assert index["scaling_factor"] == 0.18215
    assert index["vae"]["sha256"] == load_autoencoder(str(vae)).fingerprint
    assert (index["source"]["name"], index["source"]["skipped"]) == ("pictures", 0)
    assert [shard["count"] for shard in index["shards"]] == [3, 3, 1]
    ShardFolder(tmp_path / "run" / "latents").verify()
    found = open_latents(str(tmp_path / "run"))
    assert (len(found), found.source.views, found.class_names) == (7, 2, ("cat", "dog"))


def test_npz_and_folder_give_equal_latents(config, data: Path, tmp_path: Path) -> None:
    pixels = ((squares(data) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "p.npz", images=pixels, labels=np.array([0, 0, 0, 0, 1, 1, 1]))
    encode(config(), tmp_path / "a")
    encode(config(data=str(tmp_path / "p.npz")), tmp_path / "b")
    found, wanted = files(tmp_path / "b"), files(tmp_path / "a")
    assert {n: d for n, d in found.items() if n != "index.json"} == {
        n: d for n, d in wanted.items() if n != "index.json"
    }


def test_stopped_run_goes_on_after_the_last_whole_shard(config, tmp_path: Path, monkeypatch) -> None:
    encode(config(), tmp_path / "straight")
    run = start_run(config(), tmp_path / "stopped")
    whole = run.path / "latents" / "shard-00001.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(JobContext, "should_stop", lambda context: whole.exists())
        with pytest.raises(Stopped, match="picture 6 of 7"):
            execute(run, quiet=True)
    assert run.status().state == "stopped"
    assert sorted(files(run.path)) == ["shard-00000.safetensors", "shard-00001.safetensors"]
    assert "tinylab resume" in refusal(lambda: open_latents(str(run.path)))
    before = whole.stat().st_mtime_ns
    execute(run, quiet=True)
    assert whole.stat().st_mtime_ns == before
    assert files(run.path) == files(tmp_path / "straight")


def test_damaged_shard_is_made_again_on_resuming(config, tmp_path: Path) -> None:
    encode(config(), tmp_path / "run")
    wanted = files(tmp_path / "run")
    spoiled = tmp_path / "run" / "latents" / "shard-00001.safetensors"
    spoiled.write_bytes(wanted[spoiled.name][:-1] + b"\x55")
    (tmp_path / "run" / "latents" / ".shard-00002.safetensors-abc").write_bytes(b"half")
    execute(unfinished(tmp_path / "run"), quiet=True)
    assert files(tmp_path / "run") == wanted


@pytest.mark.parametrize("text", ["", "{}", '{"shards": [1]}'])
def test_damaged_journal_means_starting_over(config, tmp_path: Path, text: str) -> None:
    encode(config(), tmp_path / "run")
    wanted = files(tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "shards.json").write_text(text)
    execute(unfinished(tmp_path / "run"), quiet=True)
    assert files(tmp_path / "run") == wanted


@pytest.mark.parametrize("what", ["pictures", "autoencoder"])
def test_resuming_refuses_other_inputs(config, data: Path, vae: Path, tmp_path: Path, what: str) -> None:
    encode(config(), tmp_path / "run")
    if what == "pictures":
        (data / "cat" / "000.png").unlink()
    else:
        change_weights(vae, lambda tensors: tensors["encoder.conv_in.bias"].add_(1))
    assert what in refusal(lambda: execute(unfinished(tmp_path / "run"), quiet=True))


def test_broken_picture_is_named_and_can_be_mended(config, data: Path, tmp_path: Path) -> None:
    file = data / "dog" / "001.png"
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    run = start_run(config(), tmp_path / "run")
    message = refusal(lambda: execute(run, quiet=True))
    assert "dog/001.png" in message and "--skip-broken" in message
    assert run.status().state == "failed"
    file.write_bytes(whole)
    execute(run, quiet=True)
    encode(config(), tmp_path / "straight")
    assert files(run.path) == files(tmp_path / "straight")


def test_broken_pictures_are_skipped_and_counted(config, data: Path, tmp_path: Path) -> None:
    for name in ("dog/001.png", "cat/003.png", "dog/000.png"):  # all of the second shard's but one
        (data / name).write_bytes(b"nothing")
    result = encode(config(skip_broken=True), tmp_path / "run")
    assert (result["pictures"], result["skipped"]) == (4, 3)
    assert "cat/003.png" in result["skipped_first"][0]
    found = open_latents(str(tmp_path / "run"))
    assert found.labels.tolist() == [0, 0, 0, 1]
    assert torch.isfinite(found.images[:]).all()


@pytest.mark.parametrize("kept", [0, 3])
def test_shards_may_end_up_empty_but_not_all(config, data: Path, tmp_path: Path, kept: int) -> None:
    for file in sorted(data.rglob("*.png"))[kept:]:
        file.write_bytes(b"nothing")
    if kept:
        encode(config(skip_broken=True), tmp_path / "run")
        assert len(open_latents(str(tmp_path / "run"))) == kept
    else:
        assert "000.png" in refusal(lambda: encode(config(skip_broken=True), tmp_path / "run"))


def run_cli(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_command_line_encodes_and_prints_json(data: Path, vae: Path, tmp_path: Path, capsys) -> None:
    command = ["encode", "--data", data, "--vae", vae, "--size", 16, "--shard-size", 3, "--flips", "false"]
    assert run_cli(*command, "--skip-broken", "--out", tmp_path / "run", "--quiet", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["kind"], result["pictures"], result["flips"]) == ("encode", 7, False)
    assert open_latents(str(tmp_path / "run")).source.views == 1


def test_paths_are_kept_absolute(config, data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = start_run(config(data="pictures", vae="vae"), tmp_path / "run")
    assert run.config().data == str(data)
    monkeypatch.chdir("/")
    assert execute(run, quiet=True)["pictures"] == 7


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": ""}, "--data DIR"),
        ({"vae": ""}, "--vae DIR"),
        ({"data": "no-such-folder"}, "no-such-folder"),
        ({"vae": "no-such-folder"}, "no-such-folder"),
        ({"size": 17}, "multiple of 2"),
    ],
)
def test_wrong_requests_leave_nothing_behind(config, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    assert says in refusal(lambda: start_run(config(**changes), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_killed_process_leaves_whole_shards_and_goes_on(vae: Path, tmp_path: Path) -> None:
    data = make_pictures(tmp_path / "many", {"a": 60})
    options = ["encode", "--data", data, "--vae", vae, "--size", 64, "--batch-size", 2, "--shard-size", 2, "--quiet"]
    command = [*map(str, options), "--threads", "1", "--out"]
    process = subprocess.Popen([sys.executable, "-m", "tinylab", *command, str(tmp_path / "a")])
    third = tmp_path / "a" / "latents" / "shard-00002.safetensors"
    while not third.exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "a" / "latents" / "index.json").exists()
    assert run_cli("resume", tmp_path / "a", "--quiet") == 0
    assert main([*command, str(tmp_path / "b")]) == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_autoencoder_decodes_as_diffusers_does(vae: Path) -> None:
    change_config(vae, shift_factor=0.1)
    network, ours = AutoencoderKL.from_pretrained(vae), load_autoencoder(str(vae))
    z = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = network.decode(z / 0.18215 + 0.1).sample
    assert torch.allclose(ours.decode(z, chunk=2), wanted, atol=1e-5)


def test_autoencoder_in_a_pipeline_folder_and_with_old_names_is_read(vae: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    wanted = load_autoencoder(str(vae)).network.state_dict()
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def rename(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            for new, before in old.items():
                if new in name:
                    tensors[name.replace(new, before)] = tensors.pop(name)

    change_weights(vae, rename)
    assert any(".query." in name for name in load_file(vae / WEIGHTS_FILE))
    os.rename(vae, tmp_path / "pipeline" / "vae")
    found = load_autoencoder(str(tmp_path / "pipeline")).network.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_half_precision_autoencoder_computes_in_single(vae: Path) -> None:
    change_weights(vae, lambda tensors: tensors.update({name: value.half() for name, value in tensors.items()}))
    found = load_autoencoder(str(vae))
    assert {p.dtype for p in found.network.parameters()} == {torch.float32}
    assert found.encode(torch.zeros(1, 3, 16, 16)).dtype == torch.float32


def test_model_with_other_channels_is_refused_with_the_reason(vae: Path) -> None:
    info = describe_autoencoder(str(vae))
    info.check_fits((4, 32, 32), "dit")
    message = refusal(lambda: info.check_fits((1, 8, 8), "digits-dit"))
    assert "4 channels" in message and "'digits-dit' has 1" in message


@pytest.mark.parametrize(
    "changes",
    [
        {"_class_name": "AutoencoderTiny"}, {"latent_channels": 0}, {"latent_channels": "4"},
        {"layers_per_block": 10**9},
        {"block_out_channels": [10**9, 8]}, {"block_out_channels": 8}, {"block_out_channels": []}, {"in_channels": 4},
        {"down_block_types": ["DownEncoderBlock2D"]}, {"down_block_types": ["NoSuchBlock"] * 2}, {"act_fn": 3},
        {"scaling_factor": 0}, {"scaling_factor": "x"}, {"shift_factor": "x"}, {"latents_mean": [0, 0, 0, 0]},
        {"norm_num_groups": 3}, {"block_out_channels": [8, 8]}, {"latent_channels": 5}, {"unheard_of": 1},
        {"sample_size": None},
    ],
    ids=lambda changes: "-".join(f"{key}" for key in changes),
)  # fmt: skip
def test_a_foreign_or_impossible_autoencoder_is_refused(vae: Path, changes: dict[str, Any]) -> None:
    change_config(vae, **changes)
    refusal(lambda: load_autoencoder(str(vae)))


@pytest.mark.parametrize(
    "how", ["truncated", "nan", "missing", "foreign", "shape", "whole numbers", "pickle", "config"]
)
def test_damaged_weights_are_refused(vae: Path, how: str) -> None:
    path, name = vae / WEIGHTS_FILE, "encoder.conv_in.bias"
    changes: dict[str, Callable[[dict[str, Tensor]], object]] = {
        "nan": lambda tensors: tensors[name].fill_(torch.nan),
        "missing": lambda tensors: tensors.pop(name),
        "foreign": lambda tensors: tensors.update(more=torch.zeros(1)),
        "shape": lambda tensors: tensors.update({name: torch.zeros(5)}),
        "whole numbers": lambda tensors: tensors.update({name: tensors[name].int()}),
    }
    if how in changes:
        change_weights(vae, changes[how])
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    elif how == "pickle":
        path.rename(vae / "diffusion_pytorch_model.bin")
    else:
        (vae / "config.json").write_text("[")
    refusal(lambda: load_autoencoder(str(vae)))


def test_values_too_large_for_half_precision_say_the_mend(config, vae: Path, tmp_path: Path) -> None:
    change_config(vae, scaling_factor=1e9)
    assert "--dtype float32" in refusal(lambda: encode(config(posterior="mean"), tmp_path / "run"))
