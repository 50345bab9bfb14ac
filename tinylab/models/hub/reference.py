"""References to models on the Hugging Face Hub: `hub:ORG/NAME@REVISION`. Free of torch and of the network."""

import re
from dataclasses import dataclass
from pathlib import Path

from tinylab.errors import BadRequest
from tinylab.models.families import WEIGHTS_FILE
from tinylab.paths import exists

__all__ = ["PATTERNS", "HubReference", "check_repo", "is_hub_reference", "parse_hub_reference"]

_PREFIX = "hub:"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[\w.][\w./+-]{0,199}", re.ASCII)
_STEM = WEIGHTS_FILE.removesuffix(".safetensors")
_FILES = ("config.json", "tinylab.json", WEIGHTS_FILE, f"{WEIGHTS_FILE}.index.json", f"{_STEM}-*-of-*.safetensors")
# All that is ever downloaded: a model folder's files, and those of a diffusers pipeline's transformer.
PATTERNS = ("model_index.json", *_FILES, *(f"transformer/{name}" for name in _FILES))


@dataclass(frozen=True)
class HubReference:
    """A model on the Hub.

    Attributes:
        repo: `ORG/NAME`.
        revision: commit, tag, or `main`.
    """

    repo: str
    revision: str

    def __str__(self) -> str:
        return f"{_PREFIX}{self.repo}@{self.revision}"

    @property
    def is_commit(self) -> bool:
        """Whether the revision can only be a commit, whole or shortened."""
        return re.fullmatch(r"[0-9a-f]{7,40}", self.revision) is not None


def is_hub_reference(reference: str) -> bool:
    """Whether to look on the Hub: it says `hub:`, or is `ORG/NAME@REVISION` and no file or folder here."""
    if reference.startswith(_PREFIX):
        return True
    repo, at, _ = reference.partition("@")
    return bool(at) and _REPO.fullmatch(repo) is not None and not exists(Path(reference))


def parse_hub_reference(reference: str) -> HubReference:
    """Read `hub:ORG/NAME@REVISION`; BadRequest says how to write it, and how to pin it."""
    repo, at, revision = reference.removeprefix(_PREFIX).partition("@")
    check_repo(repo)
    if not at:
        raise BadRequest(
            f"{_PREFIX}{repo} names no revision, so it could change under you; add @ and a commit or tag, or @main "
            "to be told the commit of today"
        )
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise BadRequest(f"{revision[:80]!r} is no revision; give a commit (7 to 40 hex digits) or a tag after the @")
    return HubReference(repo, revision)


def check_repo(repo: str) -> None:
    """BadRequest unless this can be the name of a repository on the Hub."""
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo or repo.endswith((".git", ".", "-")):
        raise BadRequest(f"{repo[:80]!r} is no name on the Hub; write it as ORG/NAME")
