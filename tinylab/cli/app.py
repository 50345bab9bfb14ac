"""The command that opens the lab."""

from __future__ import annotations

import argparse
import os

from tinylab.cli.commands import Commands
from tinylab.interpreter import module_command, module_environment

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """`app`."""
    commands.add("app", "open the lab in a browser", _app)


def _app(options: argparse.Namespace) -> int:
    command = module_command("app")
    os.execve(command[0], command, module_environment())
