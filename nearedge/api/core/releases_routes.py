"""Routes of models and their releases."""

from collections import Counter
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from nearedge.api import pages
from nearedge.api.application import PREFIX, RESPONSES, Reader
from nearedge.api.core import fleet_view as view
from nearedge.api.core.fleet_source import ABSENT, FleetSource
from nearedge.api.core.release_models import (
    Comparison,
    FigureRow,
    Model,
    ModelName,
    ModelPage,
    Number,
    Release,
    ReleaseId,
    ReleasePage,
    ReleaseText,
)
from nearedge.api.kept import Seen
from nearedge.delivery.gitops import comparison
from nearedge.delivery.gitops.fleet import BASE
from nearedge.delivery.gitops.timeline import Timeline


def fresh(git: Seen[Timeline], prometheus: str = ABSENT) -> dict[str, object]:
    """The fields of Fresh."""
    sources = {"git": git.problem or "ok", "prometheus": prometheus or "ok"}
    return {"as_of": git.as_of, "stale": git.stale, "sources": sources}


def aged(response: Response, git: Seen[Timeline]) -> None:
    """Say how old an answer is where it has no field for that (RFC 9111, 5.1)."""
    response.headers["Age"] = str(git.age_s)


def router(source: FleetSource) -> APIRouter:
    """`/models`, their releases, and two of them side by side."""
    found = APIRouter(prefix=f"{PREFIX}/models", tags=["releases"], responses=RESPONSES)

    @found.get("")
    async def list_models(_: Reader, limit: pages.Limit = 100, after: pages.After = None) -> ModelPage:
        """The models that the GitOps repository holds or held."""
        seen = await source.known()
        now = seen.value or Timeline()
        part = pages.part(now.models(), str, limit, after)
        sites = Counter(model for _, model in now.sites)
        items = [view.model_summary(now, name, sites[name]) for name in part.items]
        return ModelPage.model_validate({"items": items, "next": part.next, **fresh(seen)})

    @found.get("/{name}", response_model=Model, responses=pages.UNCHANGED)
    async def get_model(_: Reader, request: Request, response: Response, name: ModelName) -> object:
        """A model, and the release that each site shall run; its ETag is for If-Match of a promotion or rollback."""
        seen = await source.known()
        now = view.known(seen)
        view.releases_of(now, name)
        aged(response, seen)
        sites = {site: one.digest for site, one in now.of_model(name).items()}
        return pages.tagged(request, response, view.model_document(name, now.folders.get((name, BASE), ""), sites))

    @found.get("/{name}/releases")
    async def list_releases(
        _: Reader, name: ModelName, limit: pages.Limit = 50, after: pages.After = None
    ) -> ReleasePage:
        """All releases of a model that the branch holds or held, the newest first."""
        seen = await source.known()
        now = view.known(seen)
        some = sorted(view.releases_of(now, name).values(), key=view.sort_key)
        part = pages.part(some, view.sort_key, limit, after)
        sites = view.at_release(now, name)
        items = [view.summary(one, sites.get(one.digest, 0)) for one in part.items]
        return ReleasePage.model_validate({"items": items, "next": part.next, **fresh(seen)})

    @found.get("/{name}/releases/{id}", response_model=Release, responses=pages.UNCHANGED)
    async def get_release(
        _: Reader,
        request: Request,
        response: Response,
        name: ModelName,
        id: ReleaseId,  # noqa: A002  # what the path calls it
    ) -> object:
        """A release with its whole record: the newest one, where the branch held several of that image."""
        seen = await source.known()
        now = view.known(seen)
        known = view.find(now, name, id)
        record = await to_thread.run_sync(source.record, known)
        short = view.summary(known, view.at_release(now, name).get(known.digest, 0))
        aged(response, seen)
        return pages.tagged(request, response, Release(**short.model_dump(), record=record))

    @found.get("/{name}/compare", response_model=Comparison, responses=pages.UNCHANGED)
    async def compare_releases(
        _: Reader,
        request: Request,
        response: Response,
        name: ModelName,
        a: Annotated[ReleaseText, Query()],
        b: Annotated[ReleaseText, Query()],
    ) -> object:
        """The figures of two releases side by side, and which is better where that is known."""
        seen = await source.known()
        now = view.known(seen)
        known = [view.find(now, name, text) for text in (a, b)]
        records = [await to_thread.run_sync(source.record, one) for one in known]
        sites = view.at_release(now, name)
        first, second = (view.summary(one, sites.get(one.digest, 0)) for one in known)
        aged(response, seen)
        rows = [row(one) for one in comparison.compared(*records)]
        return pages.tagged(request, response, Comparison(a=first, b=second, figures=rows))

    return found


def row(one: comparison.Row) -> FigureRow:
    """One figure of both."""
    return FigureRow(
        name=one.name, a=one.a, b=one.b, a_number=number(one.a_number), b_number=number(one.b_number), better=one.better
    )


def number(one: comparison.Number | None) -> Number | None:
    """A figure as a number."""
    return None if one is None else Number(value=one.value, unit=one.unit)
