"""The edge's API: its routes, and the application as it is served."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from nearedge.api.access import Access
from nearedge.api.application import new_app, watched
from nearedge.api.edge import live_routes, manage_routes, routes
from nearedge.api.edge.followers import Followers
from nearedge.api.edge.site import Site
from nearedge.api.observed import Observed
from nearedge.api.origin import SameOrigin

TITLE = "nearedge edge API"
DESCRIPTION = (
    "The models of a site: what they are, how they are doing, and what can be done about it. Every answer says what it "
    "is from, how old that is, and which source is missing. Errors are problem+json (RFC 9457)."
)


def edge_app(site: Site, access: Access) -> Observed:
    """The application as it is served."""
    app = edge_api(site, access)
    app.add_middleware(SameOrigin, loopback=access.open)
    return watched(app, "nearedge_edge")


def edge_api(site: Site, access: Access) -> FastAPI:
    """The application with its routes; it watches the site while it runs."""
    app = new_app(TITLE, DESCRIPTION, access, site.health_of_sources)

    @asynccontextmanager
    async def watching(_: FastAPI) -> AsyncIterator[None]:
        await site.start()
        try:
            yield
        finally:
            await site.close()

    app.router.lifespan_context = watching
    app.include_router(routes.site_router(site))
    app.include_router(routes.router(site))
    app.include_router(live_routes.router(site, Followers()))
    app.include_router(manage_routes.router(site))
    return app
