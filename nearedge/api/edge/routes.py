"""Looking at a site and its models."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from nearedge.api import pages
from nearedge.api.application import PREFIX, RESPONSES, Manager, Reader
from nearedge.api.edge.documents import (
    Action,
    Availability,
    Event,
    Model,
    ModelHealth,
    ModelSummary,
    ReleaseIdentity,
    SiteDocument,
    Upgrades,
    Versions,
)
from nearedge.api.edge.site import Site
from nearedge.api.models import Page
from nearedge.api.pages import After, Limit

Name = Annotated[str, Path(min_length=1, max_length=253, description="as the model server names it")]
WindowName = Literal["1h", "24h", "7d", "30d"]
EVERY_WINDOW: list[WindowName] = ["1h", "24h", "7d", "30d"]
Windows = Annotated[list[WindowName], Query(alias="window", max_length=len(EVERY_WINDOW))]
NOT_MODIFIED: dict[int | str, dict[str, object]] = {**RESPONSES, 304: {"description": "you have it already"}}


def router(site: Site) -> APIRouter:
    """The routes about models."""
    routes = APIRouter(prefix=f"{PREFIX}/models", tags=["models"], responses=RESPONSES)

    @routes.get("")
    async def listed(_: Reader, limit: Limit = 100, after: After = None) -> Page[ModelSummary]:
        """The models of the site, by name."""
        return pages.part(await site.models(), lambda one: one.name, limit, after)

    @routes.get("/{name}")
    async def one(_: Reader, name: Name) -> Model:
        """General information: the release, where it is served, inputs, outputs, health, and what it should be."""
        return await site.model(name)

    @routes.get("/{name}/release", response_model=ReleaseIdentity, responses=NOT_MODIFIED)
    async def release(request: Request, response: Response, _: Reader, name: Name) -> object:
        """The identity of the release that runs, as it lies beside the model."""
        return pages.tagged(request, response, ReleaseIdentity(dict(await site.release(name))))

    @routes.get("/{name}/health")
    async def health(_: Reader, name: Name) -> ModelHealth:
        """Live, ready, self-test, restarts."""
        return await site.health(name)

    @routes.get("/{name}/availability")
    async def availability(_: Reader, name: Name, windows: Windows = EVERY_WINDOW) -> Availability:
        """The share of the time in which it was ready, over windows that end now."""
        return await site.availability(name, list(dict.fromkeys(windows)))

    @routes.get("/{name}/versions")
    async def versions(_: Reader, name: Name) -> Versions:
        """What git says that it should be, what it is, and why they differ."""
        return await site.versions(name)

    @routes.get("/{name}/upgrades")
    async def upgrades(_: Reader, name: Name) -> Upgrades:
        """How it came to that: from git's history, and from what was seen here."""
        return await site.upgrades(name)

    return routes


def site_router(site: Site) -> APIRouter:
    """The routes about the site."""
    routes = APIRouter(prefix=PREFIX, tags=["site"], responses=RESPONSES)

    @routes.get("/site")
    async def itself(_: Reader) -> SiteDocument:
        """The site, and what is known of it from where."""
        return await site.site()

    @routes.get("/events")
    async def events(
        _: Reader,
        limit: Limit = 100,
        after: After = None,
        model: Annotated[str | None, Query(max_length=253)] = None,
    ) -> Page[Event]:
        """What was seen to change, the newest first."""
        found = [one for one in await site.events() if model in (None, one.model)]
        return pages.part(found, lambda one: newest_first(one.number), limit, after)

    @routes.get("/audit")
    async def audit(_: Manager, limit: Limit = 100, after: After = None) -> Page[Action]:
        """Who did what here, and how it ended, the newest first."""
        return pages.part(await site.audit(), lambda one: newest_first(one.number), limit, after)

    return routes


def newest_first(number: int) -> str:
    """What lines are ordered by."""
    return f"{10**15 - number:016d}"
