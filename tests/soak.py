"""Kill jobs at random moments, resume them, and hold the ends against those of jobs that nobody killed.

    make soak                                  at least 50 kills; the report goes to build/soak.md
    python tests/soak.py --kills 200 --seed 3  more of them, others
    python tests/soak.py --every finetune      one kill at each single thing that this job asks of the disk

The exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from killed_jobs import FINETUNE, SHORT, Ending, Moment, resume_command, run_job, save_tiny
from run_contents import checkpoints_of, differences, leftovers

_LENGTH = ("--steps", "8", "--snapshot-every", "4", *SHORT)
JOBS: dict[str, tuple[str, ...]] = {
    "finetune": (*FINETUNE, *_LENGTH),
    "search, LoRA": ("search", "--weights", "lora", "--skip", "exact", "--steps", "8", *SHORT),
    "search, two seeds": ("search", "--seeds", "0-1", "--weights", "full", "--skip", "dense", "--steps", "4", *SHORT),
    "search, REINFORCE": ("search", "--estimator", "reinforce", "--skip", "exact", "--steps", "8", *SHORT),
    "train": ("train", "--preset", "digits-reader", "--steps", "8", *SHORT),
}
OTHERS: dict[str, tuple[str, ...]] = {  # by --also
    "finetune, masked-kd": (*FINETUNE, "--loss", "masked-kd", *_LENGTH),
    "finetune, warm start": (*FINETUNE, "--warm-start", "align", "--warm-steps", "4", *_LENGTH),
}
_TIMES = 0.25, 0.5  # share of the kills: at any time; a moment after something was asked for in a save
_SPREAD = 0.02  # seconds that such a moment may be late
_DAMAGED = 0.25  # share of the kills after which the newest checkpoint is damaged, where there is an older one
_LONGEST = 8  # kills of one run
_PHASES = {  # what was under way, by the last event before the kill
    "a checkpoint being saved": r" checkpoints",
    "metrics being written": r"^sql",
    "the status being written": r"\.?status\.json",
    "results being written": r" (\.?model|\.?plan\.json|artifacts|\.$)",
}
_ELSE = "computing or loading"
_OVER = ("replace", "rmdir", "sql commit")  # after these a later kill finds nothing more under way


@dataclass(frozen=True)
class Kill:
    """One kill: of which job, before what (or how long after what), and what lay in checkpoints/ then."""

    job: str
    moment: str
    phase: str
    checkpoints: str
    damage: str = ""


@dataclass
class Soak:
    """A series of kills in a folder, and what came of it."""

    home: Path
    jobs: dict[str, tuple[str, ...]]
    chance: random.Random
    kills: list[Kill] = field(default_factory=list)
    runs: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    heard: dict[str, tuple[list[str], float]] = field(default_factory=dict)  # events of a whole job, its seconds

    def begin(self) -> None:
        """Make the model and the runs that nobody kills."""
        save_tiny(self.home / "tiny")
        for job in self.jobs:
            folder = self._reference(job)
            run_job(self._command(job, folder), folder)  # warms up what a first run of a machine reads from disk
            shutil.rmtree(folder, ignore_errors=True)
            began = time.monotonic()
            ending = run_job(self._command(job, folder), folder)
            if ending.code:
                raise SystemExit(f"{job} fails where nobody kills it: {ending.said[-1]}")
            self.heard[job] = ending.events, time.monotonic() - began
            print(f"{job}: {len(ending.events)} events, {self.heard[job][1]:.1f} s", flush=True)

    def kill_one_run(self, job: str, moments: list[Moment] | None = None) -> None:
        """One run, killed again and again (at `moments`, if given), up to its end."""
        folder = self.home / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        for number in range(_LONGEST):
            moment = self._moment(job) if moments is None else moments[number] if number < len(moments) else None
            ending = run_job(self._next_command(job, folder), folder, moment)
            if not ending.killed:
                break
            self._note(job, folder, moment or Moment(""), ending)
        else:
            ending = run_job(self._next_command(job, folder), folder)
        self.runs[job] += 1
        problems = differences(folder, self._reference(job)) + leftovers(folder) if not ending.code else ending.said
        self.wrong += [f"{job}, run {self.runs[job]}: {problem}" for problem in problems]
        print(f"{job}: run {self.runs[job]} ended, {len(problems)} differences", *problems[:5], sep="\n  ", flush=True)

    def _note(self, job: str, folder: Path, moment: Moment, ending: Ending) -> None:
        last = ending.events[-1]
        when = f"in place of: {last}" if moment.delay is None else f"{moment.delay * 1000:.0f} ms late, in: {last}"
        phase = next((name for name, found in _PHASES.items() if re.search(found, last)), _ELSE)
        if moment.delay is not None and last.startswith(_OVER):
            phase = _ELSE
        lay = " ".join(re.sub(r"step-0*", "", name) for name in checkpoints_of(folder)) or "none"
        self.kills.append(Kill(job, when, phase, lay, self._damage(folder)))
        print(f"{len(self.kills):4} {job}: killed {when}; checkpoints: {lay} {self.kills[-1].damage}", flush=True)

    def _moment(self, job: str) -> Moment:
        """Anywhere between start and end; or at, or soon after, one of the things that the job asks of the disk."""
        events, seconds = self.heard[job]
        drawn = self.chance.random()
        if drawn < _TIMES[0]:
            return Moment("^start$", delay=self.chance.uniform(0, seconds))
        if drawn < _TIMES[1]:
            saves = [i for i, event in enumerate(events) if " checkpoints/" in event]
            return at(events, self.chance.choice(saves), self.chance.uniform(0, _SPREAD))
        return at(events, self.chance.randrange(1, len(events)))

    def _damage(self, folder: Path) -> str:
        """Sometimes flip a bit of the newest checkpoint, or cut it off, if there is an older one to fall back to."""
        newest = max(folder.glob("checkpoints/**/step-*/"), key=lambda path: path.stat().st_mtime, default=None)
        spare = [path for path in newest.parent.glob("step-*/") if path != newest and sound(path)] if newest else []
        if newest is None or not spare or self.chance.random() > _DAMAGED:
            return ""
        file = self.chance.choice([path for path in sorted(newest.iterdir()) if path.is_file()] or [None])
        if file is None or not file.stat().st_size:
            return ""
        data, at_byte = bytearray(file.read_bytes()), self.chance.randrange(file.stat().st_size)
        if self.chance.random() < 0.5:
            file.write_bytes(data[:at_byte])
            return f"{newest.name}/{file.name} cut off"
        data[at_byte] ^= 1 << self.chance.randrange(8)
        file.write_bytes(data)
        return f"{newest.name}/{file.name}: a bit flipped"

    def _reference(self, job: str) -> Path:
        return self.home / re.sub(r"\W+", "-", job)

    def _command(self, job: str, folder: Path) -> list[str]:
        model = () if self.jobs[job][0] == "train" else ("--model", str(self.home / "tiny"))
        return [*self.jobs[job], *model, "--out", str(folder)]

    def _next_command(self, job: str, folder: Path) -> list[str]:
        """Resume what is a run; begin again what was killed while its folder was made, as the command line says."""
        if (folder / "config.json").exists():
            return resume_command(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return self._command(job, folder)


def at(events: list[str], index: int, delay: float | None = None) -> Moment:
    """The moment of one event of many."""
    event = events[index]
    return Moment(f"^{re.escape(event)}$", events[: index + 1].count(event), delay)


def sound(checkpoint: Path) -> bool:
    """Whether the tensors are those that the manifest names; a checkpoint may have been half-removed when killed."""
    manifest, tensors = checkpoint / "MANIFEST.json", checkpoint / "state.safetensors"
    if not (manifest.is_file() and tensors.is_file()):
        return False
    return json.loads(manifest.read_text())["sha256"] == sha256(tensors.read_bytes()).hexdigest()


def report(soak: Soak, command: str, seconds: float) -> str:
    """All kills and their sums, in Markdown."""
    damaged = sum(bool(kill.damage) for kill in soak.kills)
    phases, jobs = (Counter(getattr(kill, name) for kill in soak.kills) for name in ("phase", "job"))
    lines = [
        "# Killed and resumed",
        "",
        f"`{command}`: {len(soak.kills)} kills in {sum(soak.runs.values())} runs, {damaged} times the newest "
        f"checkpoint was damaged after the kill, {len(soak.wrong)} differences from runs that nobody killed, "
        f"{seconds / 60:.1f} minutes.",
        "",
        *table(("job", "runs", "kills"), [(job, soak.runs[job], jobs[job]) for job in soak.jobs]),
        "",
        *table(("under way", "kills"), phases.most_common()),
        "",
        *[f"- {problem}" for problem in soak.wrong],
        *table(
            ("", "job", "killed", "checkpoints then", "damage"),
            [(n, k.job, k.moment, k.checkpoints, k.damage) for n, k in enumerate(soak.kills, 1)],
        ),
    ]
    return "\n".join(lines) + "\n"


def table(names: tuple[str, ...], rows: list[tuple[object, ...]]) -> list[str]:
    """Rows of a Markdown table."""
    return ["| " + " | ".join(map(str, row)) + " |" for row in [names, ("---",) * len(names), *rows]]


def main() -> int:
    """Kill, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", metavar="N", type=int, default=50, help="at least so many (default: 50)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--every", metavar="JOB", choices=[*JOBS, *OTHERS], help="a kill at each event of this job")
    parser.add_argument("--also", action="store_true", help="also fine-tuning with a teacher and with a warm start")
    parser.add_argument("--report", metavar="FILE", type=Path, default=Path("build/soak.md"), help="the report")
    options = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    everything = JOBS | OTHERS
    jobs = {options.every: everything[options.every]} if options.every else everything if options.also else JOBS
    began = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="tinylab-soak-"))
    try:
        soak = Soak(home, jobs, random.Random(options.seed))
        soak.begin()
        if options.every:
            events = soak.heard[options.every][0]
            for index in range(1, len(events)):
                soak.kill_one_run(options.every, [at(events, index)])
        while not options.every and len(soak.kills) < options.kills:
            soak.kill_one_run(list(jobs)[sum(soak.runs.values()) % len(jobs)])
    finally:
        shutil.rmtree(home, ignore_errors=True)
    command = " ".join(["python", "tests/soak.py", *sys.argv[1:]])
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(report(soak, command, time.monotonic() - began))
    print(f"{len(soak.kills)} kills, {len(soak.wrong)} differences; see {options.report}")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
