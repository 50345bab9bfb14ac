"""What a job has of its run: where to report, whether to stop, where to put results."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from tinylab.errors import Stopped
from tinylab.files import atomic
from tinylab.jobs.facts import Facts
from tinylab.runs.metrics_db import MetricsWriter
from tinylab.runs.run import STOP, Run, own_process
from tinylab.training.recorder import StepRecord
from tinylab.training.trackers import Tracking

__all__ = ["CompanionContext", "JobContext"]

_HEARTBEAT = 0.5  # seconds between two writes of the status


class JobContext:
    """The recorder of one running job. A SIGTERM or SIGINT asks it to stop; it does so at the next safe point.
    Where it runs in a thread, which gets no signals, a file in the run's folder does.

    Attributes:
        facts: what is known of the models and data that the job names.
        main: whether this process writes what the job leaves behind. Of several at one job a single one does; the
            others have a `CompanionContext`, and jobs ask `main` before they save anything by themselves.
    """

    main = True
    _by_file = False

    def __init__(self, run: Run, *, quiet: bool = False, facts: Facts | None = None) -> None:
        self.run, self.facts = run, facts or Facts()
        self._stop = False
        self._began = self._written = time.time()
        self._first: int | None = None
        self._status = replace(run.stored_status(), state="running", message="", heartbeat=time.time(), **own_process())
        self._seconds_before = self._status.seconds
        self._quiet = quiet
        self._bar: tqdm | None = None
        self._tracker = Tracking(run.config(), run.path)
        self._writer = MetricsWriter(run.metrics_path)
        run.write_status(self._status)

    def rewind(self, step: int, until: int | None = None) -> None:
        """Forget records after `step`, or those after it up to and with `until`."""
        self._writer.rewind(step, until, spare="warm-start/")  # which counts steps of its own

    def record(self, step: int, record: StepRecord) -> None:
        """Store one logged step."""
        self._writer.write(step, record)
        self._tracker.record(step, record)

    def progress(self, step: int, steps: int, message: str = "") -> None:
        """Report how far the job is; cheap to call at every step."""
        now = time.time()
        if self._first is None:
            self._first = step
        self._show(step, steps, message)
        due = now - self._written >= _HEARTBEAT or step >= steps or message != self._status.message
        pace = (now - self._began) / max(1, step - self._first + 1)
        self._status = replace(
            self._status,
            step=step,
            steps=steps,
            message=message,
            heartbeat=now,
            seconds=self._seconds_before + now - self._began,
            seconds_left=pace * (steps - step),
        )
        if due:  # what is not written now, the next status or the last one has
            self._written = now
            self.run.write_status(self._status)

    def _show(self, step: int, steps: int, message: str) -> None:
        if self._bar is None:
            name, start = self.run.id, max(0, step - 1)
            self._bar = tqdm(disable=self._quiet, desc=name, total=steps, initial=start, mininterval=0.5, unit="step")
        self._bar.set_postfix_str(message, refresh=False)
        self._bar.update(step - self._bar.n)

    def should_stop(self) -> bool:
        """True once somebody asked the job to stop."""
        return self._stop or (self._by_file and (self.run.path / STOP).exists())

    def stop_here(self, how_to_go_on: str) -> None:
        """Raise Stopped where somebody asked for it: for work that is short enough to be done again."""
        if self.should_stop():
            raise Stopped(f"stopped; {how_to_go_on}")

    def artifact(self, name: str, data: bytes) -> Path:
        """Store a result file, atomically."""
        path = self.run.artifacts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, data)
        return path

    def finish(self, state: str, message: str = "") -> None:
        """Write the last status and close everything."""
        self._writer.close()
        self._tracker.close()
        if self._bar is not None:
            self._bar.close()
        now = time.time()
        self._status = replace(
            self._status,
            state=state,
            message=message,
            heartbeat=now,
            seconds=self._seconds_before + now - self._began,
            seconds_left=None,
        )
        self.run.write_status(self._status)

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Turn SIGTERM and SIGINT into a request to stop while the block runs; a second one ends at once."""
        if threading.current_thread() is not threading.main_thread():
            self._by_file = True
            yield
            return

        def ask(number: int, frame: object) -> None:
            if self._stop:
                raise KeyboardInterrupt
            self._stop = True

        old = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


class CompanionContext(JobContext):
    """The context of a process that computes along and leaves all reports to the main one."""

    main = False

    def __init__(self, run: Run) -> None:
        self.run, self.facts = run, Facts()
        self._stop = False

    def rewind(self, step: int, until: int | None = None) -> None:
        """The main process does."""

    def record(self, step: int, record: StepRecord) -> None:
        """The main process does."""

    def progress(self, step: int, steps: int, message: str = "") -> None:
        """The main process reports."""

    def artifact(self, name: str, data: bytes) -> Path:
        """Where the main process puts the file."""
        return self.run.artifacts / name

    def finish(self, state: str, message: str = "") -> None:
        """The main process writes the status."""
