"""What a run made: its release record and the files of its report."""

from asyncio import Future, ensure_future, wait
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response

from nearedge.api.core.models import Run
from nearedge.api.core.release_files_routes import POLICY, FileName, kind
from nearedge.api.core.web.gate import Looking, new_router
from nearedge.api.core.web.sessions import Visitor
from nearedge.api.core.web.site import NEVER_KEPT, Site, of, page
from nearedge.api.problems import ProblemError
from nearedge.delivery.gitops.figures import figures
from nearedge.errors import NearedgeError, OutsideError

router = new_router()
Made = TypeVar("Made")
PATIENCE_S = 4.0
"""Seconds that a run's page waits for what the run made, which may lie in a registry."""
LATE: set[Future[Any]] = set()
"""What came too late for its page, and ends by itself."""


async def soon(asked: Coroutine[Any, Any, Made]) -> Made:
    """What was asked for. Raises OutsideError where it takes too long; a thread that waits cannot be told to stop."""
    going = ensure_future(asked)
    try:
        await wait({going}, timeout=PATIENCE_S)
    finally:
        if not going.done():
            LATE.add(going)
            going.add_done_callback(forget)
    if not going.done():
        raise OutsideError(f"no answer within {PATIENCE_S:g} s; read the page again")
    return going.result()


def forget(late: Future[Any]) -> None:
    """Let go of what came too late; nobody waits for what was wrong with it either."""
    LATE.discard(late)
    if not late.cancelled():
        late.exception()


async def files(site: Site, visitor: Visitor, run: Run) -> tuple[list[str], str]:
    """The names of the report's files, the whole page first; or none, and why."""
    try:
        found = await soon(site.engine.report(run.name, visitor.token))
    except (ProblemError, NearedgeError) as error:
        return [], str(error)
    return sorted(found, key=lambda name: (not name.endswith(".html"), name)), ""


async def without_record(site: Site, visitor: Visitor, run: Run) -> str:
    """Why the run has no release record; empty where it has one."""
    try:
        await soon(site.engine.record(run.name, visitor.token))
    except (ProblemError, NearedgeError) as error:
        return str(error)
    return ""


@router.get("/runs/{name}/record")
async def record(request: Request, visitor: Looking, name: str) -> Response:
    """The record with its figures."""
    engine = of(request).engine
    run = await engine.run(name, visitor.token)
    found = await engine.record(name, visitor.token)
    reports, _ = await files(of(request), visitor, run)
    values = {"run": run, "record": found, "figures": figures(found), "reports": reports}
    return page(request, visitor, "record.html", values)


@router.get("/runs/{name}/report/{file}")
async def report(request: Request, visitor: Looking, name: str, file: FileName) -> Response:
    """A file of the report, as a page of its own in which no script runs."""
    content = await of(request).engine.report_file(name, file, visitor.token)
    return Response(content, media_type=kind(file), headers={"Content-Security-Policy": POLICY, **NEVER_KEPT})
