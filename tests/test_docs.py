"""What README.md and docs/ name exists: files, links, `tinylab` commands with their options, `make` targets.

A path is checked when it ends in a known file type or starts with a folder of this repository. Write a made-up
one with a placeholder, as in `tinylab/pruning/criteria/<name>.py`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from tinylab.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

FILE_TYPES = r"py|md|txt|toml|json|jsonl|db|csv|css|js|html|png|gif|svg|jpg|yml|yaml|safetensors"
PLACEHOLDER = re.compile(r"[<>*{}$…\\]|\.\.\.|://")
COMMAND_ENDS = re.compile(r"\s(?:&&|\|\||[|;>])\s?.*|\s#.*")


def code(text: str) -> list[str]:
    """Every line of a code block, and every span between backticks."""
    blocks = re.findall(r"^ *```[^\n]*\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^ *```[^\n]*\n.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    return [piece.strip() for piece in [*lines, *re.findall(r"`([^`\n]+)`", rest)] if piece.strip()]


def commands(text: str) -> list[list[str]]:
    """What `tinylab`, `make` and `python -m` are told, as lists of words."""
    found = []
    for piece in code(text):
        for part in re.split(r"\s&&\s", piece):
            line = COMMAND_ENDS.sub("", part.removeprefix("$ ").strip())
            line = re.sub(r"^(?:\.venv/bin/|[A-Z_]+=\S+ )+", "", line)
            if re.match(r"(?:tinylab|make)( |$)|python3? -m ", line):
                try:
                    found.append(shlex.split(line))
                except ValueError:  # an apostrophe in prose
                    continue
    return found


def paths(text: str) -> set[str]:
    """Everything in code that looks like a path of this repository, and the targets of links."""
    links = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r"<img[^>]+src=\"([^\"]+)\"", text)
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in {"runs", ".venv"}}
    named = set()
    for piece in code(text):
        if re.match(r"(?:\$ )?(?:tinylab|docker|pip) ", piece):
            continue  # these may name files that are yet to be made
        for word in re.findall(r"[^\s'\"`,;()=:\[\]|│├└─]+", piece):
            word = word.rstrip(".")
            is_file = re.search(rf"\w\.(?:{FILE_TYPES})$", word)
            if is_file or word.split("/")[0] in folders and "/" in word:
                named.add(word)
    return {
        path for path in {*links, *named} if not PLACEHOLDER.search(path) and not path.startswith(("/", "~", "runs/"))
    }


@cache
def file_names() -> set[str]:
    """Names of all files here, and those that the code itself writes or reads."""
    tracked = {
        path.name for top in ("tinylab", "app", "tests", "assets", "docs", ".ci") for path in (ROOT / top).rglob("*")
    }
    sources = "\n".join(file.read_text() for top in ("tinylab", "app") for file in (ROOT / top).rglob("*.py"))
    return tracked | set(re.findall(rf"[\w.-]+\.(?:{FILE_TYPES})\b", sources))


def exists(path: str, page: Path) -> bool:
    """A bare file name may lie anywhere; a path counts from the root, the page or one of the packages."""
    if "/" not in path and path in file_names():
        return True
    return any((base / path).exists() for base in (ROOT, page.parent, ROOT / "tinylab", ROOT / "app"))


@cache
def help_text(subcommand: str) -> str | None:
    """What `tinylab <subcommand> --help` prints; None if there is no such command."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        try:
            code = main([*([subcommand] if subcommand else []), "--help"])
        except SystemExit as ended:
            code = ended.code
    return None if code else printed.getvalue()


def make_targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def wrong(command: list[str]) -> str | None:
    """What is wrong with a command; None if nothing."""
    program, words = command[0], command[1:]
    if program == "make":
        missing = [
            word for word in words if "=" not in word and not word.startswith("-") and word not in make_targets()
        ]
        return f"make has no target {missing}" if missing else None
    if program.startswith("python"):
        return None if importlib.util.find_spec(words[1]) else f"no module {words[1]}"
    subcommand = words[0] if words and re.fullmatch(r"[a-z][a-z-]*", words[0]) else ""
    text = help_text(subcommand)
    if text is None:
        return f"tinylab has no command {subcommand!r}"
    options = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    missing = [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", text)]
    return f"tinylab {subcommand} has no option {missing}" if missing else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    assert [path for path in sorted(paths(page.read_text())) if not exists(path, page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    problems = {shlex.join(command): wrong(command) for command in commands(page.read_text())}
    assert {command: problem for command, problem in problems.items() if problem} == {}


SAMPLE = """
Run `make run`, or `make fly`. See [the notes](docs/none.md), `tinylab/registry.py`, `tinylab/nope.py`,
`config.json`, `assets/<name>/config.json`, `registry.py`, `nope.py`, facebook's `owner/model` and `a/b`.

```bash
$ tinylab search --model digits-dit \\
    --out runs/mine && tinylab prune --run runs/mine | head
.venv/bin/tinylab sample   # four images
TINYLAB_RUNS=x python -m json.tool x.json
tests/    everything is tested
└── tests/nope/
```
"""


def test_paths_are_found_in_prose_blocks_and_links() -> None:
    missing = {path for path in paths(SAMPLE) if not exists(path, ROOT / "README.md")}
    assert missing == {"docs/none.md", "tinylab/nope.py", "nope.py", "tests/nope/", "x.json"}


def test_commands_are_found_without_prompts_comments_and_pipes() -> None:
    assert commands(SAMPLE) == [
        ["tinylab", "search", "--model", "digits-dit", "--out", "runs/mine"],
        ["tinylab", "prune", "--run", "runs/mine"],
        ["tinylab", "sample"],
        ["python", "-m", "json.tool", "x.json"],
        ["make", "run"],
        ["make", "fly"],
    ]


def test_missing_commands_and_options_are_told() -> None:
    assert wrong(["tinylab", "search", "--steps", "3"]) is None
    assert wrong(["tinylab", "--help"]) is None
    assert wrong(["tinylab", "fly"]) == "tinylab has no command 'fly'"
    assert wrong(["tinylab", "search", "--wings=2"]) == "tinylab search has no option ['--wings']"


def test_missing_targets_and_modules_are_told() -> None:
    assert wrong(["make", "run"]) is None
    assert wrong(["make", "fly"]) == "make has no target ['fly']"
    assert wrong(["python", "-m", "json.tool"]) is None
    assert wrong(["python", "-m", "no_such_module"]) == "no module no_such_module"


def test_the_readme_is_short_and_its_results_are_those_of_the_study() -> None:
    readme, study = (ROOT / "README.md").read_text(), (ROOT / "docs" / "study.md").read_text()
    assert len(readme.splitlines()) <= 110
    rows = [line for line in readme.splitlines() if line.startswith("|") and line.rstrip(" |").endswith("x")]
    assert len(rows) >= 4
    for row in rows:
        losses = re.findall(r"\d\.\d{4,}(?: ± \d\.\d+)?", row)
        speed = re.findall(r"\d\.\d\dx", row)
        assert len(losses) == 2 and len(speed) == 1
        assert any(all(f" {value} " in line for value in (*losses, *speed)) for line in study.splitlines()), row
