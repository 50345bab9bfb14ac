"""What huggingface_hub raises, as one line that names the mend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tinylab.errors import BadRequest, Failure

__all__ = ["hub_errors"]


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
        mend = "use a token with the right to write there" if sending else "log in with `hf auth login`"
        return BadRequest(f"the Hub denies access to {repo}; {mend}")
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
