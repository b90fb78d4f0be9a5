"""Changing something at a site: the role `manage`, and a line in the audit log."""

from fastapi import APIRouter

from nearedge.api.application import PREFIX, RESPONSES, Manager
from nearedge.api.edge.documents import Rollback, RolledBack, SelfTestResult
from nearedge.api.edge.routes import Name
from nearedge.api.edge.site import Site


def router(site: Site) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix=f"{PREFIX}/models", tags=["manage"], responses=RESPONSES)

    @routes.post("/{name}/self-test")
    async def self_test(caller: Manager, name: Name) -> SelfTestResult:
        """Have the model server repeat the golden samples; a model that fails takes no more requests."""
        return await site.self_test(name, caller.name)

    @routes.post("/{name}/rollback")
    async def roll_back(wanted: Rollback, caller: Manager, name: Name) -> RolledBack:
        """Commit to the site's git repository that it goes back to an earlier release. Asked twice, it is done once."""
        return await site.roll_back(name, wanted.to, caller.name)

    return routes
