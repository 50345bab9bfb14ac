"""Record the data of the lessons: `python -m app.lessons.recording.record`. Stopped, it goes on where it was."""

import argparse
import time
from pathlib import Path

import torch

from app.lessons.recorded import lessons_folder
from app.lessons.recording.record_choices import record_choices
from app.lessons.recording.record_hidden import record_hidden
from app.lessons.recording.record_subsets import record_subsets

_PARTS = {"subsets": record_subsets, "choices": record_choices, "hidden": record_hidden}


def main() -> None:
    """Record everything, or the parts that are named."""
    parser = argparse.ArgumentParser(prog="python -m app.lessons.recording.record", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(_PARTS)}; all if none is named")
    parser.add_argument("--work", type=Path, default=Path("runs/lessons"), help="where half-done work is kept")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    unknown = [part for part in given.parts if part not in _PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]}: there are {', '.join(_PARTS)}")
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    lessons_folder().mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - started:7.0f} s  {words}", flush=True)

    for part in given.parts or _PARTS:
        _PARTS[part](lessons_folder(), given.work, say)
        say(f"{part}: done")


if __name__ == "__main__":
    main()
