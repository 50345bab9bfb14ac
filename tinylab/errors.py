"""The two ways a job can go wrong, kept apart because the way out differs."""

__all__ = ["BadRequest", "Failure", "Stopped"]


class BadRequest(ValueError):
    """What was asked for cannot be done; the message is one line that says what to change. Exit status 2."""


class Failure(RuntimeError):
    """The request was sound but the machine could not carry it out (a full disk, say). Exit status 1."""


class Stopped(Exception):
    """A job was asked to stop; it saved a checkpoint first and can be resumed."""
