"""Gates in DistributedDataParallel: two processes give the gradients of one that has the whole batch."""

from __future__ import annotations

import datetime
import os
import time
import traceback
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file
from skip_cases import difference, move_weights
from torch import nn
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel

from tinylab.models.load import load_model, save_model
from tinylab.models.networks.dit import DiT
from tinylab.pruning.depth_mask import DepthMask
from tinylab.pruning.gates import gated
from tinylab.pruning.layout import Layout

COUNT = 4  # samples of a process
PATIENCE = 240  # seconds until two processes that do not meet count as hanging
CASES = (("full", "exact"), ("lora", "sampled"))


class _Search(nn.Module):
    """Draws and applies its masks, and returns the loss."""

    def __init__(self, folder: str, weights: str, way: str) -> None:
        super().__init__()
        self.model, self.way = move_weights(load_model(folder), weights), way
        self.mask = DepthMask(Layout.parse("1:2", self.model.stack_depths()))
        self.double()

    def forward(self, x, t, y, noise):
        groups = self.mask.stacks()["blocks"]
        masks = torch.cat([g.draw(n, 1.0)[0] for g, n in zip(groups, noise.unbind(1), strict=True)], dim=1)
        with gated(self.model, {"blocks": masks}, way=self.way, share=1.0, generator=torch.Generator()):
            out = self.model(x, t, y)
        return mse_loss(out[:, :1], x.flip(1))


def _batch():
    """Images, times, classes and Gumbel noise (2 COUNT, groups, options); the second half all drops block 0."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2 * COUNT, 2, 2, generator=generator)
    noise[:COUNT, 0] = torch.tensor([[5.0, 0], [0, 5], [5, 0], [0, 5]])
    noise[COUNT:, 0] = torch.tensor([0.0, 5.0])  # options of a group: keep the first block, keep the second
    x = torch.randn(2 * COUNT, 1, 8, 8, generator=generator)
    return x.double(), torch.arange(2 * COUNT) * 100, torch.arange(2 * COUNT), noise


def _gradients(module: nn.Module):
    return {key: p.grad for key, p in module.named_parameters() if p.grad is not None}


def _worker(rank: int, folder: str, work: str) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # they meet on this machine, whatever its name resolves to
    timeout = datetime.timedelta(seconds=PATIENCE / 2)
    dist.init_process_group("gloo", f"file://{work}/meet", timeout=timeout, rank=rank, world_size=2)
    part = [value[rank * COUNT : (rank + 1) * COUNT] for value in _batch()]
    try:
        for weights, way in CASES:
            search = _Search(folder, weights, way)
            search(*part).backward()
            save_file(_gradients(search), f"{work}/alone-{weights}-{rank}.safetensors")
            search.zero_grad()
            wrapped = DistributedDataParallel(search, find_unused_parameters=True)
            wrapped(*part).backward()
            save_file(_gradients(search), f"{work}/together-{weights}-{rank}.safetensors")
        dist.barrier()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # at once: all is written, and the threads of gloo need not be waited for


def _run_both(folder: Path) -> None:
    """Both processes at once; a failure, not a wait without end, if they do not come to one."""
    started = mp.spawn(_worker, args=(str(folder / "model"), str(folder)), nprocs=2, join=False)
    deadline = time.monotonic() + PATIENCE
    try:
        while not started.join(timeout=5):
            assert time.monotonic() < deadline, "two processes did not meet"
    finally:
        for process in started.processes:
            process.kill()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind, and the model that they had."""
    folder = tmp_path_factory.mktemp("distributed")
    torch.manual_seed(0)
    model = DiT(input_size=8, in_channels=1, hidden_size=16, depth=4, num_heads=2, num_classes=10)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    save_model(model, folder / "model", card="# Tiny\n")
    _run_both(folder)
    return folder


@pytest.mark.parametrize(("weights", "way"), CASES)
def test_two_processes_give_the_gradients_of_one(work: Path, weights: str, way: str) -> None:
    search = _Search(str(work / "model"), weights, "dense")
    search(*_batch()).backward()
    wanted = _gradients(search)
    ranks = [load_file(work / f"together-{weights}-{rank}.safetensors") for rank in (0, 1)]
    assert all(torch.equal(ranks[0][key], ranks[1][key]) for key in ranks[0])
    assert difference(ranks[0], wanted) < 1e-12
    block = "model.blocks.0."
    first, second = (load_file(work / f"alone-{weights}-{rank}.safetensors") for rank in (0, 1))
    assert any(key.startswith(block) for key in first)
    assert not any(key.startswith(block) for key in second)  # no sample of this process used it
    assert max(wanted[key].norm() for key in wanted if key.startswith(block)) > 0
