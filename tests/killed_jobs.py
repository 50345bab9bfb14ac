"""Jobs as child processes that are killed at chosen moments, or are told that the disk is full."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import re
import resource
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from disk_events import watch
from tiny_sizes import TINY
from tqdm import tqdm

from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT

__all__ = ["FINETUNE", "SHORT", "Ending", "Moment", "in_child", "resume_command", "run_job", "save_tiny", "start_main"]

FINETUNE = ("finetune", "--indices", "0,2", "--loss", "diffusion", "--warm-start", "none", "--scored-samples", "20")
SHORT = ("--batch-size", "4", "--checkpoint-every", "2", "--log-every", "1", "--threads", "1", "--quiet")

_PRELOAD = (
    *("torch", "diffusers.models.modeling_utils", "peft", "sklearn.datasets", "safetensors.torch", "accelerate"),
    *("tinylab.cli", "tinylab.jobs.execute", "tinylab.jobs.search", "tinylab.jobs.finetune"),
    *("tinylab.jobs.train", "tinylab.models.networks.dit", "tinylab.training.search"),
)
_NEEDS_ROOM = ("create", "mkdir", "fsync", "tensors")


@dataclass(frozen=True)
class Moment:
    """A moment in the life of a job.

    Attributes:
        pattern: found in an event of the disk (see `disk_events.watch`), or in `start`, the first of all.
        count: which of the events that match.
        number: which signal; another than SIGKILL is one that the job can answer.
        delay: seconds from there to the kill. None: the job kills itself in place of that event, and where a file of
            tensors was just written, half of it is missing.
        full: nobody is killed; from this moment on the disk takes nothing more.
    """

    pattern: str
    count: int = 1
    number: int = signal.SIGKILL
    delay: float | None = None
    full: bool = False


@dataclass(frozen=True)
class Ending:
    """How a job ended: its exit status (-9 if killed), the lines it printed, and all that it did to the disk."""

    code: int
    said: list[str]
    events: list[str]

    @property
    def killed(self) -> bool:
        """True if the kill came in time."""
        return self.code == -signal.SIGKILL


def _fork_server() -> ForkServerContext:
    """Where children come from that have imported everything: a process of its own, in which nothing was computed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOAD))
    return context


def run_job(
    arguments: Sequence[str], folder: Path, moment: Moment | None = None, *, largest: int | None = None
) -> Ending:
    """`tinylab ARGUMENTS`, whose run is `folder`, in a forked child; `largest` is what `ulimit -f` sets, in bytes."""
    context = _fork_server()
    ours, theirs = context.Pipe(duplex=False)
    said = folder.with_name(f"{folder.name}.txt")
    process = context.Process(target=_work, args=(theirs, list(arguments), folder, said, moment, largest))
    process.start()
    theirs.close()
    events = _listen(ours, process.pid or 0, moment)
    process.join()
    assert process.exitcode is not None
    return Ending(process.exitcode, said.read_text().splitlines(), events)


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a forked child, or the OSError that it raises."""
    context = _fork_server()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    finally:
        process.join()
    if isinstance(answer, OSError):
        raise answer
    return answer


def start_main(module: str, *arguments: object) -> BaseProcess:
    """`python -m MODULE ARGUMENTS` in a forked child that prints nothing; its `exitcode` is that of the command."""
    process = _fork_server().Process(target=_main, args=(module, [str(argument) for argument in arguments]))
    process.start()
    return process


def save_tiny(folder: Path) -> str:
    """Save a DiT of four blocks, width 16, whose weights are random but not zero; its path, for `--model`."""
    model, generator = DiT(**TINY), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    save_model(model.eval(), folder, card="# Tiny\n")
    return str(folder)


def resume_command(folder: Path) -> list[str]:
    """What a person types to let a run go on."""
    return ["resume", str(folder), "--quiet"]


def _listen(ours: Connection, child: int, moment: Moment | None) -> list[str]:
    """The events of a child up to its end, which comes `moment.delay` after its moment."""
    events: list[str] = []
    left = moment.count if moment and moment.delay is not None else 0
    while True:
        try:
            events.append(ours.recv())
        except EOFError:
            return events
        if left and moment and moment.delay is not None and re.search(moment.pattern, events[-1]):
            left -= 1
            if not left:
                time.sleep(moment.delay)
                with contextlib.suppress(ProcessLookupError):  # it was faster
                    os.killpg(child, signal.SIGKILL)


def _work(
    theirs: Connection, arguments: list[str], folder: Path, said: Path, moment: Moment | None, largest: int | None
) -> None:
    """The child: a process group of its own that reports everything it does to the disk."""
    os.setsid()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a kill would leave behind
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from tinylab.cli import main

    teller = _Teller(theirs, moment)
    teller.tell("start", folder)
    watch(folder, teller.tell)
    sys.exit(main(arguments))


def _main(module: str, arguments: list[str]) -> None:
    os.setsid()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


def _answer(theirs: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        theirs.send(function(*arguments))
    except OSError as error:
        theirs.send(error)


class _Teller:
    def __init__(self, theirs: Connection, moment: Moment | None) -> None:
        self._theirs, self._moment = theirs, moment
        self._left = moment.count if moment and moment.delay is None else 0
        self._full = False

    def tell(self, event: str, path: Path) -> None:
        """Report an event; at the moment die, or be full from now on."""
        self._theirs.send(event)
        if self._left and self._moment and re.search(self._moment.pattern, event):
            self._left -= 1
            if not self._left and self._moment.full:
                self._full = True
            elif not self._left:
                if event.startswith("written"):
                    os.truncate(path, path.stat().st_size // 2)
                os.kill(0, self._moment.number)  # the whole group
        if self._full and event.split()[0] in _NEEDS_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
