"""Who asks, and what they may see and change.

At home there is one visitor, who may do everything. In public (`TINYLAB_PUBLIC=1`, or in a Space) each browser is a
visitor of its own, known by a cookie, and each name of a login is one. A visitor sees its own runs, those whose link
it was given, and the recorded ones; it stops, resumes, renames and deletes its own alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.run_ids import known_run
from tinylab.errors import BadRequest
from tinylab.runs.record import Run
from tinylab.runs.store import list_runs

__all__ = ["HOME", "Visitor", "visitor_of"]


@dataclass(frozen=True)
class Visitor:
    """Somebody at a page.

    Attributes:
        name: what runs say of their owner, "" for the one visitor of a lab at home.
    """

    name: str = ""

    def may_see(self, run: Run) -> bool:
        """Whether the run is its own, recorded, or was shown to it by its owner."""
        return True

    def may_change(self, run: Run) -> bool:
        """Whether the run is its own to stop, resume, rename and delete."""
        return True

    def run(self, run_id: Any) -> Run:
        """The run with an id that a browser sent; BadRequest if there is none, or none that the visitor may see."""
        run = known_run(run_id)
        if not self.may_see(run):
            raise BadRequest("that is not the id of a run; pick one from the menu")
        return run

    def own_run(self, run_id: Any) -> Run:
        """The same, if the visitor may change it, too."""
        run = self.run(run_id)
        if not self.may_change(run):
            raise BadRequest(f"run {run.id} belongs to somebody else; start one of your own")
        return run

    def runs(self, kind: str | None = None) -> list[Run]:
        """All runs of a kind that the visitor may see, newest first."""
        return [run for run in list_runs(kind) if self.may_see(run)]


HOME = Visitor()


def visitor_of(request: Any) -> Visitor:
    """Who sent a request: a `gr.Request`, or one of Starlette."""
    return HOME
