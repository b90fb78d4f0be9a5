"""All pages, put into the application of the core."""

from fastapi import APIRouter, FastAPI, Response

from nearedge.api.access import Access
from nearedge.api.core.engine import Engine
from nearedge.api.core.moving import Doing
from nearedge.api.core.web import (
    action_pages,
    catalog_pages,
    fleet_pages,
    login_pages,
    move_pages,
    release_pages,
    report_pages,
    run_pages,
    runs_pages,
    start_pages,
)
from nearedge.api.core.web.gate import new_router
from nearedge.api.core.web.site import Site

PAGES = (
    runs_pages, report_pages, run_pages, action_pages, start_pages, catalog_pages, release_pages, move_pages,
    fleet_pages, login_pages,
)  # fmt: skip


def install(app: FastAPI, engine: Engine, access: Access, moves: Doing | None = None) -> None:
    """Add the pages; without `moves` those of releases and sites say that there is none.

    What surrounds the application has to refuse the requests of other sites' pages: see nearedge.api.origin.
    """
    app.state.site = site = Site(engine, access, moves)
    app.include_router(assets(site))
    for pages in PAGES:
        app.include_router(pages.router)


def assets(site: Site) -> APIRouter:
    """The style, the script and the sign."""
    router = new_router()

    @router.get("/assets/{name}")
    async def asset(name: str) -> Response:
        return site.assets.answer(name)

    return router
