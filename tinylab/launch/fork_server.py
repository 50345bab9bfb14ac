"""Where the processes of jobs come from: one waits with everything imported, and makes a copy of itself for each.

Importing torch, diffusers, peft and scikit-learn takes five to eight seconds of a core; a fork of a process that has
done so takes a hundredth, and shares its memory. Where a fork is not safe (with a GPU: CUDA does not survive one; on
other systems than Linux), and as long as the imports are under way, the waiting process does the job itself.

Both ends talk over a socket. SELF is followed by the work, a line, and then the socket closes. FORK brings a socket of
its own, the channel: the fork reports on it that it was BORN and its process number, then its work comes down it, and
at last the waiting process reports with which status it has ENDED.
"""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait

from tinylab.errors import Failure
from tinylab.launch.devices import has_gpu
from tinylab.processes import module_command, module_environment

__all__ = ["Forked", "ForkServer", "may_fork", "next_order", "nobody_left", "report_ready"]

FORK, SELF, READY = b"F", b"S", b"R"  # what is ordered; the waiting process has everything imported
_BORN, _FAILED, _ENDED = b"B", b"F", b"E"
_NEWS = struct.Struct("!ci")  # one of these, and a process number, an errno or an exit status
_SETTING = "TINYLAB_FORK"
_PATIENCE = 20.0  # seconds for a fork, which takes hundredths


def may_fork() -> bool:
    """Whether jobs may be forks of a process that has imported torch, as far as one knows without torch.

    TINYLAB_FORK=0 forbids it.
    """
    return sys.platform == "linux" and not has_gpu() and os.environ.get(_SETTING, "").strip() != "0"


class Forked:
    """A process that the fork server has forked, with what `subprocess.Popen` offers for one's own."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._channel, self._lock = channel, threading.Lock()

    def poll(self) -> int | None:
        """The exit status, None while the process is at work, 0 where nobody saw its end."""
        with self._lock:
            if self.returncode is None:
                try:
                    answer = self._channel.recv(_NEWS.size, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return None
                except OSError:
                    answer = b""
                self.returncode = _NEWS.unpack(answer)[1] if len(answer) == _NEWS.size else 0
                self._channel.close()
            return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end. `subprocess.TimeoutExpired` if it does not come within `timeout` seconds."""
        if self.poll() is None:
            with contextlib.suppress(ValueError, OSError):  # another thread saw the end and closed the channel
                wait([self._channel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The process that waits, seen from the app. It ends when its socket closes, so it never outlives the app."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self._socket: socket.socket | None = None
        self._ready = False

    def warm_up(self) -> None:
        """Start the process, unless it is there."""
        if self.process is None or self.process.poll() is not None:
            self.close()
            self._socket, there = socket.socketpair()
            with there:
                self.process = subprocess.Popen(
                    module_command("tinylab.launch.worker", "--fork" if may_fork() else "--wait"),
                    env=module_environment(),
                    stdin=there.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )

    def is_ready(self) -> bool:
        """Whether the process has everything imported and may fork."""
        if not self._ready and self._socket is not None:
            with contextlib.suppress(OSError):  # it has sent nothing yet
                self._ready = self._socket.recv(1, socket.MSG_DONTWAIT) == READY
        return self._ready

    def order(self) -> tuple[Forked | subprocess.Popen, socket.socket]:
        """A process for one job, and the channel that takes the work to it.

        Raises:
            ConnectionError: the process that waited has died; a new one is started when this is called again.
            Failure: the machine takes no further process.
        """
        self.warm_up()
        assert self._socket is not None and self.process is not None
        process, channel = self.process, self._socket
        try:
            if self.is_ready():
                return self._fork(channel)
            channel.sendall(SELF)
        except OSError as error:
            process.kill()
            self.close()
            raise ConnectionResetError(f"the process that starts jobs is gone: {error}") from error
        self.process, self._socket = None, None  # they are the job's from now on
        return process, channel

    def close(self) -> None:
        """Let the process end; jobs that it has forked go on."""
        if self.process is not None:
            if self._socket is not None:
                self._socket.close()
            self.process.wait(60)
        self.process, self._socket, self._ready = None, None, False

    def _fork(self, fork_server: socket.socket) -> tuple[Forked, socket.socket]:
        channel, there = socket.socketpair()
        try:
            with there:
                socket.send_fds(fork_server, [FORK], [there.fileno()])
            channel.settimeout(_PATIENCE)
            answer = channel.recv(_NEWS.size)
            channel.settimeout(None)
            if len(answer) < _NEWS.size:
                raise ConnectionResetError("nothing came of an order")
            word, number = _NEWS.unpack(answer)
            if word == _FAILED:
                raise Failure(f"there is no room for the process of a job: {os.strerror(number)}; end others first")
            return Forked(number, channel), channel
        except BaseException:
            channel.close()
            raise


def report_ready(fork_server: socket.socket) -> None:
    """Report to the app that forks may be ordered from now on."""
    with contextlib.suppress(OSError):  # the app is gone, which the next look shows
        fork_server.send(READY)


def nobody_left(fork_server: socket.socket) -> bool:
    """Whether the app has ended without leaving an order."""
    return bool(wait([fork_server], 0)) and not fork_server.recv(1, socket.MSG_PEEK)


def next_order(fork_server: socket.socket) -> socket.socket | None:
    """Wait for an order and return its channel, in the process that is to do it: this one, or a fork of it.

    Returns:
        None when the app has ended: there will be no more.
    """
    forks: dict[int, socket.socket] = {}
    with _watched_ends() as ends:
        while True:
            news = wait([fork_server, ends])
            if ends in news:
                os.read(ends, 4096)
                _report_ends(forks)
            if fork_server not in news:
                continue
            word, channel = _receive_order(fork_server)
            if word == SELF:
                return fork_server
            if word != FORK:
                return None
            if channel is not None and _is_fork(channel, forks):
                fork_server.close()
                return channel


def _receive_order(fork_server: socket.socket) -> tuple[bytes, socket.socket | None]:
    """An order, b"" where the app has ended, and the channel that came with it."""
    try:
        word, handles, _, _ = socket.recv_fds(fork_server, 1, 1)
    except OSError:  # the app has ended before it read what was sent
        return b"", None
    channels = [socket.socket(fileno=handle) for handle in handles]
    for channel in channels:
        channel.set_inheritable(False)
    return word, channels[0] if channels else None


def _is_fork(channel: socket.socket, forks: dict[int, socket.socket]) -> bool:
    """Fork; True in the new process, which has introduced itself, and False in this one, which has noted it."""
    try:
        pid = os.fork()
    except OSError as error:
        with channel, contextlib.suppress(OSError):
            channel.sendall(_NEWS.pack(_FAILED, error.errno))
        return False
    if pid:
        forks[pid] = channel
        return False
    os.setsid()
    for other in forks.values():  # as long as it is open here, the app could not see that the other has ended
        other.close()
    with contextlib.suppress(OSError):  # the app is gone, which shows when no work comes
        channel.sendall(_NEWS.pack(_BORN, os.getpid()))
    return True


def _report_ends(forks: dict[int, socket.socket]) -> None:
    """Report the status of every fork that has ended."""
    for pid in list(forks):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with forks.pop(pid) as channel, contextlib.suppress(OSError):
                channel.sendall(_NEWS.pack(_ENDED, os.waitstatus_to_exitcode(status)))


@contextlib.contextmanager
def _watched_ends() -> Iterator[int]:
    """A file that can be read from when a child has ended."""
    ends, wake = os.pipe()
    for end in (ends, wake):
        os.set_blocking(end, False)
    before = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake)
    try:
        yield ends
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, before)
        os.close(ends)
        os.close(wake)
