"""The command line, one file a topic. What a command found goes to stdout, all else to stderr."""

from tinylab.cli.parser import main

__all__ = ["main"]
