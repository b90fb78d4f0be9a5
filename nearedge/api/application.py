"""What both APIs are built on: a FastAPI application with our errors, access, health and metrics."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from nearedge import __version__
from nearedge.api import openapi, problems
from nearedge.api.access import Access, Caller, allowed, bearer
from nearedge.api.models import Health, Problem
from nearedge.api.observed import CONTENT_TYPE, Observed

PREFIX = "/api/v1"
Sources = Callable[[], Awaitable[dict[str, str]]]
"""What the application stands on: "ok", or what is wrong, by name."""

REFUSED = (400, 401, 403, 404, 405, 409, 412, 422, 429, 500, 501, 502, 503, 507)
RESPONSES: dict[int | str, dict[str, object]] = {
    status: {"model": Problem, "content": {problems.MEDIA_TYPE: {}}} for status in REFUSED
}
"""Documented on every route: any of them may come, and all are alike."""


def new_app(title: str, description: str, access: Access, sources: Sources) -> FastAPI:
    """An application without routes of its own but health; `sources` is asked at `/readyz`."""
    app = FastAPI(
        title=title, description=description, version=__version__, docs_url=None, redoc_url=None,
        openapi_url="/openapi.json", redirect_slashes=False,
    )  # fmt: skip
    app.state.access = access
    problems.install(app)
    openapi.install(app)
    app.include_router(health(sources))
    return app


def watched(app: FastAPI, name: str) -> Observed:
    """The application as it is served: with request ids, logs and `/metrics`."""
    found = Observed(app, name)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(found.metrics(), media_type=CONTENT_TYPE)

    return found


def health(sources: Sources) -> APIRouter:
    """`/healthz`: the process answers. `/readyz`: what it stands on does, too."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def alive() -> Health:
        """The process answers."""
        return Health(status="ok")

    @router.get("/readyz", response_model=Health, responses={503: {"model": Health}})
    async def ready() -> JSONResponse:
        """Everything the process stands on answers; 503 where one does not."""
        found = await sources()
        fine = all(value == "ok" for value in found.values())
        document = Health(status="ok" if fine else "degraded", sources=found)
        return JSONResponse(document.model_dump(), 200 if fine else 503)

    return router


async def reader(request: Request) -> Caller:
    """Who may look."""
    access: Access = request.app.state.access
    caller = await access.caller(request)
    request.scope["state"] |= {"caller": caller.name, "judge": partial(access.caller, request)}
    return caller


async def manager(caller: Annotated[Caller, Depends(reader)]) -> Caller:
    """Who may change things."""
    return allowed(caller, "manage")


async def token_of(request: Request) -> str:
    """The caller's token as it came, empty where there is none; a cluster judges it."""
    return bearer(request)


Token = Annotated[str, Depends(token_of)]
Reader = Annotated[Caller, Depends(reader)]
Manager = Annotated[Caller, Depends(manager)]
