"""Between a measurement and who watches it: how far it is, and whether to stop."""

from __future__ import annotations

from collections.abc import Callable

from tinylab.errors import Stopped

__all__ = ["Progress", "Ticker"]

Progress = Callable[[int, int, str], None]  # (pieces of work that are done, all of them, what comes next)


class Ticker:
    """Told before every piece of work, never within one: nothing is written to disk while a clock runs."""

    def __init__(self, total: int, progress: Progress, should_stop: Callable[[], bool]) -> None:
        self._done, self._total = 0, total
        self._progress, self._should_stop = progress, should_stop

    def next(self, message: str, pieces: int = 1) -> None:
        """`pieces` of work are done now; `message` says what comes next."""
        self.on_step(0)
        self._done = min(self._done + pieces, self._total)
        self._progress(self._done, self._total, message)

    def on_step(self, _: int) -> None:
        """Stopped if somebody asked for it: called after every denoising step."""
        if self._should_stop():
            raise Stopped("stopped; resume it to measure from the start")
