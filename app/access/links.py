"""Links to what a page shows. In public a link carries a key, which only the owner of the run gets to copy."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from typing import Any

import gradio as gr

from app.access.visitors import UNREADABLE, Visitor, known_run, visitor_of
from tinylab.paths import runs_folder
from tinylab.runs.owner import add_reader

__all__ = ["accept_key", "key_of", "link_keeper"]

_SECRET = ".secret"  # in the runs folder, so that links outlive the app


def link_keeper() -> gr.HTML:
    """Nothing to see: where the page's script asks for the key of a run before it copies a link to it."""

    def key(question: Any, request: gr.Request) -> str:
        return key_of(question, visitor_of(request))

    script = "window.tinylab.keyOf = (run) => server.key(run);"
    return gr.HTML(
        html_template="", apply_default_css=False, server_functions=[key], js_on_load=script, elem_id="link-keeper"
    )


def key_of(run_id: Any, visitor: Visitor) -> str:
    """What a link to a run carries so that others may see it; "" where that takes no key, or is not theirs to give."""
    if not visitor.stranger:
        return ""
    try:
        run = visitor.own_run(run_id)
    except UNREADABLE:
        return ""
    return _sign(run.id)


def accept_key(query: Mapping[str, str], visitor: Visitor) -> None:
    """Let the visitor see the run that an address names, from now on, if its key is right."""
    run_id, key = query.get("run", ""), query.get("key", "")
    if not (visitor.stranger and visitor.name and key):
        return
    try:
        run = known_run(run_id)
        if not visitor.may_see(run) and hmac.compare_digest(_sign(run.id), key):
            add_reader(run, visitor.name)
    except UNREADABLE:
        return


def _sign(run_id: str) -> str:
    return hmac.new(_secret(), run_id.encode(), hashlib.sha256).hexdigest()[:40]


def _secret() -> bytes:
    """The secret of this lab; made once, for its user alone."""
    path = runs_folder() / _SECRET
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return path.read_text().encode()
