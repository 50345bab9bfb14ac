"""Work on several processes at once that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.connection import wait as wait_for_connection
from typing import Any

__all__ = ["process_pool", "work_through"]

_PATIENCE = 0.5  # seconds after which somebody may have asked to stop


def work_through(
    pool: ProcessPoolExecutor,
    compute: Callable[..., Any],
    cells: Sequence[tuple[Any, ...]],
    *,
    workers: int,
    should_stop: Callable[[], bool],
    on_done: Callable[[tuple[Any, ...], Any], None],
    on_wait: Callable[[], None],
) -> bool:
    """Call `compute(*cell)` in the pool for every cell, in order, as many at once as there are workers.

    Args:
        should_stop: asked all the time; what is under way is finished first.
        on_done: told of every cell and what it came to, in this process.
        on_wait: called at least twice a second.

    Returns:
        Whether all cells are done.
    """
    waiting, running = list(reversed(cells)), dict[Future[Any], tuple[Any, ...]]()
    while (waiting and not should_stop()) or running:
        while waiting and len(running) < workers and not should_stop():
            cell = waiting.pop()
            running[pool.submit(compute, *cell)] = cell
        finished, _ = wait(running, timeout=_PATIENCE, return_when=FIRST_COMPLETED)
        for future in finished:
            on_done(running.pop(future), future.result())
        on_wait()
    return not waiting


def process_pool(workers: int, begin: Callable[..., None], *arguments: Any) -> ProcessPoolExecutor:
    """`workers` fresh processes, each of which first calls `begin(*arguments)`.

    Interrupts are left to the process that started them: it decides what is finished first. If that one is killed,
    they end, too.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(begin, arguments))


def _begin(begin: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_connection([parent.sentinel])
        os._exit(1)
