"""How a subcommand is added: a name, a line of help, and the function that carries it out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from tinylab.errors import BadRequest

__all__ = ["Commands", "Parser"]


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise BadRequest(f"{message}; see `{self.prog} --help`")


class Commands:
    """The subcommands of a parser."""

    def __init__(self, parser: Parser) -> None:
        self._added = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def add(
        self, name: str, summary: str, handler: Callable[[argparse.Namespace], int], description: str | None = None
    ) -> Parser:
        """A command that `handler` carries out; it takes the parsed options and returns the exit status."""
        command = self._added.add_parser(name, help=summary, description=description or summary)
        command.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
        command.set_defaults(handler=handler)
        return command
