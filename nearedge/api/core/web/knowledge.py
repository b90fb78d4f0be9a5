"""What the pages of releases and the fleet know from git and Prometheus, and how old that is."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request

from nearedge.api.core import fleet_view as view
from nearedge.api.core.fleet_source import ABSENT
from nearedge.api.core.release_models import ReleaseSummary
from nearedge.api.core.site_health import Conditions
from nearedge.api.core.web.site import of
from nearedge.api.kept import Seen
from nearedge.delivery.gitops.timeline import Timeline

NO_GIT = "no GitOps repository"


@dataclass(frozen=True)
class Fresh:
    """How old a page's knowledge is; a source's problem is empty where all is well, `without` where there is none."""

    git_as_of: str | None
    git_problem: str
    git_stale: bool
    health_as_of: str | None = None
    health_problem: str = ""
    health_stale: bool = False
    without_git: bool = False
    without_health: bool = False


async def of_git(request: Request) -> tuple[Timeline, Fresh]:
    """What git says, nothing where there is none."""
    source = of(request).fleet
    if source is None:
        return Timeline(), Fresh(None, NO_GIT, git_stale=False, without_git=True)
    seen = await source.known()
    return seen.value or Timeline(), fresh(seen, None)


async def of_both(request: Request) -> tuple[Timeline, Conditions | None, Fresh]:
    """What git and Prometheus say."""
    source = of(request).fleet
    if source is None:
        return Timeline(), None, Fresh(None, NO_GIT, git_stale=False, without_git=True)
    seen, health = await source.known(), await source.conditions()
    return seen.value or Timeline(), health.value, fresh(seen, health)


def fresh(git: Seen[Timeline], health: Seen[Conditions] | None) -> Fresh:
    """How old both are."""
    if health is None:
        return Fresh(git.as_of, git.problem, git.stale)
    absent = health.problem == ABSENT
    return Fresh(
        git.as_of, git.problem, git.stale, health.as_of, "" if absent else health.problem, health.stale,
        without_health=absent,
    )  # fmt: skip


def summaries(now: Timeline, model: str) -> list[ReleaseSummary]:
    """The releases of a model, the newest first. Raises ProblemError 404."""
    sites = view.at_release(now, model)
    found = sorted(view.releases_of(now, model).values(), key=view.sort_key)
    return [view.summary(one, sites.get(one.digest, 0)) for one in found]


def sites_of(now: Timeline, model: str) -> Mapping[str, str | None]:
    """The release's id that each site shall run of a model."""
    return {site: view.id_of(one.digest) for site, one in sorted(now.of_model(model).items())}
