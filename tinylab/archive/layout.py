"""Which files of a run an archive holds, and what each has to be: `pack` leaves out all others, `unpack` refuses them.

Locks, owners, event files of trackers and what was only half written are of no use elsewhere. Single pictures of an
evaluation are left out, too: its npz holds the same ones.
"""

import re
from dataclasses import dataclass

__all__ = ["LOG_TAIL", "METRICS", "Rule", "rule_of", "safe_run_id"]

METRICS = "metrics.db"
LOG_TAIL = 16 * 2**20  # bytes of a log, the last ones, that go along
_KB, _MB, _GB = 2**10, 2**20, 2**30
_NAME = r"[A-Za-z0-9_][\w.+=-]{0,99}"


@dataclass(frozen=True)
class Rule:
    """A kind of file.

    Attributes:
        form: what it must turn out to be, a name in `tinylab.archive.archive_checks`.
        largest: bytes.
        checkpoint: whether it is of use only where a job goes on.
    """

    form: str
    largest: int
    checkpoint: bool = False


# The first pattern that fits the whole name counts.
_RULES: tuple[tuple[str, Rule], ...] = (
    (r"config\.json", Rule("config", _MB)),
    (r"status\.json", Rule("status", 64 * _KB)),
    (r"about\.json", Rule("about", 64 * _KB)),
    (r"origin\.json", Rule("object", _MB)),
    (r"plan\.json", Rule("plan", 4 * _MB)),
    (r"log\.txt", Rule("bytes", LOG_TAIL)),
    (re.escape(METRICS), Rule("metrics", 4 * _GB)),
    (r"artifacts/result\.json", Rule("object", 8 * _MB)),
    (rf"artifacts/(snapshots/)?{_NAME}\.json", Rule("json", 64 * _MB)),
    (rf"artifacts/(snapshots/)?{_NAME}\.png", Rule("png", 64 * _MB)),
    (rf"artifacts/{_NAME}\.csv", Rule("text", 256 * _MB)),
    (rf"artifacts/{_NAME}\.npz", Rule("npz", 64 * _GB)),
    (r"models/\d{1,4}/plan\.json", Rule("plan", 4 * _MB)),
    (rf"(model|models/\d{{1,4}})/({_NAME}/)?{_NAME}\.json", Rule("json", 64 * _MB)),
    (rf"(model|models/\d{{1,4}})/({_NAME}/)?{_NAME}\.safetensors", Rule("tensors", 64 * _GB)),
    (rf"(model|models/\d{{1,4}})/{_NAME}\.png", Rule("png", 64 * _MB)),
    (rf"(model|models/\d{{1,4}})/{_NAME}\.(md|txt)", Rule("text", _MB)),
    (r"latents/index\.json", Rule("object", 64 * _MB)),
    (r"latents/shard-\d{5,9}\.safetensors", Rule("tensors", 64 * _GB)),
    (rf"checkpoints/({_NAME}/){{0,4}}{_NAME}\.json", Rule("json", 64 * _MB, checkpoint=True)),
    (rf"checkpoints/({_NAME}/){{0,4}}{_NAME}\.safetensors", Rule("tensors", 64 * _GB, checkpoint=True)),
    (rf"checkpoints/({_NAME}/){{0,4}}{_NAME}\.npz", Rule("npz", 4 * _GB, checkpoint=True)),
)
_COMPILED = tuple((re.compile(pattern, re.ASCII), rule) for pattern, rule in _RULES)


def rule_of(name: str) -> Rule | None:
    """The rule for a file by its place in the run folder, with slashes; None if it does not belong in an archive."""
    return next((rule for pattern, rule in _COMPILED if pattern.fullmatch(name)), None)


def safe_run_id(text: str) -> str:
    """`text` where it can be the name of a run folder on any machine, else ""."""
    return text if re.fullmatch(r"[A-Za-z0-9]([\w.-]{0,98}[\w-])?", text, re.ASCII) else ""
