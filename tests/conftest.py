"""What all tests share: one thread, no network, runs in a temporary folder, and a tiny model that does something."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from killed_jobs import fork_server
from tiny_sizes import TINY, TINY_MAR
from xdist.scheduler import LoadFileScheduling

from tinylab.jobs import process_pool
from tinylab.models.base import Denoiser
from tinylab.models.families import FAMILIES
from tinylab.models.load import model_class, save_model
from tinylab.models.networks.dit import DiT

# Files that start many processes stay on one worker, where they share the two that have imported everything: the
# fork server of the lab and that of `killed_jobs`.
SHARING = (
    *(
        "test_cli",
        "test_exit_reasons",
        "test_full_disk",
        "test_kill",
        "test_launch",
        "test_fork_server",
        "test_recipes",
    ),
    *("test_run_trouble", "test_study"),
)
# Files that take longest are begun first, so that no worker is left with one of them at the end.
LONGEST = ("test_two_processes", "test_bench", "test_lessons", "test_full_size", "test_evaluate", "test_encode")


class FilesThatShare(LoadFileScheduling):
    """Gives a worker one file after the other, and those that share processes as if they were one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "sharing" if Path(file).stem in SHARING else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Replace the scheduling of `--dist loadfile`."""
    return FilesThatShare(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a browser first, then what takes long, then the rest as it stands."""

    def place(item: pytest.Item) -> int:
        if item.path.parent.name == "browser":
            return 0
        return 1 if item.path.stem in SHARING else 2 if item.path.stem in LONGEST else 3

    items.sort(key=place)


def pytest_configure() -> None:
    """Set what libraries read when they are imported, and what the processes that tests start inherit."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that runs go to, one for every test."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("TINYLAB_RUNS", str(folder))
    monkeypatch.setenv("TINYLAB_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture(scope="module")
def forked_pools() -> Iterator[None]:
    """Pools of processes come from one process that has imported everything, instead of importing it each."""
    context = fork_server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_pool, "multiprocessing", SimpleNamespace(get_context=lambda method: context))
        yield


@pytest.fixture
def build_tiny() -> Callable[..., Denoiser]:
    """Makes tiny models of any family: `build_tiny("sit", seed, depth=6)`. Equal arguments give equal weights."""

    def build(family: str, seed: int = 0, **changes: Any) -> Denoiser:
        model = model_class(FAMILIES[family])(**{**(TINY_MAR if family == "mar" else TINY), **changes})
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            # Also those that training starts at zero: a block whose gates are zero would hide every mistake.
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
        return model.eval()

    return build


@pytest.fixture
def build_tiny_dit(build_tiny: Callable[..., Denoiser]) -> Callable[..., DiT]:
    """Makes tiny DiTs: `build_tiny_dit(seed, depth=6)`."""
    return partial(build_tiny, "dit")  # type: ignore[return-value]


@pytest.fixture
def tiny_dit(build_tiny_dit: Callable[..., DiT]) -> DiT:
    """A DiT of four blocks, width 16, for 8x8 images of one channel, in eval mode."""
    return build_tiny_dit()


@pytest.fixture
def tiny_folder(tiny_dit: DiT, tmp_path: Path) -> str:
    """The tiny DiT, saved; its path can be given as `--model`."""
    save_model(tiny_dit, tmp_path / "tiny", card="# Tiny\n")
    return str(tmp_path / "tiny")
