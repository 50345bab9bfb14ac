"""Uploaded checkpoints: safetensors alone, converted once, refused in one line that does not tell where they lay."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from app.access.uploads import convert_upload
from app.access.visitors import HOME
from app.tabs.load import upload
from tinylab.errors import BadRequest
from tinylab.models.catalog import describe_model
from tinylab.models.published.published_export import export_published


@pytest.fixture
def checkpoint(build_tiny: Callable[..., Any], tmp_path: Path) -> Path:
    """A published-layout file of a tiny DiT, with a name that no folder should have."""
    path = tmp_path / "my ..;<b> DiT.safetensors"
    export_published(build_tiny("dit"), path)
    return path


def test_upload_becomes_a_model_folder_below_the_runs_once(checkpoint: Path, runs: Path) -> None:
    folder, _ = convert_upload(checkpoint, HOME)
    assert Path(folder).parent == runs / ".uploads"
    assert Path(folder).name.startswith("my-..-b-DiT-")
    assert describe_model(folder).depth == {"blocks": 4}
    made = (Path(folder) / "config.json").stat().st_mtime_ns
    assert convert_upload(checkpoint, HOME)[0] == folder
    assert (Path(folder) / "config.json").stat().st_mtime_ns == made


def test_tab_loads_what_was_uploaded(checkpoint: Path) -> None:
    message, model = upload(str(checkpoint), gr.Request())
    assert "Loaded" in message.value and "tl-done" in message.value
    assert describe_model(model).family.name == "dit"


def test_pickles_are_refused_unread(tmp_path: Path, runs: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({}))
    with pytest.raises(BadRequest, match=r"only \.safetensors files"):
        convert_upload(path, HOME)
    assert not runs.exists()


@pytest.mark.parametrize("content", [b"", b"junk" * 100, b"\xff" * 8])
def test_damaged_files_are_refused_in_one_line_without_their_place(content: bytes, tmp_path: Path, runs: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadRequest, match=r"^bad\.safetensors is truncated") as refused:
        convert_upload(path, HOME)
    assert "\n" not in str(refused.value) and str(tmp_path) not in str(refused.value)
    assert not list((runs / ".uploads").glob("*"))


def test_nothing_uploaded_changes_nothing() -> None:
    assert all(update["__type__"] == "update" and len(update) == 1 for update in upload(None, gr.Request()))
