"""What `.ci/dockerfile` understands of the Dockerfile and of .dockerignore, and when it does the steps.

That the steps work, that script itself shows.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".ci"))

from image.building import Image  # noqa: E402
from image.decision import PASSED, check_briefly, digest, has_passed, note_passed  # noqa: E402
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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the check reads, with a lab of one line, whose steps have passed."""
    root = tmp_path / "project"
    shutil.copytree(ROOT / ".ci", root / ".ci", ignore=shutil.ignore_patterns("passed", "__pycache__"))
    for folder in ("app", "tests"):
        (root / folder).mkdir()
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "requirements.txt", "requirements-dev.txt"):
        shutil.copy2(ROOT / name, root)
    shutil.copy2(ROOT / "tests/page_client.py", root / "tests")
    (root / "app/__main__.py").write_text("import os\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    note_passed(root, digest(root))
    return root


def append(file: str, text: str) -> Callable[[Path], None]:
    """A change of a project: more text in a file."""

    def change(root: Path) -> None:
        (root / file).write_text((root / file).read_text() + text)

    return change


def run_check(root: Path, *options: str) -> tuple[int, str]:
    """Run the project's own check; how it ended, and what it said."""
    command = [sys.executable, str(root / ".ci/dockerfile"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "change",
    [
        append("Dockerfile", "EXPOSE 80\n"),
        append("requirements.txt", "left-pad==1\n"),
        append(".dockerignore", "docs\n"),
        append("pyproject.toml", "[tool.setuptools.exclude-package-data]\n"),
        append(".ci/image/building.py", "\n"),
        append(".ci/dockerfile", "\n"),
        lambda root: (root / PASSED).unlink(),
    ],
)
def test_the_steps_are_done_again_when_what_decides_has_changed(project: Path, change: Callable[[Path], None]) -> None:
    assert has_passed(project)
    change(project)
    assert not has_passed(project)


@pytest.mark.parametrize(
    "change",
    [
        append("app/__main__.py", "print()\n"),
        append("requirements-dev.txt", "left-pad==1\n"),  # the image does without
        append("pyproject.toml", "[tool.coverage.run]\n"),
        append("tests/page_client.py", "\n"),
    ],
)
def test_the_steps_are_not_done_again_for_what_does_not_decide(project: Path, change: Callable[[Path], None]) -> None:
    change(project)
    assert has_passed(project)


def test_what_has_passed_is_looked_at_briefly_and_done_when_asked_for(project: Path) -> None:
    code, said = run_check(project)
    assert (code, "have passed as they stand" in said) == (0, True), said
    append("Dockerfile", "VOLUME /data\n")(project)
    passed = (project / PASSED).read_text()
    code, said = run_check(project)  # changed: the steps are begun, and what did not pass is not kept
    assert (code, "VOLUME is not known" in said) == (1, True), said
    assert (project / PASSED).read_text() == passed
    (project / "Dockerfile").write_text("FROM debian\n")
    note_passed(project, digest(project))
    code, said = run_check(project, "--again")
    assert (code, "only images of python" in said) == (1, True), said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "requirements.txt").unlink(), "COPY requirements.txt"),
        (lambda root: (root / "app/__main__.py").unlink(), "there is no module app"),
        (append("app/__main__.py", "import no_such_module\n"), "no_such_module"),
        (append(".dockerignore", "app\n"), "there is no module app"),
        (append("Dockerfile", 'CMD ["tinylab"]\n'), "only python -m"),
        (append("Dockerfile", "RUN a | b\n"), "simple commands"),
    ],
)
def test_the_brief_look_refuses_what_cannot_work(project: Path, change: Callable[[Path], None], words: str) -> None:
    check_briefly(project)
    change(project)
    with pytest.raises(CannotDo, match=re.escape(words)):
        check_briefly(project)


def test_the_brief_look_is_content_with_the_project_itself() -> None:
    check_briefly(ROOT)
