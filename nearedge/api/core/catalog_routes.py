"""Pipelines and Tasks of the catalog: what can be run, and what it takes and gives."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from nearedge.api import pages
from nearedge.api.application import PREFIX, RESPONSES, Reader, Token
from nearedge.api.core.declarations import Kind
from nearedge.api.core.engine import Engine
from nearedge.api.core.models import Declared
from nearedge.api.models import Page
from nearedge.api.pages import After, Limit
from nearedge.api.problems import missing

Name = Annotated[str, Path(max_length=253)]


def router(engine: Engine) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix=PREFIX, tags=["catalog"], responses=RESPONSES)

    async def of_kind(kind: Kind, token: str) -> Sequence[Declared]:
        found = [one for one in await engine.declared(token) if one.kind == kind]
        return sorted(found, key=lambda one: one.name)

    async def one(kind: Kind, name: str, token: str) -> Declared:
        known = await of_kind(kind, token)
        found = next((each for each in known if each.name == name), None)
        if found is None:
            raise missing(f"{kind} {name}: there is none; known: {', '.join(each.name for each in known) or 'none'}")
        return found

    @routes.get("/pipelines")
    async def pipelines(_: Reader, token: Token, limit: Limit = 100, after: After = None) -> Page[Declared]:
        """The Pipelines by name."""
        return pages.part(await of_kind("Pipeline", token), lambda each: each.name, limit, after)

    @routes.get("/pipelines/{name}", response_model=Declared, responses=pages.UNCHANGED)
    async def pipeline(request: Request, response: Response, _: Reader, token: Token, name: Name) -> object:
        """One Pipeline: its params with defaults, workspaces, results and Tasks."""
        return pages.tagged(request, response, await one("Pipeline", name, token))

    @routes.get("/tasks")
    async def tasks(_: Reader, token: Token, limit: Limit = 100, after: After = None) -> Page[Declared]:
        """The Tasks by name."""
        return pages.part(await of_kind("Task", token), lambda each: each.name, limit, after)

    @routes.get("/tasks/{name}", response_model=Declared, responses=pages.UNCHANGED)
    async def task(request: Request, response: Response, _: Reader, token: Token, name: Name) -> object:
        """One Task: its params with defaults, workspaces and results."""
        return pages.tagged(request, response, await one("Task", name, token))

    return routes
