"""Who asks, and what they may see and change.

At home there is one visitor, who may do everything. In public each browser is a visitor of its own, known by a cookie,
and each name of a login is one, in any browser. A visitor sees its own runs, those whose link it was given, and the
recorded ones; it stops, resumes, renames and deletes its own alone. Requests are made by anybody with anything in
them: every handler asks here, whatever the page offers.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any

from app.access.settings import lab_settings
from tinylab.errors import BadRequest
from tinylab.paths import runs_folder
from tinylab.runs.owner import owner_of, readers_of
from tinylab.runs.recordings import is_recording, recording
from tinylab.runs.run import Run
from tinylab.runs.store import list_runs

__all__ = ["COOKIE", "HOME", "UNREADABLE", "Visitor", "VisitorCookie", "known_run", "user_of", "visitor_of"]

COOKIE = "tinylab-visitor"
_YEAR = 365 * 24 * 3600  # seconds
_LONGEST = 200  # characters of a cookie that is still read
# What reading a run may raise when its folder is deleted or damaged meanwhile; BadRequest is a ValueError.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, sqlite3.Error)

_UNKNOWN = "that is not the id of a run; pick one from the menu"


def known_run(run_id: Any) -> Run:
    """The run with this id in the runs folder, or the recording.

    Raises:
        BadRequest: it is a path, unknown, or no text at all.
    """
    if not isinstance(run_id, str) or not run_id or run_id.startswith(".") or Path(run_id).name != run_id:
        raise BadRequest(_UNKNOWN)
    try:
        return recording(run_id) or Run.open(runs_folder() / run_id)
    except BadRequest:  # whose words tell where runs lie
        raise BadRequest(_UNKNOWN) from None


@dataclass(frozen=True)
class Visitor:
    """Somebody at a page.

    Attributes:
        name: what runs say of their owner: "" for the one visitor of a lab at home.
        stranger: whether others may not look over its shoulder, nor it over theirs: everybody in public.
    """

    name: str = ""
    stranger: bool = False

    @property
    def known(self) -> bool:
        """Whether it can be told from others, and so can own runs."""
        return not self.stranger or bool(self.name)

    def may_see(self, run: Run) -> bool:
        """Whether the run is its own, recorded, or was shown to it by its owner."""
        if not self.stranger or is_recording(run):
            return True
        return bool(self.name) and (owner_of(run) == self.name or self.name in readers_of(run))

    def may_change(self, run: Run) -> bool:
        """Whether the run is its own to stop, resume, rename and delete."""
        if is_recording(run):
            return False
        if not self.stranger:
            return True
        return bool(self.name) and owner_of(run) == self.name

    def run(self, run_id: Any) -> Run:
        """The run with an id that a browser sent; BadRequest if there is none, or none that the visitor may see."""
        run = known_run(run_id)
        if not self.may_see(run):
            raise BadRequest(_UNKNOWN)  # as for one that is not there
        return run

    def own_run(self, run_id: Any) -> Run:
        """The same, if the visitor may change it, too."""
        run = self.run(run_id)
        if is_recording(run):
            raise BadRequest("this run is a recording: it can be watched, not changed")
        if not self.may_change(run):
            raise BadRequest(f"run {run.id} belongs to somebody else; start one of your own")
        return run

    def runs(self, kind: str | None = None) -> list[Run]:
        """All runs of a kind that the visitor may see, newest first."""
        return [run for run in list_runs(kind) if self.may_see(run)]

    def own_runs(self) -> list[Run]:
        """All runs that the visitor may change, newest first."""
        return [run for run in list_runs() if self.may_change(run)]


HOME = Visitor()


def visitor_of(request: Any) -> Visitor:
    """Who sent a request: a `gr.Request`, or one of Starlette; None is nobody."""
    if not lab_settings().public:
        return HOME
    user = user_of(request)
    if user:
        return Visitor(_name("login", user), stranger=True)
    cookies = _mapping(getattr(request, "cookies", None)) or _parsed(_mapping(getattr(request, "headers", None)))
    secret = cookies.get(COOKIE, "")
    return Visitor(_name("cookie", secret) if 16 <= len(secret) <= _LONGEST else "", stranger=True)


def user_of(request: Any) -> str:
    """The name that somebody has logged in with, "" for none."""
    if not lab_settings().login:
        return ""
    named = getattr(request, "username", None)
    if isinstance(named, str):
        return named
    inner = getattr(request, "request", None) or request
    app = getattr(inner, "app", None)
    tokens, cookie_id = getattr(app, "tokens", {}), getattr(app, "cookie_id", "")
    cookies = _mapping(getattr(request, "cookies", None))
    found = (cookies.get(f"access-token-{unsecure}{cookie_id}") for unsecure in ("", "unsecure-"))
    return next((tokens[token] for token in found if token in tokens), "")


def _name(kind: str, secret: str) -> str:
    """A name that says nothing of the secret behind it."""
    return f"{kind}-{hashlib.sha256(f'{kind}:{secret}'.encode()).hexdigest()[:32]}"


def _mapping(value: Any) -> Mapping[str, str]:
    """A request's cookies or headers, which Gradio may have turned into an object."""
    if value is None:
        return {}
    return value if isinstance(value, Mapping) else dict(value)


def _parsed(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Cookies by name, read from the headers of a request."""
    try:
        return {name: one.value for name, one in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


class VisitorCookie:
    """ASGI middleware that gives every new browser the cookie by which it is known."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer as the app does, with a cookie added for a browser that opens the page without one."""
        opens = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/"
        if not (opens and lab_settings().public) or _sent(scope):
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                cookie = _fresh_cookie(_secure(scope))
                message = {**message, "headers": [*message.get("headers", ()), (b"set-cookie", cookie.encode())]}
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def _headers(scope: Mapping[str, Any]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _sent(scope: Mapping[str, Any]) -> bool:
    return COOKIE in _parsed(_headers(scope))


def _secure(scope: Mapping[str, Any]) -> bool:
    """Whether the browser talks to us over HTTPS, maybe by way of a proxy."""
    return "https" in (scope.get("scheme"), _headers(scope).get("x-forwarded-proto", "").split(",")[0].strip())


def _fresh_cookie(secure: bool) -> str:
    # A Space is shown in a frame of another site: only a partitioned cookie for any site gets there.
    reach = "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"
    return f"{COOKIE}={secrets.token_hex(24)}; Path=/; Max-Age={_YEAR}; HttpOnly; {reach}"
