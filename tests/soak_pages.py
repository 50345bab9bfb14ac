"""Thirty pages open on one running search: how fast they are answered, and how much they slow the search.

    make soak                                       this, and the kills of tests/soak.py
    python tests/soak_pages.py --windows 6          longer
    python tests/soak_pages.py --browser            and what a real Chromium sees, as one page more

Windows in which nobody asks and windows in which all pages do take turns within one search, so that both meet the same
machine. The exit status is 1 if the 95th percentile of an answer is 300 ms or more, or if the search takes more than
10% fewer steps a second.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from page_client import PageClient

ROOT = Path(__file__).resolve().parent.parent
LONGEST_ANSWER, MOST_SLOWDOWN = 300.0, 10.0  # milliseconds, per cent
START_LIMIT = 300.0  # seconds
SETTLE = 3.0  # seconds at the start of each window that do not count: all pages ask for everything at first
STEPS = 5000  # of the search: more than all windows take


@dataclass
class Window:
    """What was measured while pages asked, or did not."""

    steps: float
    seconds: float
    app_seconds: float  # of a core, that the app computed
    crowd_seconds: float
    milliseconds: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Steps of the search a second."""
        return self.steps / self.seconds


@contextmanager
def running_app(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The app as a process of its own on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "TINYLAB_RUNS": str(folder / "runs")}
    with (folder / "app.log").open("wb") as log:
        app = subprocess.Popen(
            [sys.executable, "-m", "app"], cwd=ROOT, env=os.environ | own, stdout=log, stderr=log, text=True
        )
    try:
        until = time.monotonic() + START_LIMIT
        while True:
            try:
                PageClient(f"http://127.0.0.1:{port}").open()
                break
            except OSError:
                if app.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the app did not start:\n{(folder / 'app.log').read_text()[-2000:]}") from None
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}", psutil.Process(app.pid)
    finally:
        app.kill()
        app.wait()
        _kill_jobs(folder / "runs")


def _kill_jobs(runs: Path) -> None:
    for file in runs.glob("*/status.json"):
        status = json.loads(file.read_text())
        if status["state"] in ("starting", "running"):
            try:
                psutil.Process(status["pid"]).kill()
            except psutil.NoSuchProcess:
                continue


def start_search(url: str, runs: Path) -> Path:
    """Press Search in a page, and wait until the search has made some steps; its run folder."""
    answer = (
        PageClient(url)
        .open()
        .press("search-start", loaded_model="digits-dit", search_pattern="6:12", search_steps=STEPS)
    )
    run = next((word for word in answer if isinstance(word, str) and word.startswith("search-")), None)
    if run is None:
        raise SystemExit(f"the page started no search: {answer}")
    until = time.monotonic() + START_LIMIT
    while stand(runs / run)[0] < 20:
        if time.monotonic() > until:
            raise SystemExit(f"the search does not come on: {(runs / run / 'status.json').read_text()}")
        time.sleep(0.5)
    return runs / run


def stand(run: Path) -> tuple[int, float]:
    """The step that a search has reached, and when."""
    status = json.loads((run / "status.json").read_text())
    return status["step"], status["heartbeat"]


def measure(run: Path, app: psutil.Process, crowd: subprocess.Popen, *, asking: bool, seconds: float) -> Window:
    """One window."""
    assert crowd.stdin and crowd.stdout
    helper = psutil.Process(crowd.pid)
    if asking:
        tell(crowd, "ask")
        time.sleep(SETTLE)
        tell(crowd, "rest")  # what has been measured so far does not count
        crowd.stdout.readline()
        tell(crowd, "ask")
    else:
        time.sleep(SETTLE)
    (step, then), app_then, crowd_then = stand(run), _computed(app), _computed(helper)
    time.sleep(seconds)
    (last, now), app_now, crowd_now = stand(run), _computed(app), _computed(helper)
    window = Window(last - step, now - then, app_now - app_then, crowd_now - crowd_then)
    if asking:
        tell(crowd, "rest")
        told = json.loads(crowd.stdout.readline())
        if told["troubles"]:
            raise SystemExit(f"{len(told['troubles'])} questions failed; the first: {told['troubles'][0]}")
        window.milliseconds, window.sizes = told["milliseconds"], told["sizes"]
    return window


def tell(crowd: subprocess.Popen, word: str) -> None:
    """One line to the pages."""
    assert crowd.stdin
    crowd.stdin.write(f"{word}\n")
    crowd.stdin.flush()


def _computed(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def report(alone: list[Window], asked: list[Window], pages: int) -> bool:
    """Print what was found; whether both goals are met."""
    for number, (quiet, busy) in enumerate(zip(alone, asked, strict=True), 1):
        p95 = _quantile(busy.milliseconds, 0.95)
        print(
            f"window {number}: {quiet.rate:.2f} steps a second alone, {busy.rate:.2f} with {pages} pages;"
            f" {len(busy.milliseconds)} answers, p95 {p95:.0f} ms"
        )
    times = [one for window in asked for one in window.milliseconds]
    sizes = [one for window in asked for one in window.sizes]
    rates = [sum(w.steps for w in group) / sum(w.seconds for w in group) for group in (alone, asked)]
    seconds = sum(window.seconds for window in asked)
    slowdown = 100 * (1 - rates[1] / rates[0])
    p95 = _quantile(times, 0.95)
    print(f"answers: {len(times)}, {len(times) / seconds:.1f} a second, {statistics.mean(sizes) / 1024:.1f} KiB each")
    print(f"an answer takes: p50 {_quantile(times, 0.5):.0f} ms, p95 {p95:.0f} ms, at most {max(times):.0f} ms")
    print(
        f"the search: {rates[0]:.2f} steps a second alone, {rates[1]:.2f} with {pages} pages: {slowdown:+.1f}% slower"
    )
    app, crowd = (
        100 * sum(part) / seconds for part in ([w.app_seconds for w in asked], [w.crowd_seconds for w in asked])
    )
    print(f"of one core the app takes {app:.0f}%, and the pages of this test, which would be elsewhere, {crowd:.0f}%")
    met = p95 < LONGEST_ANSWER and slowdown <= MOST_SLOWDOWN
    print(
        f"goals (p95 under {LONGEST_ANSWER:.0f} ms, at most {MOST_SLOWDOWN:.0f}% slower): {'met' if met else 'MISSED'}"
    )
    return met


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def in_browser(url: str, run: str, crowd: subprocess.Popen, seconds: float) -> None:
    """Print how a real page is answered beside the others. It draws on the same cores, so no goal hangs on it."""
    from playwright.sync_api import sync_playwright

    program = next(
        (path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None
    )
    if program is None:
        print("no Chromium here: nothing was measured in a browser")
        return
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=program, args=flags).new_page()
        times: list[float] = []
        page.on(
            "requestfinished",
            lambda request: "component_server" in request.url and times.append(request.timing["responseEnd"]),
        )
        page.goto(f"{url}/?tab=search&run={run}")
        page.wait_for_selector("#search-live .tl-live[data-state=running]", timeout=120_000)
        tell(crowd, "ask")
        page.wait_for_timeout(1000 * SETTLE)
        times.clear()
        page.wait_for_timeout(1000 * seconds)
        tell(crowd, "rest")
    assert crowd.stdout
    crowd.stdout.readline()
    p50, p95 = _quantile(times, 0.5), _quantile(times, 0.95)
    print(
        f"a real page beside them: {len(times)} answers,"
        f" p50 {p50:.0f} ms, p95 {p95:.0f} ms, at most {max(times, default=0):.0f} ms"
    )


def main() -> int:
    """Measure, print, and say whether the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=30)
    parser.add_argument("--windows", type=int, default=4, help="of each kind")
    parser.add_argument("--seconds", type=float, default=20.0, help="that a window takes")
    parser.add_argument("--browser", action="store_true", help="one real page more, at the end")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running_app(Path(name)) as (url, app):
        run = start_search(url, Path(name) / "runs")
        command = [sys.executable, str(ROOT / "tests/page_crowd.py"), url, "search-live", run.name, str(args.pages)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
            try:
                assert crowd.stdout
                crowd.stdout.readline()  # all pages are open
                alone, asked = [], []
                for _ in range(args.windows):
                    alone.append(measure(run, app, crowd, asking=False, seconds=args.seconds))
                    asked.append(measure(run, app, crowd, asking=True, seconds=args.seconds))
                met = report(alone, asked, args.pages)
                if args.browser:
                    in_browser(url, run.name, crowd, args.seconds)
            finally:
                crowd.kill()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
