"""The app asks no other machine for anything, whatever a request names."""

from __future__ import annotations

import socket

import gradio as gr
import httpx
import pytest
import safehttpx
from fastapi.testclient import TestClient
from gradio import processing_utils
from gradio.routes import App

from app.access.uploads import fetch_nothing

ELSEWHERE = "http://127.0.0.1:9/file.zip"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `python -m app` starts, for the length of a test."""
    for name in ("get", "async_validate_url"):
        monkeypatch.setattr(safehttpx, name, getattr(safehttpx, name))
    fetch_nothing()


@pytest.mark.usefixtures("offline")
def test_file_of_another_machine_is_refused_before_anything_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(httpx.AsyncClient, "send", lambda _, request, **__: asked.append(request.url))
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: asked.append(host))
    with gr.Blocks() as page:
        gr.HTML("")
    client = TestClient(App.create_app(page))
    for place in (ELSEWHERE, "http://tinylab-nothing.invalid/x", "https://huggingface.co/x"):
        assert client.get(f"/gradio_api/file={place}").status_code == 403
    assert asked == []


@pytest.mark.usefixtures("offline")
def test_upload_by_address_is_refused(tmp_path: object) -> None:
    with pytest.raises(ValueError, match="fetches nothing from other machines"):
        processing_utils.ssrf_protected_download(ELSEWHERE, str(tmp_path))
