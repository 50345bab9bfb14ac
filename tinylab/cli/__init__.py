"""The command line, one file a topic. What a command found goes to stdout, all else to stderr."""

from tinylab.cli.entry import main

__all__ = ["main"]
