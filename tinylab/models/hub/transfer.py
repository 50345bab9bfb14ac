"""Models from and to the Hugging Face Hub: pinned to a commit, safetensors and JSON only, one line when it fails."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylab.errors import BadRequest, Failure
from tinylab.files import atomic
from tinylab.models.families import WEIGHTS_FILE
from tinylab.models.hub.reference import PATTERNS, HubReference, check_repo, parse_hub_reference

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["SIZE_LIMIT", "Fetched", "Upload", "fetch", "fetch_pinned", "hub_errors", "push", "upload_of"]


@contextlib.contextmanager
def hub_errors(repo: str, revision: str, *, sending: bool = False) -> Iterator[None]:
    """Turn the errors of a request about `repo` into BadRequest, or Failure where only the network is to blame."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise BadRequest(
            f"{repo} asks for consent: accept its terms on its page, then log in with `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise BadRequest(
            f"the Hub has no model {repo}, or does not show it to you; check the name, or log in with `hf auth login`"
        ) from None
    except errors.RevisionNotFoundError:
        raise BadRequest(f"{repo} has no revision {revision!r}; its page lists commits and tags") from None
    except errors.HfHubHTTPError as error:
        raise _refused(error, repo, sending) from None
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, errors.HTTPError, ConnectionError) as error:
        raise _unreachable(error, repo, sending) from None
    except errors.LocalTokenNotFoundError:
        raise BadRequest("pushing needs a token; log in with `hf auth login`, or set HF_TOKEN") from None
    except errors.HFValidationError as error:
        raise BadRequest(f"{repo}: {_first_line(error)}") from None
    except (BadRequest, Failure):
        raise
    except OSError as error:
        if error.errno is not None:  # the machine's own: a missing folder, say
            raise
        raise Failure(f"the transfer of {repo} broke off: {_first_line(error)}; try again") from None
    except (ValueError, KeyError) as error:  # metadata of a card that the Hub refuses, answers that are no answers
        raise BadRequest(f"the Hub does not take it: {_first_line(error)}") from None


def _refused(error: Any, repo: str, sending: bool) -> BadRequest | Failure:
    status = error.response.status_code if error.response is not None else "nothing"
    if status in (401, 403):
        remedy = "use a token with the right to write there" if sending else "log in with `hf auth login`"
        return BadRequest(f"the Hub denies access to {repo}; {remedy}")
    return Failure(f"the Hub answered {status} for {repo}; try again later")


def _unreachable(error: Exception, repo: str, sending: bool) -> BadRequest | Failure:
    from huggingface_hub import constants

    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else type(error).__name__
    if sending:
        return Failure(f"cannot reach the Hub ({why}); nothing was pushed to {repo}, try again when there is a network")
    return BadRequest(
        f"the Hub cannot be reached ({why}) to look {repo} up; connect, or give a commit of it that was fetched before"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300] or type(error).__name__


SIZE_LIMIT = 16 * 2**30  # bytes of one model; a DiT-XL/2 takes 2.7 GB, as diffusers saves it 3.0 GB
_MOVING = "main"  # the one branch that may be named, and is resolved to its commit
_SENT = (".json", ".safetensors", ".md", ".png", ".jpg", ".webp")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """A model in the local cache.

    Attributes:
        folder: with the files of the model; do not write to it.
        pinned: the reference with the whole commit, which will always mean the same model.
    """

    folder: Path
    pinned: HubReference


def fetch(reference: str, **options: Any) -> Path:
    """The local folder of `hub:ORG/NAME@REVISION`, see `fetch_pinned`."""
    return fetch_pinned(reference, **options).folder


def fetch_pinned(
    reference: str,
    *,
    limit: int = SIZE_LIMIT,
    token: str | None = None,
    endpoint: str | None = None,
    cache: Path | None = None,
) -> Fetched:
    """Download a model into huggingface_hub's cache, unless it is there; a commit then needs no network.

    Only JSON and safetensors are downloaded, never pickles, never code.

    Args:
        limit: bytes that a model may have.
        token: of the Hub; the one that `hf auth login` saved by default.
        endpoint, cache: other places than huggingface_hub's own.

    Raises:
        BadRequest: a bad or moving reference, not there, not for us, too large, or the Hub cannot be reached.
        Failure: the disk is full.
    """
    wanted = parse_hub_reference(reference)
    options: dict[str, Any] = {
        "cache_dir": cache,
        "token": token,
        "endpoint": endpoint,
        "allow_patterns": list(PATTERNS),
    }
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    known = _cached_commit(wanted, cache)
    with contextlib.suppress(LocalEntryNotFoundError):
        if known:
            folder = snapshot_download(wanted.repo, revision=known, local_files_only=True, **options)
            return Fetched(Path(folder), HubReference(wanted.repo, known))
    with hub_errors(wanted.repo, wanted.revision), atomic.disk_errors("free some space in the cache of the Hub"):
        commit, sizes = _look_up(HfApi(endpoint=endpoint, token=token), wanted)
        pinned = HubReference(wanted.repo, commit)
        _check_files(wanted, sizes, limit, cache)
        folder = snapshot_download(wanted.repo, revision=commit, **options)
    if wanted.revision == _MOVING:
        _log.warning("%s is %s today; name that to get the same model again", wanted, pinned)
    return Fetched(Path(folder), pinned)


def _cached_commit(wanted: HubReference, cache: Path | None) -> str | None:
    """The whole commit of a reference that is pinned to one, if the cache knows it."""
    if not wanted.is_commit:
        return None
    snapshots = _cache_folder(cache) / f"models--{wanted.repo.replace('/', '--')}" / "snapshots"
    found = [folder.name for folder in snapshots.glob(f"{wanted.revision}*")]
    return found[0] if len(found) == 1 else None


def _look_up(api: HfApi, wanted: HubReference) -> tuple[str, dict[str, int | None]]:
    """The commit of a reference, and the size of every file in it."""
    info = api.model_info(wanted.repo, revision=wanted.revision, files_metadata=True)
    commit = info.sha or ""
    fixed = wanted.is_commit and commit.startswith(wanted.revision)
    if not fixed and wanted.revision != _MOVING:
        if wanted.revision not in {tag.name for tag in api.list_repo_refs(wanted.repo).tags}:
            raise BadRequest(f"{wanted} is a branch, which moves; pin it as {HubReference(wanted.repo, commit)}")
    return commit, {file.rfilename: file.size for file in info.siblings or ()}


def _check_files(wanted: HubReference, sizes: dict[str, int | None], limit: int, cache: Path | None) -> None:
    """What would be downloaded must be a model, no larger than allowed, and fit on the disk."""
    chosen = {name: size for name, size in sizes.items() if any(fnmatchcase(name, pattern) for pattern in PATTERNS)}
    if not {"config.json", "model_index.json"} & chosen.keys():
        raise BadRequest(f"{wanted} holds no model that Tinylab reads: config.json or model_index.json is needed")
    if not any(name.endswith(".safetensors") for name in chosen):
        pickled = any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in sizes)
        why = "its weights are pickles, which could run anything" if pickled else f"{WEIGHTS_FILE} is missing"
        raise BadRequest(f"{wanted} cannot be read: {why}; look for a copy of it as safetensors")
    total = sum(size or 0 for size in chosen.values())
    if None in chosen.values():
        raise BadRequest(f"{wanted}: the Hub does not tell how large its files are; try again later")
    if total > limit:
        raise BadRequest(f"{wanted} has {_gigabytes(total)}, more than {_gigabytes(limit)}; take a smaller model")
    free = _free_space(cache)
    if total > free:
        raise Failure(f"{wanted} has {_gigabytes(total)}, the disk {_gigabytes(free)} left; free some space")


def _cache_folder(cache: Path | None) -> Path:
    from huggingface_hub import constants

    return Path(cache or constants.HF_HUB_CACHE).absolute()


def _free_space(cache: Path | None) -> int:
    place = _cache_folder(cache)
    return shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.exists())).free


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"


@dataclass(frozen=True)
class Upload:
    """What would be sent to the Hub.

    Attributes:
        files: name in the repository -> file here.
        card: the model card, Markdown.
    """

    files: dict[str, Path]
    card: str

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by name."""
        return {name: file.stat().st_size for name, file in self.files.items()}


def upload_of(folder: Path) -> Upload:
    """The files of a model folder that belong on the Hub: config, weights, card, pictures; no links, nothing hidden.

    Raises:
        BadRequest: no model, or no card that says what it is.
    """
    found = sorted(file for file in folder.rglob("*") if file.suffix in _SENT and file.is_file())
    files = {file.relative_to(folder).as_posix(): file for file in found if not _is_odd(file, folder)}
    if not any(name.endswith(".safetensors") for name in files):
        raise BadRequest(f"{folder} holds no model to push; give a model folder or a run that has saved one")
    if "README.md" not in files:
        raise BadRequest(f"{folder} has no model card; write a README.md there that says what the model is")
    return Upload(files, files["README.md"].read_text())


def _is_odd(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    return file.is_symlink() or any(part.startswith(".") for part in parts)


def push(
    folder: Path,
    repo: str,
    *,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
    endpoint: str | None = None,
) -> HubReference:
    """Send a model folder to the Hub as one commit; the reference that will always mean this model.

    Args:
        repo: `ORG/NAME`; made if it is not there. One that is there keeps its visibility.
        token: of the Hub with the right to write; the one that `hf auth login` saved by default.
        revision: branch to commit to, made if it is not there.

    Raises:
        BadRequest: no model, a bad name, or no right to write there.
        Failure: the Hub cannot be reached.
    """
    check_repo(repo)
    upload = upload_of(folder)
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(endpoint=endpoint, token=token)
    with hub_errors(repo, revision or _MOVING, sending=True):
        api.create_repo(repo, private=private or None, exist_ok=True)
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        operations = [CommitOperationAdd(name, str(file)) for name, file in upload.files.items()]
        done = api.create_commit(repo, operations, commit_message="Upload from Tinylab", revision=revision)
    return HubReference(repo, done.oid)
