"""The core's API as it is served."""

from dataclasses import dataclass
from pathlib import Path

from nearedge.api.access import Access
from nearedge.api.application import new_app, watched
from nearedge.api.core import catalog_routes, live_routes, runs_routes
from nearedge.api.core.engine import Engine
from nearedge.api.observed import Observed

TITLE = "nearedge core API"
DESCRIPTION = "Pipelines, their runs, releases and the fleet. Errors are problem+json (RFC 9457)."


@dataclass(frozen=True)
class Settings:
    """What the API is told beside its engine. `home` is where it keeps files of its own."""

    home: Path


def core_app(engine: Engine, access: Access, settings: Settings) -> Observed:  # noqa: ARG001
    """The application with all its routes."""
    app = new_app(TITLE, DESCRIPTION, access, engine.health)
    for router in (catalog_routes.router, live_routes.router, runs_routes.router):
        app.include_router(router(engine))
    return watched(app, "nearedge_core")
