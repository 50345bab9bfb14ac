"""Checkpoints that people upload: safetensors alone, read by a process of their own, kept as model folders.

What was uploaded lies in a folder for temporary files until it is read; in public it may not fill the disk there.

Gradio also fetches addresses that a request names: `/gradio_api/file=https://…`, and files of uploads that are given by
an address. Nothing here needs that, and a lab must not be made to fetch things for strangers.
"""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import safehttpx
from gradio.utils import get_upload_folder
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from app.access.quota import check_space
from app.access.references import uploads_folder
from app.access.settings import lab_settings
from app.access.visitors import Visitor, visitor_of
from tinylab.errors import BadRequest
from tinylab.processes import module_command, module_environment
from tinylab.runs.disk import folder_bytes

__all__ = ["UploadGate", "convert_upload", "fetch_nothing", "largest_upload"]

_LARGEST = 4 * 2**30  # bytes; a DiT-XL/2 takes 2.7 GB
_PATIENCE = 600  # seconds; a DiT-XL/2 takes one minute
_ENDING = ".safetensors"
_AT_ONCE = 2  # uploads of the largest size that may lie there unread
_ADDRESS = "/gradio_api/upload"


def largest_upload() -> int:
    """Bytes of the largest file that is taken."""
    return lab_settings().limits.upload * 2**20 if lab_settings().public else _LARGEST


def convert_upload(file: Path, visitor: Visitor) -> tuple[str, list[str]]:
    """Make a model folder of an uploaded published checkpoint; its path, and what was assumed about it.

    The same file is converted once.

    Raises:
        BadRequest: not a safetensors file, damaged, or no model that is known.
    """
    if file.suffix.lower() != _ENDING:
        raise BadRequest(f"only {_ENDING} files can be uploaded; `tinylab convert` reads a .pt on your own machine")
    folder = uploads_folder(visitor) / f"{_plain(file.stem)}-{_digest(file)[:12]}"
    if folder.is_dir():
        return str(folder), []
    check_space(visitor, upload=file.stat().st_size)
    command = module_command("tinylab", "convert", str(file), "--out", str(folder), "--json")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, env=module_environment())
    except subprocess.TimeoutExpired:
        raise BadRequest(f"{file.name} takes too long to read; convert it with `tinylab convert`") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["it cannot be read"]
        raise BadRequest(said[0].removeprefix("tinylab: ").replace(str(file), file.name))
    return str(folder), json.loads(done.stdout).get("notes", [])


def fetch_nothing() -> None:
    """From now on Gradio refuses addresses before it looks up where they lead."""
    # Gradio calls both by way of their module: every request of a page's that leads elsewhere goes through one of them.
    safehttpx.get = safehttpx.async_validate_url = _refuse


async def _refuse(*_: Any, **__: Any) -> Any:
    raise ValueError("this lab fetches nothing from other machines; upload the file itself")


class UploadGate:
    """ASGI middleware of a public lab: takes no uploads from those without a cookie, nor more than can be read."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer as the app does, but for an upload that is refused."""
        problem = ""
        if scope["type"] == "http" and scope["path"].rstrip("/") == _ADDRESS and lab_settings().public:
            problem = await run_in_threadpool(_refusal, visitor_of(Request(scope)))
        await (PlainTextResponse(problem, status_code=503) if problem else self.app)(scope, receive, send)


def _refusal(visitor: Visitor) -> str:
    """Why somebody may not upload anything now, "" if they may."""
    if not visitor.known:
        return "This browser keeps no cookie for the lab: allow it one, and reload the page.\n"
    if folder_bytes(Path(get_upload_folder())) > _AT_ONCE * largest_upload():
        return "Many files are being uploaded: try again in a few minutes.\n"
    return ""


def _plain(name: str) -> str:
    """A name that is safe in a path."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip(".-")[:60] or "model"


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
