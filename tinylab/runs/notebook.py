"""Notebooks that do again what runs did: a Jupyter file (nbformat 4) of words and Python. Free of torch.

The code is plain Python and also runs outside of a notebook; there it prints what can be printed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinylab import __version__
from tinylab.config import JobConfig
from tinylab.runs.command import command_of, own_choices

__all__ = ["notebook_of"]

_INTRO = """# {title}

This notebook computes the same as the lab did, with the library Tinylab (version {version}). It needs Tinylab in the
environment of its kernel. Runs are written to the folder `runs` beside this notebook, or to where the environment
variable `TINYLAB_RUNS` says. Each step below shows the command that does the same on the command line."""
_IMPORTS = """import plotly.graph_objects as go

from tinylab.config import {configs}
from tinylab.presets import preset_config
from tinylab.jobs.execute import execute, start_run
from tinylab.reports.sections import section_of
from tinylab.reports.table_render import table_html"""
_SHOW = '''try:
    from IPython.display import HTML, Image, Markdown, display
except ImportError:  # outside of a notebook
    HTML = Markdown = str
    display = print

    def Image(png):
        return f"(a picture of {len(png):,} bytes)"


def show(run):
    """What a report shows of a run: words, tables, figures, pictures."""
    section = section_of(run)
    display(Markdown(f"### {section.title}"))
    for words in section.words:
        display(Markdown(words))
    for table in section.tables:
        display(HTML(table_html(table)))
    for plot in section.plots:
        display(go.Figure(plot.figure) if HTML is not str else plot.words)
    for picture in section.pictures:
        display(Image(picture.png))'''
_SHOW_WORDS = """Results are shown as a report shows them. Everything in a run's folder is there for your own code, too:
`run.result()`, `run.metrics()`, `run.artifacts`."""


def notebook_of(configs: Sequence[JobConfig], *, homes: Sequence[Path] = (), title: str = "") -> str:
    """A notebook that does these jobs one after the other.

    Args:
        homes: the run folder that belongs to each config, if there is one: a later job that names it takes the run
            that the notebook makes instead.
    """
    names = _names(configs)
    known = {str(home.absolute()): name for home, name in zip(homes, names, strict=False)}
    types = ", ".join(sorted({type(config).__name__ for config in configs}))
    head = _INTRO.format(title=title or _title(configs), version=__version__)
    cells = [_words(head), _code(_IMPORTS.format(configs=types)), _words(_SHOW_WORDS), _code(_SHOW)]
    for number, (config, name) in enumerate(zip(configs, names, strict=True), start=1):
        earlier = {path: other for path, other in known.items() if names.index(other) < number - 1}
        cells.append(_words(_described(number, config, earlier)))
        cells.append(_code(_started(config, name, earlier)))
        cells.append(_code(f"execute({name}, quiet=True)"))
        cells.append(_code(f"show({name})"))
    return _document(cells)


def _title(configs: Sequence[JobConfig]) -> str:
    kinds = list(dict.fromkeys(config.kind for config in configs))
    return f"Tinylab: {', '.join(kinds)}" if kinds else "Tinylab"


def _names(configs: Sequence[JobConfig]) -> list[str]:
    """What the runs are called in the code: by kind, numbered where one comes again."""
    names: list[str] = []
    for config in configs:
        count = sum(other.kind == config.kind for other in configs[: len(names)]) + 1
        names.append(f"{config.kind}_run" if count == 1 else f"{config.kind}_run_{count}")
    return names


def _described(number: int, config: JobConfig, earlier: Mapping[str, str]) -> str:
    """What the job is, what was chosen, and its command."""
    lines = [f"## {number}. {config.kind}: {config.summary}"]
    fields = type(config).model_fields
    chosen = [
        f"- `{name}` = `{_shown(value, earlier)}`: {fields[name].description}"
        for name, value in own_choices(config).items()
    ]
    lines += ["", "What was chosen; all else is as it always is:", "", *chosen] if chosen else ["", "All is default."]
    command = command_of(config, called=lambda text: _place(text, earlier) or text)
    return "\n".join([*lines, "", "```sh", command.replace("`", "'"), "```"])


def _shown(value: Any, earlier: Mapping[str, str]) -> str:
    several = value if isinstance(value, tuple) else (value,)
    shown = ", ".join(_place(one, earlier) or one if isinstance(one, str) else str(one) for one in several)
    return " ".join(shown.replace("`", "'").split())


def _place(text: str, earlier: Mapping[str, str]) -> str:
    """How words name a path below an earlier run; "" for any other text."""
    found = _below(text, earlier)
    return f"{found[0]}{'/' if found[1] else ''}{found[1]}" if found else ""


def _started(config: JobConfig, name: str, earlier: Mapping[str, str]) -> str:
    values = [f'        "{field}": {_literal(value, earlier)},' for field, value in own_choices(config).items()]
    given = "\n".join(["    {", *values, "    },"]) if values else "    {},"
    return f"config = preset_config(\n    {type(config).__name__},\n{given}\n)\n{name} = start_run(config)\n{name}.path"


def _literal(value: Any, earlier: Mapping[str, str]) -> str:
    """A value as Python source; a path below an earlier run as one below the run that the notebook makes."""
    if isinstance(value, tuple):
        several = [_literal(one, earlier) for one in value]
        return f"({several[0]},)" if len(several) == 1 else f"({', '.join(several)})"
    found = _below(value, earlier) if isinstance(value, str) else None
    if found is None:
        return _quoted(value) if isinstance(value, str) else repr(value)
    run, rest = found
    return f"str({run}.path / {_quoted(rest)})" if rest else f"str({run}.path)"


def _quoted(text: str) -> str:
    """A Python string: what JSON writes is one, and in double quotes."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _below(text: str, earlier: Mapping[str, str]) -> tuple[str, str] | None:
    """The earlier run in whose folder a path lies, and the rest of the path."""
    for home, name in earlier.items():
        if text == home or text.startswith(f"{home}/"):
            return name, text[len(home) + 1 :]
    return None


def _words(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"execution_count": None, "outputs": []}
    return {"cell_type": "code", **empty, "metadata": {}, "source": text.splitlines(keepends=True)}


def _document(cells: Sequence[Mapping[str, Any]]) -> str:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    numbered = [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)]
    document = {
        "cells": numbered,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
