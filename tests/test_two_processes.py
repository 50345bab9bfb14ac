"""Two real processes, as torchrun starts them, do what one does: train, search, spread weights, stop and go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from safetensors.torch import load_file
from shared_trainings import CASES, train
from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.jobs.execute import execute, start_run
from tinylab.models.base import Denoiser
from tinylab.models.load import save_model
from tinylab.models.networks import layers
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.run import Run

TESTS = Path(__file__).parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
PATIENCE = 300  # seconds until a launch counts as hanging


def launch(*words: object) -> subprocess.Popen:
    """torchrun with these words, on the CPU."""
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS.parent), environment.get("PYTHONPATH", "")])
    command = [*TORCHRUN, *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen) -> tuple[int, str, str]:
    """Status, output and complaints of a launch."""
    try:
        out, complaints = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return process.returncode, out, complaints


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where two processes did all trainings."""
    folder = tmp_path_factory.mktemp("together")
    yield folder


@pytest.fixture
def trained(work: Path, build_tiny: Callable[..., Denoiser]) -> Path:
    """The same, once they have."""
    if not (work / "dit").exists():
        for family in ("dit", "sit", "mar"):
            save_model(build_tiny(family), work / family, card="# Tiny\n")
        status, _, complaints = finished(launch(TESTS / "shared_trainings.py", work))
        assert status == 0, complaints
    return work


def relative(found: Tensor, wanted: Tensor) -> float:
    """The error as a share of the norm."""
    return ((found - wanted).double().norm() / wanted.double().norm().clamp(min=1e-2)).item()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one_does(trained: Path, tmp_path: Path, name: str, monkeypatch) -> None:
    """Losses and gradient norms of every step, weights, averages and moments; `after` is what jobs go on with."""
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    one = train(CASES[name], trained, tmp_path / "one")
    wanted = one.tensors | {f"records.{step}": torch.tensor(row) for step, row in one.records.items()}
    limit = 2e-2 if name == "bfloat16" else 1e-5  # sums in another order are rounded to another bfloat16
    for rank in (0, 1):
        found = load_file(trained / f"{name}-{rank}.safetensors")
        assert found.keys() == wanted.keys()
        assert {key: error for key in wanted if (error := relative(found[key], wanted[key])) > limit} == {}


@pytest.mark.slow
def test_micro_batches_take_the_same_steps(trained: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    whole, parts = (train(CASES[name], trained, tmp_path / name) for name in ("recovery", "micro-batches"))
    assert whole.records.keys() == parts.records.keys()
    for step, row in whole.records.items():
        assert row == pytest.approx(parts.records[step], rel=1e-5)
    assert all(relative(parts.tensors[key], value) < 1e-5 for key, value in whole.tensors.items())


@pytest.mark.slow
def test_a_search_cannot_be_spread(trained: Path) -> None:
    line = "only the training of a whole model can be spread; use assets/accelerate/ddp.yaml instead"
    assert [(trained / f"refused-{rank}.txt").read_text() for rank in (0, 1)] == [line, line]


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_launch_files_say_what_accelerate_reads(name: str) -> None:
    config = load_config_from_file(str(TESTS.parent / "assets" / "accelerate" / f"{name}.yaml"))
    assert (config.num_processes, config.mixed_precision) == (2, "no")
    assert config.distributed_type == {"ddp": DistributedType.MULTI_GPU, "fsdp": DistributedType.FSDP}[name]
    if name == "fsdp":
        blocks = config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"].split(",")
        assert config.fsdp_config["fsdp_version"] == 2
        assert all(hasattr(layers, block) for block in blocks)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_a_job_of_two_is_one_run_that_stops_and_goes_on(tiny_folder: str, tmp_path: Path, runs: Path) -> None:
    config = FinetuneConfig.create(
        **{"model": tiny_folder, "indices": (0, 2), "steps": 24, "batch_size": 8, "log_every": 1, "threads": 1},
        **{"checkpoint_every": 1000, "snapshot_every": 24, "scored_samples": 0, "device": "cpu"},
    )
    asked = config.model_dump(include=config.model_fields_set - {"indices", "device"})
    options = [f"--{name.replace('_', '-')}={value}" for name, value in asked.items()]
    process = launch("-m", "tinylab", "finetune", "--indices", "0,2", "--quiet", *options)
    wait_for(lambda: any(runs.glob("*/config.json")))
    (folder,) = runs.iterdir()
    run = Run.open(folder)
    wait_for(lambda: (run.artifacts / "snapshots" / "0000000.png").exists())  # just before the first step
    os.kill(run.status().pid, signal.SIGTERM)  # the main process alone is asked
    status, _, complaints = finished(process)
    assert status != 0
    stopped = run.status()
    assert (stopped.state, run.config().device) == ("stopped", "cpu")
    assert complaints.count("tinylab: stopped at step") == 1
    assert 0 < stopped.step < 24
    status, out, complaints = finished(launch("-m", "tinylab", "resume", "--quiet", "--json", folder))
    assert status == 0, complaints
    assert [path.name for path in runs.iterdir()] == [folder.name]
    alone = start_run(config, tmp_path / "alone")
    result = execute(alone, quiet=True)
    found = json.loads(out)
    assert found["loss_finetuned"] == pytest.approx(result["loss_finetuned"], rel=1e-4)
    names = MetricsReader(alone.metrics_path).names()
    assert names == MetricsReader(run.metrics_path).names()
    for name in ("loss", "grad_norm", "lr"):
        one, two = (dict(MetricsReader(one.metrics_path).scalars(name)) for one in (alone, run))
        assert two == pytest.approx(one, rel=1e-3)
    pictures = [sorted(path.name for path in one.artifacts.rglob("*")) for one in (alone, run)]
    assert pictures[0] == pictures[1]


BROKEN = """
import os, sys, torch
from tinylab.cli import main
from tinylab.training import denoise
if os.environ["RANK"] == "1":
    begin = denoise.DenoiseTask.begin
    def fail(task, step):
        if step == 3:
            raise OSError("the disk of this machine is gone")
        begin(task, step)
    denoise.DenoiseTask.begin = fail
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_what_breaks_one_process_ends_the_job_and_is_told(tiny_folder: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    words = ["--model", tiny_folder, "--indices", "0,2", "--batch-size", 8, "--snapshot-every", 0, "--steps", 1000]
    process = launch(tmp_path / "broken.py", "finetune", *words, "--quiet", "--out", tmp_path / "run")
    status, _, complaints = finished(process)
    assert status != 0
    assert complaints.count("process 1: OSError: the disk of this machine is gone") >= 1
    status = Run.open(tmp_path / "run").status()
    assert (status.state, status.message) == ("failed", "process 1: OSError: the disk of this machine is gone")
    children = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    assert children == []


@pytest.mark.slow
def test_what_two_processes_cannot_do_is_one_line(tiny_folder: str, runs: Path) -> None:
    status, _, complaints = finished(launch("-m", "tinylab", "prune", "--keep", 2, "--model", tiny_folder))
    assert status != 0
    (line,) = [found for found in complaints.splitlines() if "tinylab: " in found]
    assert line.startswith("tinylab: prune runs in one process, not 2")
    assert not runs.exists()
