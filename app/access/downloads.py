"""Files that the page offers: the archive of a run, and a notebook that does the same again.

They are streamed as they are made; who may see a run may have them.
"""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app.access.settings import lab_settings
from app.access.visitors import UNREADABLE, Visitor, user_of, visitor_of
from tinylab.archive.archive import archive_name, pack
from tinylab.archive.layout import safe_run_id
from tinylab.errors import Failure
from tinylab.runs.notebook import notebook_of

__all__ = ["ROUTES"]

_MOST = 20  # runs in one notebook
_NOT_THERE = "There is no such run for you, or it cannot be read; the Runs tab lists those there are.\n"
_YES = ("1", "true", "yes")


async def archive(request: Request) -> Response:
    """`GET /tinylab/archive/RUN`, with checkpoints for `?checkpoints=1`."""
    return await _answer(request, _archive)


async def notebook(request: Request) -> Response:
    """`GET /tinylab/notebook/RUN`; `?also=RUN,RUN` adds what follows."""
    return await _answer(request, _notebook)


async def _answer(request: Request, make: Callable[[Request, Visitor], Response]) -> Response:
    if lab_settings().login and not user_of(request):  # Gradio asks for the login on its own addresses alone
        return PlainTextResponse(_NOT_THERE, status_code=404)
    try:
        return await run_in_threadpool(make, request, visitor_of(request))
    except (*UNREADABLE, Failure):  # whose words might tell of the server
        return PlainTextResponse(_NOT_THERE, status_code=404)


def _archive(request: Request, visitor: Visitor) -> Response:
    run = visitor.run(request.path_params["run_id"])
    pieces = pack(run, checkpoints=request.query_params.get("checkpoints", "") in _YES)
    return StreamingResponse(pieces, media_type="application/zip", headers=_saved_as(archive_name(run)))


def _notebook(request: Request, visitor: Visitor) -> Response:
    more = [name for name in request.query_params.get("also", "").split(",") if name]
    runs = [visitor.run(name) for name in [request.path_params["run_id"], *more][:_MOST]]
    text = notebook_of([run.config() for run in runs], homes=[run.path for run in runs])
    name = f"tinylab-{safe_run_id(runs[0].id) or 'run'}.ipynb"
    return Response(text, media_type="application/x-ipynb+json", headers=_saved_as(name))


def _saved_as(name: str) -> dict[str, str]:
    """Headers that make a browser save the answer and nothing else; `name` is plain."""
    return {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }


ROUTES = [
    Route("/tinylab/archive/{run_id}", archive, methods=["GET"]),
    Route("/tinylab/notebook/{run_id}", notebook, methods=["GET"]),
]
