"""What a run made: its results, the release record, the files of its report."""

from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from nearedge.api import pages
from nearedge.api.application import PREFIX, RESPONSES, Reader, Token
from nearedge.api.core.engine import Engine
from nearedge.api.core.models import ReportFile, ReportFiles, Results, RunName
from nearedge.release.record import Record

KINDS = {".html": "text/html; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".png": "image/png"}
POLICY = "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
"""A report names a model, its labels and its files as somebody else wrote them: nothing in it is to run as a script."""
FILE: dict[int | str, dict[str, object]] = {
    **RESPONSES,
    200: {
        "description": "the file",
        "content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in KINDS.values()},
    },
}
FileName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,120}\.(html|md|png)$")]


class File(Response):
    """Named in the document."""

    media_type = "text/html"


def router(engine: Engine) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix=f"{PREFIX}/runs/{{name}}", tags=["runs"], responses=RESPONSES)

    @routes.get("/results", response_model=Results, responses=pages.UNCHANGED)
    async def results(request: Request, response: Response, _: Reader, token: Token, name: RunName) -> object:
        """The Pipeline's results, as far as there are any."""
        return pages.tagged(request, response, Results(results=(await engine.run(name, token)).results))

    @routes.get("/record", response_model=Record, responses=pages.UNCHANGED)
    async def record(request: Request, response: Response, _: Reader, token: Token, name: RunName) -> object:
        """The release record: its identity, and the evidence as far as the run came."""
        return pages.tagged(request, response, await engine.record(name, token))

    @routes.get("/report")
    async def report(_: Reader, token: Token, name: RunName) -> ReportFiles:
        """The files of the report."""
        names = await engine.report(name, token)
        return ReportFiles(
            files=[
                ReportFile(name=one, media_type=kind(one), href=f"{PREFIX}/runs/{name}/report/{one}") for one in names
            ]
        )

    @routes.get("/report/{file}", responses=FILE, response_class=File)
    async def report_file(_: Reader, token: Token, name: RunName, file: FileName) -> Response:
        """One file of the report. No script in it runs, whatever the model's name says."""
        content = await engine.report_file(name, file, token)
        return Response(content, media_type=kind(file), headers={"Content-Security-Policy": POLICY})

    return routes


def kind(name: str) -> str:
    """The media type of a file of a report."""
    return KINDS[PurePath(name).suffix]
