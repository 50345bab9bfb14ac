"""The real app as a process of its own, for tests that talk to it from outside."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tinylab.errors import BadRequest
from tinylab.runs.run import Run

__all__ = ["AppServer", "running_app"]

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT = 120.0  # seconds; a machine busy with other work starts the app slowly


class AppServer:
    """The app as its own process, on a port and with a runs folder that stay the same over restarts."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.runs, self.uploads = folder / "runs", folder / "uploads"
        self.log = folder / "app.log"
        self.port = _free_port()
        self.variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the app and wait until it answers."""
        environment = os.environ | {
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(self.port),
            "TINYLAB_RUNS": str(self.runs),
            "GRADIO_TEMP_DIR": str(self.uploads),
            **self.variables,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_LIMIT
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the app did not start; its last words:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End the app as a crash would. Jobs are processes of their own and go on."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill the app and start it again on the same port."""
        self.kill()
        self.start()

    def clear(self) -> None:
        """Take all runs away from the running app, as somebody does who empties its folder."""
        self.kill_jobs()
        if self.runs.exists():
            self.runs.rename(self.runs.with_name(f"runs-{len(list(self.runs.parent.iterdir()))}"))
        self.runs.mkdir()

    def kill_jobs(self) -> None:
        """End the jobs that tests left running."""
        for file in self.runs.glob("*/status.json"):
            try:
                status = Run.open(file.parent).status()
                if status.active and status.pid:
                    psutil.Process(status.pid).kill()
            except (BadRequest, psutil.NoSuchProcess):
                continue


@contextmanager
def running_app(folder: Path, **variables: str) -> Iterator[AppServer]:
    """The app, running for as long as the block does; `variables` go into its environment."""
    server = AppServer(folder, **variables)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        server.kill_jobs()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
