"""A page of the app without a browser: the requests that Gradio's page and `app/static/live.js` send, and no others.

Standard library alone, so that it runs beside the app at little cost, and under any Python.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

__all__ = ["PageClient", "PageError"]

_HEADERS = {"Accept-Encoding": "gzip", "Connection": "keep-alive"}
_API = "/gradio_api"


class PageError(RuntimeError):
    """The app answered something that a page cannot use."""


class PageClient:
    """One open page: its own session, cookies and connection, as a browser has them."""

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)
        self._origin = f"{address.scheme}://{address.netloc}"
        self._cookies: dict[str, str] = {}
        self.session = secrets.token_hex(6)
        self.config: dict[str, Any] = {}
        self.received = 0  # bytes of the last answer, as they came

    def open(self, query: str = "") -> PageClient:
        """Load the page and what it is made of."""
        self._request("GET", f"/{query}")
        self.config = json.loads(self._request("GET", "/config"))
        return self

    def close(self) -> None:
        """Leave the page."""
        self._connection.close()

    def component(self, elem_id: str) -> dict[str, Any]:
        """The component with that id, as Gradio describes it."""
        for component in self.config["components"]:
            if component.get("props", {}).get("elem_id") == elem_id:
                return component
        raise PageError(f"the page has no {elem_id}")

    def press(self, elem_id: str, **given: Any) -> list[Any]:
        """Click a button with these values (by element id, `_` for `-`) in its fields, others as the page has them.

        Returns:
            What the handler answered.
        """
        button = self.component(elem_id)["id"]
        handlers = [one for one in self.config["dependencies"] if [button, "click"] in one["targets"]]
        handler = next(one for one in handlers if one["backend_fn"])
        by_id = {component["id"]: component for component in self.config["components"]}
        wanted = {self.component(name.replace("_", "-"))["id"]: value for name, value in given.items()}
        data = [wanted.get(each, by_id[each].get("props", {}).get("value")) for each in handler["inputs"]]
        event = {"data": data, "event_data": None, "fn_index": handler["id"], "trigger_id": button}
        self._post("/queue/join", event)
        return self._answer_of_queue()

    def ask(self, elem_id: str, run: str, revision: str = "") -> bytes:
        """What `live.js` asks of a live panel; the answer as it comes, unpacked."""
        return self.ask_component(self.component(elem_id)["id"], run, revision)

    def ask_component(self, component: int, run: str, revision: str = "") -> bytes:
        """The same for a panel whose number is known."""
        data = {"run": run, "revision": revision, "other": "", "page": self.session}
        return self._post("/component_server/", {"data": data, "component_id": component, "fn_name": "ask"})

    def wait_for_state(self, elem_id: str, run: str, *states: str, seconds: float = 300.0) -> str:
        """Ask once a second until the run is in one of these states; the state."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            answer = json.loads(self.ask(elem_id, run))
            if answer.get("state") in states:
                return answer["state"]
            time.sleep(1)
        raise PageError(f"run {run} was not {' or '.join(states)} within {seconds:.0f} s; last answer: {answer}")

    def _answer_of_queue(self) -> list[Any]:
        for line in self._request("GET", f"{_API}/queue/data?session_hash={self.session}").splitlines():
            if not line.startswith(b"data:"):
                continue
            message = json.loads(line[5:])
            if message["msg"] == "process_completed":
                if not message["success"]:
                    raise PageError(f"the handler failed: {message['output']}")
                return message["output"]["data"]
        raise PageError("the queue ended without an answer")

    def _post(self, path: str, content: dict[str, Any]) -> bytes:
        body = json.dumps({**content, "session_hash": self.session}).encode()
        return self._request("POST", f"{_API}{path}", body)

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {**_HEADERS, "Origin": self._origin}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):  # kept open for too long
            self._connection.close()
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
        content = response.read()
        self.received = len(content)
        if response.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        for cookie in response.headers.get_all("Set-Cookie") or ():
            if found := re.match(r"([^=;]+)=([^;]*)", cookie):
                self._cookies[found[1]] = found[2]
        if response.status >= 400:
            raise PageError(f"{method} {path.split('?')[0]}: {response.status} {content[:300]!r}")
        return content
