"""Changing something at a site: the role `manage`, and a line in the audit log."""

from fastapi import APIRouter

from nearedge.api.application import PREFIX, RESPONSES, Manager, Reader
from nearedge.api.edge.manage_documents import (
    LogLevel,
    LogLevelWanted,
    PrePull,
    PrePullWanted,
    Rollback,
    RolledBack,
    SelfTestResult,
    Sync,
)
from nearedge.api.edge.routes import Name
from nearedge.api.edge.site import Site

NO_WISH = PrePullWanted()


def router(site: Site) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix=f"{PREFIX}/models", tags=["manage"], responses=RESPONSES)
    add_sync(routes, site)
    add_pre_pull(routes, site)
    add_log_level(routes, site)

    @routes.post("/{name}/self-test")
    async def self_test(caller: Manager, name: Name) -> SelfTestResult:
        """Have the model server repeat the golden samples; a model that fails takes no more requests."""
        return await site.self_test(name, caller.name)

    @routes.post("/{name}/rollback")
    async def roll_back(wanted: Rollback, caller: Manager, name: Name) -> RolledBack:
        """Commit to the site's git repository that it goes back to an earlier release. Asked twice, it is done once."""
        return await site.roll_back(name, wanted.to, caller.name)

    return routes


def add_sync(routes: APIRouter, site: Site) -> None:
    """How the site follows git."""

    @routes.get("/{name}/sync")
    async def sync(_: Reader, name: Name) -> Sync:
        """How the site follows git with it: by itself or paused, which commit, and how the last time went."""
        return await site.sync(name)

    @routes.post("/{name}/sync", status_code=202)
    async def sync_now(caller: Manager, name: Name) -> Sync:
        """Look at git now, and begin to put into the site what it says; also where that is paused, which it stays."""
        return await site.sync_now(name, caller.name)

    @routes.post("/{name}/sync/pause")
    async def pause(caller: Manager, name: Name) -> Sync:
        """Take over nothing from git by itself until that is resumed. Asked twice, it is done once."""
        return await site.pause(name, caller.name)

    @routes.post("/{name}/sync/resume")
    async def resume(caller: Manager, name: Name) -> Sync:
        """Undo the pause. Asked twice, it is done once."""
        return await site.resume(name, caller.name)


def add_pre_pull(routes: APIRouter, site: Site) -> None:
    """Images before they run."""

    @routes.get("/{name}/pre-pull")
    async def pre_pulled(_: Reader, name: Name) -> PrePull:
        """How the newest pre-pull stands."""
        return await site.pre_pulled(name)

    @routes.post("/{name}/pre-pull", status_code=202)
    async def pre_pull(caller: Manager, name: Name, wanted: PrePullWanted = NO_WISH) -> PrePull:
        """Begin to bring an image here, by default the one that git wants and that does not run yet."""
        return await site.pre_pull(name, wanted.digest, caller.name)


def add_log_level(routes: APIRouter, site: Site) -> None:
    """How much the server logs."""

    @routes.get("/{name}/log-level")
    async def log_level(_: Reader, name: Name) -> LogLevel:
        """What the model's server logs at the least."""
        return await site.log_level(name)

    @routes.put("/{name}/log-level")
    async def set_log_level(wanted: LogLevelWanted, caller: Manager, name: Name) -> LogLevel:
        """Have the model's server log that from now on. It is lost when the server ends; no restart is needed."""
        return await site.set_log_level(name, wanted.level, caller.name)
