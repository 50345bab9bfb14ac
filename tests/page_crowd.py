"""Many open pages in one process of its own: each asks as `live.js` does, and how long every answer took is told.

    python tests/page_crowd.py URL ELEMENT RUN COUNT

Lines on standard input: `ask` lets the pages ask, `rest` lets them rest; after each `rest` a line of JSON tells the
milliseconds and the bytes of all answers since `ask`. The end of standard input ends it.
"""

from __future__ import annotations

import json
import random
import re
import sys
import threading
import time

from page_client import PageClient, PageError

PAUSE = 1000  # milliseconds between an answer and the next question, where the answer names none


class Crowd:
    """Pages that ask all at once, or rest all at once."""

    def __init__(self, url: str, element: str, run: str, count: int) -> None:
        self.url, self.element, self.run = url, element, run
        self.open = threading.Event()
        self.lock = threading.Lock()
        self.milliseconds, self.sizes, self.troubles = list[float](), list[int](), list[str]()
        first = PageClient(url).open()
        self.component = first.component(element)["id"]
        self.pages = [first, *(PageClient(url).open() for _ in range(count - 1))]
        for page in self.pages:
            threading.Thread(target=self._stay, args=(page,), daemon=True).start()

    def _stay(self, page: PageClient) -> None:
        revision = ""
        while True:
            if not self.open.is_set():
                self.open.wait()
                time.sleep(random.uniform(0, PAUSE / 1000))  # nobody opens pages in the same instant
            began = time.perf_counter()
            try:
                answer, size = page.ask_component(self.component, self.run, revision), page.received
            except (OSError, PageError) as error:
                with self.lock:
                    self.troubles.append(str(error))
                time.sleep(PAUSE / 1000)
                continue
            with self.lock:
                self.milliseconds.append(1000 * (time.perf_counter() - began))
                self.sizes.append(size)
            revision = _named(answer, rb'"revision":"([^"]*)"') or revision
            time.sleep(float(_named(answer, rb'"pause":(\d+)') or PAUSE) / 1000)

    def rest(self) -> dict[str, list]:
        """Have all pages rest; what was measured since they began to ask."""
        self.open.clear()
        with self.lock:
            told = {"milliseconds": self.milliseconds, "sizes": self.sizes, "troubles": self.troubles}
            self.milliseconds, self.sizes, self.troubles = [], [], []
        return told


def _named(answer: bytes, pattern: bytes) -> str:
    found = re.search(pattern, answer)
    return found[1].decode() if found else ""


def main() -> None:
    """Do what standard input says."""
    url, element, run, count = sys.argv[1:]
    crowd = Crowd(url, element, run, int(count))
    print("{}", flush=True)
    for line in sys.stdin:
        if line.strip() == "ask":
            crowd.open.set()
        else:
            print(json.dumps(crowd.rest()), flush=True)


if __name__ == "__main__":
    main()
