"""The core's API: its routes, and the application as it is served."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from nearedge.api.access import Access
from nearedge.api.application import new_app, watched
from nearedge.api.audit import Audit
from nearedge.api.core import (
    catalog_routes,
    fleet_routes,
    live_routes,
    moves_routes,
    release_files_routes,
    releases_routes,
    runs_routes,
)
from nearedge.api.core.engine import Engine
from nearedge.api.core.fleet_source import FleetSettings, FleetSource
from nearedge.api.core.moving import doing
from nearedge.api.core.web import routes as web
from nearedge.api.observed import Observed
from nearedge.api.origin import SameOrigin

TITLE = "nearedge core API"
DESCRIPTION = "Pipelines, their runs, releases and the fleet. Errors are problem+json (RFC 9457)."


@dataclass(frozen=True)
class Settings:
    """What the API is told beside its engine. `home` is NEAREDGE_HOME: it keeps files of its own in `home/api`.

    `fleet` None: releases and sites are those that the newest local run below `home/runs` published.
    """

    home: Path
    fleet: FleetSettings | None = None


def core_app(engine: Engine, access: Access, settings: Settings) -> Observed:
    """The application as it is served, with its pages."""
    app = core_api(engine, access, settings)
    web.install(app, engine, access, app.state.moves)
    app.add_middleware(SameOrigin, loopback=access.open)
    return watched(app, "nearedge_core")


def core_api(engine: Engine, access: Access, settings: Settings) -> FastAPI:
    """The application with its routes; `state.moves` is what moves sites, and knows releases and sites."""
    app = new_app(TITLE, DESCRIPTION, access, engine.health)

    @asynccontextmanager
    async def open_engine(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await engine.aclose()

    app.router.lifespan_context = open_engine
    for routes in (catalog_routes, live_routes, release_files_routes, runs_routes):
        app.include_router(routes.router(engine))
    local = FleetSettings(state=settings.home / "api" / "fleet", runs=settings.home / "runs")
    source = FleetSource(settings.fleet or local)
    app.state.moves = moves = doing(source, Audit())
    for router in (releases_routes.router(source), moves_routes.router(moves), fleet_routes.router(source)):
        app.include_router(router)
    return app
