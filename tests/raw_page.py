"""Somebody who talks to the app without its page: any request that a browser could send, and any that it would not."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx

__all__ = ["RawPage"]

_PATIENCE = 120.0  # seconds; two busy cores are slow


class RawPage:
    """One visitor with a cookie jar of its own. Opening the page is what gives it the cookie."""

    def __init__(self, url: str, *, opens: bool = True) -> None:
        self.client = httpx.Client(base_url=url, timeout=_PATIENCE)
        self.session = uuid.uuid4().hex
        if opens:
            self.client.get("/")
        self.config = self.client.get("/config").json()
        self._ids = {component["props"].get("elem_id"): component["id"] for component in self.config["components"]}

    def ask(self, kind: str, question: Any, function: str = "ask") -> Any:
        """What a panel's server function answers."""
        return self.serve(f"{kind}-live", question, function)

    def serve(self, elem_id: str, data: Any, function: str) -> Any:
        """What a server function of a component answers."""
        body = {"data": data, "fn_name": function, "component_id": self._ids[elem_id], "session_hash": self.session}
        answer = self.client.post("/gradio_api/component_server", json=body)
        return answer.json() if answer.status_code == 200 else {"status": answer.status_code}

    def dependency(self, elem_id: str, event: str, place: int = 0) -> dict[str, Any]:
        """What happens on an event of a component, the `place`-th of several things."""
        target = [self._ids[elem_id], event]
        found = [one for one in self.config["dependencies"] if target in one["targets"] and one["backend_fn"]]
        return found[place]

    def after(self, dependency: dict[str, Any]) -> dict[str, Any]:
        """What the app does once it is done with something else."""
        return next(one for one in self.config["dependencies"] if one["trigger_after"] == dependency["id"])

    def inputs(self, dependency: dict[str, Any], **values: Any) -> list[Any]:
        """The data of an event: the values that the page began with, others where they are given by element id."""
        began = {component["id"]: component["props"].get("value") for component in self.config["components"]}
        given = {self._ids[name.replace("_", "-")]: value for name, value in values.items()}
        return [given.get(place, began.get(place)) for place in dependency["inputs"]]

    def fire(self, dependency: dict[str, Any], data: list[Any]) -> dict[str, Any]:
        """Have an event handled, and wait for its outcome."""
        session = uuid.uuid4().hex
        body = {"data": data, "fn_index": dependency["id"], "session_hash": session}
        self.client.post("/gradio_api/queue/join", json=body).raise_for_status()
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as lines:
            for line in lines.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    return message
        raise AssertionError("the app closed the line without an answer")
