"""Work on several processes at once that end with the one that started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.connection import wait as wait_for_connection
from typing import Any

from tinylab.processes import use_threads

__all__ = ["work_through"]

_PATIENCE = 0.5  # seconds after which somebody may have asked to stop
_kept: Any = None  # in a worker: what it has made at its start


def work_through(
    compute: Callable[..., Any],
    cells: Sequence[tuple[Any, ...]],
    *,
    make: Callable[..., Any],
    arguments: tuple[Any, ...],
    workers: int,
    threads: int,
    should_stop: Callable[[], bool],
    on_done: Callable[[tuple[Any, ...], Any], None],
    on_wait: Callable[[], None],
) -> bool:
    """Call `compute(made, *cell)` for every cell, in order, in `workers` fresh processes.

    Interrupts are left to this process: it decides what is finished first. If it is killed, the workers end, too.

    Args:
        make, arguments: every worker first calls `make(*arguments)` and keeps what that returns for all its cells.
        threads: CPU threads of each worker; 0 leaves the choice to torch.
        should_stop: asked all the time; what is under way is finished first.
        on_done: called with every cell and what it came to, in this process.
        on_wait: called at least twice a second.

    Returns:
        Whether all cells are done.
    """
    waiting, running = list(reversed(cells)), dict[Future[Any], tuple[Any, ...]]()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (threads, make, arguments)) as pool:
        while (waiting and not should_stop()) or running:
            while waiting and len(running) < workers and not should_stop():
                cell = waiting.pop()
                running[pool.submit(_compute, compute, cell)] = cell
            finished, _ = wait(running, timeout=_PATIENCE, return_when=FIRST_COMPLETED)
            for future in finished:
                on_done(running.pop(future), future.result())
            on_wait()
    return not waiting


def _begin(threads: int, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    global _kept
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    use_threads(threads)
    _kept = make(*arguments)


def _compute(compute: Callable[..., Any], cell: tuple[Any, ...]) -> Any:
    return compute(_kept, *cell)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_connection([parent.sentinel])
        os._exit(1)
