"""Routes of sites and of the fleet: which site should run what, which does, since when, and how it is doing."""

from typing import Annotated

from fastapi import APIRouter, Query

from nearedge.api import pages
from nearedge.api.application import PREFIX, RESPONSES, Reader
from nearedge.api.core import fleet_view as view
from nearedge.api.core.fleet_source import FleetSource
from nearedge.api.core.release_models import FleetPage, ModelName, Site, SiteName, SitePage, SiteSummary
from nearedge.api.core.releases_routes import fresh
from nearedge.api.core.site_health import Conditions, Key
from nearedge.api.problems import missing
from nearedge.delivery.gitops.timeline import Timeline


def router(source: FleetSource) -> APIRouter:
    """`/sites` and `/fleet`."""
    found = APIRouter(prefix=PREFIX, tags=["fleet"], responses=RESPONSES)

    @found.get("/sites")
    async def list_sites(_: Reader, limit: pages.Limit = 100, after: pages.After = None) -> SitePage:
        """The sites that the GitOps repository names."""
        seen, health = await source.known(), await source.conditions()
        now = seen.value or Timeline()
        models: dict[str, list[str]] = {}
        for site, model in sorted(now.sites):
            models.setdefault(site, []).append(model)
        part = pages.part(list(models), str, limit, after)
        items = [site_summary(now, site, models[site], health.value) for site in part.items]
        return SitePage.model_validate({"items": items, "next": part.next, **fresh(seen, health.problem)})

    @found.get("/sites/{site}")
    async def get_site(_: Reader, site: SiteName) -> Site:
        """A site, and each model there."""
        seen, health = await source.known(), await source.conditions()
        now = view.known(seen)
        own = sorted(key for key in now.sites if key[0] == site)
        if not own:
            raise missing(f"site {site!r}: there is none in the GitOps repository")
        models = [view.placement(now, key, now.sites[key], health.value) for key in own]
        return Site.model_validate({"name": site, "models": models, **fresh(seen, health.problem)})

    @found.get("/fleet")
    async def get_fleet(
        _: Reader,
        model: Annotated[ModelName | None, Query(description="only this model")] = None,
        site: Annotated[SiteName | None, Query(description="only this site")] = None,
        differs: Annotated[bool | None, Query(description="only where what runs is (not) what git says")] = None,
        limit: pages.Limit = 100,
        after: pages.After = None,
    ) -> FleetPage:
        """Each model at each site: what it should run, what it does and since when, and how it is doing."""
        seen, health = await source.known(), await source.conditions()
        now = seen.value or Timeline()
        states = {key: view.state(one, key, health.value) for key, one in now.sites.items() if fits(key, site, model)}
        keys = sorted(key for key, found in states.items() if differs is None or found[0] is differs)
        part = pages.part(keys, "\0".join, limit, after)
        items = [view.placement(now, key, now.sites[key], health.value) for key in part.items]
        return FleetPage.model_validate(
            {
                "items": items,
                "next": part.next,
                "counts": view.counts(states[key] for key in keys),
                **fresh(seen, health.problem),
            }
        )

    return found


def fits(key: Key, site: str | None, model: str | None) -> bool:
    """Whether a model at a site is asked for."""
    return site in (None, key[0]) and model in (None, key[1])


def site_summary(now: Timeline, site: str, models: list[str], conditions: Conditions | None) -> SiteSummary:
    """A site in a list."""
    keys = [(site, model) for model in models]
    states = (view.state(now.sites[key], key, conditions) for key in keys)
    return SiteSummary(name=site, models=models, counts=view.counts(states))
