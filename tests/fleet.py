"""A GitOps repository with releases of small models, and the core's routes about them in this process."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient

from nearedge.api.access import Access, Caller, Tokens
from nearedge.api.application import new_app
from nearedge.api.audit import Audit
from nearedge.api.core import fleet_routes, moves_routes, releases_routes
from nearedge.api.core.fleet_source import FleetSettings, FleetSource
from nearedge.api.core.moving import doing
from tests import gitops_repository
from tests.gitops_repository import AUTHOR

READ, MANAGE = "r" * 20, "m" * 20
BEARER = {"Authorization": f"Bearer {MANAGE}"}


class Place(gitops_repository.Place):
    """The repository, with the routes about it and their audit log."""

    def __init__(self, folder: Path) -> None:
        """An empty one."""
        super().__init__(folder)
        self.log = io.StringIO()

    def audited(self) -> list[dict[str, object]]:
        """The lines of the audit log."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    @contextmanager
    def client(self, **settings: object) -> Iterator[TestClient]:
        """The routes, git read at each request; who asks may do all."""
        own = FleetSettings(state=self.folder / "state", url=self.target.url, git_every_s=0, author=AUTHOR)
        source = FleetSource(replace(own, **settings))
        with TestClient(app(source, Audit(self.log)), raise_server_exceptions=False, headers=BEARER) as client:
            client.source = source
            yield client


def app(source: FleetSource, audit: Audit):
    """The application: nothing but these routes."""
    access = Access(Tokens({Caller("ada", "manage"): MANAGE.encode(), Caller("bob", "read"): READ.encode()}))

    async def health() -> dict[str, str]:
        return {}

    found = new_app("fleet", "", access, health)
    for router in (
        releases_routes.router(source),
        fleet_routes.router(source),
        moves_routes.router(doing(source, audit)),
    ):
        found.include_router(router)
    return found
