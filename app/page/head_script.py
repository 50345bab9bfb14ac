"""What the page runs before Gradio's own scripts. Gradio itself adds scripts only once it has picked a language."""

import json
from pathlib import Path
from typing import Any

from app.texts import LANGUAGES

__all__ = ["HeadScript"]

_FILE = Path(__file__).parent.parent / "static" / "head" / "language.js"
_HEAD = b"<head>"


class HeadScript:
    """ASGI middleware that puts the script at the top of the page."""

    def __init__(self, app: Any) -> None:
        self.app = app
        script = _FILE.read_text().replace("LANGUAGES", json.dumps(LANGUAGES), 1)
        self._tag = f"<script>{script}</script>".encode()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer as the app does; the page itself with the script in it."""
        if not (scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/"):
            await self.app(scope, receive, send)
            return
        started: dict[str, Any] = {}
        body = bytearray()

        async def collect(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                page = bytes(body).replace(_HEAD, _HEAD + self._tag, 1)
                headers = [(name, value) for name, value in started["headers"] if name.lower() != b"content-length"]
                length = (b"content-length", str(len(page)).encode())
                await send({**started, "headers": [*headers, length]})
                await send({**message, "body": page})

        await self.app(scope, receive, collect)
