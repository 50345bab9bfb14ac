"""What `.ci/dockerfile` understands of the Dockerfile and of .dockerignore. That it works, that script itself shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".ci"))

from image.building import Image  # noqa: E402
from image.reading import CannotDo, commands, context_files, ignored, parse, words  # noqa: E402

DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """An image of a folder with two files, one of which is kept out."""
    source, root = tmp_path / "source", tmp_path / "root"
    for folder in (source / "part", root):
        folder.mkdir(parents=True)
    (source / "part/a.txt").write_text("a")
    (source / "secret.txt").write_text("s")
    (source / ".dockerignore").write_text("secret.txt\n.*\n")
    subprocess.run(["git", "init", "-q", str(source)], check=True)
    return Image(source, root)


def do(image: Image, text: str) -> None:
    for instruction in parse(text):
        image.do(instruction)


def test_every_instruction_of_the_dockerfile_is_known() -> None:
    names = [instruction.name for instruction in parse(DOCKERFILE)]
    assert names[0] == "FROM"
    assert {"RUN", "ENV", "COPY", "USER", "EXPOSE", "ENTRYPOINT", "CMD"} <= set(names)


def test_lines_that_go_on_are_one_instruction() -> None:
    (run,) = parse("# a comment\nRUN one \\\n    && two\n")
    assert (run.rest, run.line) == ("one && two", 2)
    assert commands(run.rest) == [["one"], ["two"]]


def test_flags_stand_apart() -> None:
    (copy,) = parse("COPY --chown=user a b")
    assert (copy.flags, copy.rest) == ({"chown": "user"}, "a b")


@pytest.mark.parametrize(
    ("text", "word"),
    [("VOLUME /data", "VOLUME"), ("RUN curl x", "curl"), ("RUN a | b", "simple commands"), ("FROM debian", "debian")],
)
def test_what_is_not_known_is_refused_by_name(image: Image, text: str, word: str) -> None:
    with pytest.raises(CannotDo, match=word):
        do(image, text)


def test_a_command_must_stand_as_json() -> None:
    assert words('["tini", "--"]') == ["tini", "--"]
    with pytest.raises(CannotDo, match="write it as"):
        words("tini --")


@pytest.mark.parametrize(
    ("path", "out"),
    [
        ("tests/test_x.py", True),
        ("tinylab/tests/x.py", False),
        ("app/__pycache__/x.pyc", True),
        ("runs/my/config.json", True),
        ("tinylab/launch/queue.py", False),
        ("keep.md", False),
        ("other.md", True),
    ],
)
def test_ignored_files(path: str, out: bool) -> None:
    assert ignored(path, ["tests", "**/__pycache__", "runs", "*.md", "!keep.md"]) is out


def test_paths_lie_below_the_root(image: Image) -> None:
    do(image, "ENV HOME=/home/user PATH=/home/user/bin:$PATH\nWORKDIR /home/user/app")
    assert image.environment["HOME"] == f"{image.root}/home/user"
    assert image.environment["PATH"].startswith(f"{image.root}/home/user/bin:{image.root}/usr/local/bin:")
    assert image.folder == image.root / "home/user/app"


def test_copy_takes_what_dockerignore_lets_through(image: Image) -> None:
    do(image, "WORKDIR /app\nCOPY . .")
    assert [str(path.relative_to(image.folder)) for path in image.folder.rglob("*.txt")] == ["part/a.txt"]
    with pytest.raises(CannotDo, match="secret.txt"):
        do(image, "COPY secret.txt .")


def test_only_a_user_that_was_made_can_be_taken(image: Image) -> None:
    with pytest.raises(CannotDo, match="no useradd"):
        do(image, "USER somebody")


def test_the_context_has_what_the_lab_needs_and_no_more() -> None:
    context = set(context_files(ROOT))
    assert {"README.md", "pyproject.toml", "requirements.txt", "app/__main__.py", "tinylab/launch/worker.py"} <= context
    assert any(path.startswith("assets/digits-dit/") for path in context)
    assert not [path for path in context if path.startswith(("tests/", ".git", ".ci/", "docs/", "runs/"))]


def test_every_file_that_code_names_in_assets_is_in_the_context() -> None:
    context = context_files(ROOT)
    folders = {path.split("/")[1] for path in context if path.startswith("assets/")}
    kept_out = {path.name for path in (ROOT / "assets").iterdir() if path.is_dir()} - folders
    sources = "\n".join(file.read_text() for top in ("app", "tinylab") for file in (ROOT / top).rglob("*.py"))
    assert not [name for name in kept_out if re.search(rf"assets/{name}|assets_folder\(\) / \"{name}", sources)]


def test_the_port_is_the_same_everywhere() -> None:
    exposed = re.search(r"^EXPOSE (\d+)", DOCKERFILE, flags=re.MULTILINE)
    listened = re.search(r"GRADIO_SERVER_PORT=(\d+)", DOCKERFILE)
    told = re.search(r"^app_port: (\d+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert exposed and listened and told
    assert exposed[1] == listened[1] == told[1]


def test_the_lab_runs_as_nobody_special() -> None:
    names = [instruction.name for instruction in parse(DOCKERFILE)]
    (user,) = [instruction.rest for instruction in parse(DOCKERFILE) if instruction.name == "USER"]
    assert user not in ("root", "0")
    assert names.index("USER") < names.index("CMD")
    assert "--uid 1000" in DOCKERFILE  # as a Space runs it
