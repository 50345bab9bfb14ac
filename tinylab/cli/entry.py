"""Where every command begins and ends: its exit status, and one line for whatever went wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tinylab.cli.output import complain
from tinylab.cli.parser import build_parser
from tinylab.errors import BadRequest, Failure, Stopped

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failure, 2 bad request, 130 stopped by a signal."""
    try:
        options = build_parser().parse_args(arguments)
        return options.handler(options)
    except BadRequest as error:
        return complain(error, 2)
    except Failure as error:
        return complain(error, 1)
    except Stopped as stop:
        return complain(stop, 130)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        return complain(Failure(f"{error.strerror}: {error.filename}"), 1)
