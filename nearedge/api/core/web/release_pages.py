"""The releases of each model as git holds them, one of them, and two side by side."""

from dataclasses import dataclass

from anyio import to_thread
from fastapi import Request, Response

from nearedge.api.core import fleet_view as view
from nearedge.api.core.web import knowledge
from nearedge.api.core.web.gate import Looking, new_router, see
from nearedge.api.core.web.site import of, page
from nearedge.api.core.web.wording import segment
from nearedge.api.problems import missing
from nearedge.delivery.gitops import comparison
from nearedge.delivery.gitops.figures import figures
from nearedge.delivery.gitops.timeline import Known
from nearedge.release.record import Record

router = new_router()
MOST_RELEASES = 200
"""Rows of the table; the newest are shown."""


@dataclass(frozen=True)
class Fact:
    """What two releases are by their identity: the same or not."""

    name: str
    a: str
    b: str


@router.get("/models")
async def models(request: Request, visitor: Looking) -> Response:
    """All models."""
    now, fresh = await knowledge.of_git(request)
    found = [view.model_summary(now, name, len(now.of_model(name))) for name in now.models()]
    return page(request, visitor, "models.html", {"models": found, "fresh": fresh})


@router.get("/models/{name}")
async def model(request: Request, visitor: Looking, name: str) -> Response:
    """The releases of a model, two of which can be chosen."""
    now, fresh = await knowledge.of_git(request)
    found = knowledge.summaries(now, name)
    values = {
        "name": name, "releases": found[:MOST_RELEASES], "total": len(found), "fresh": fresh,
        "sites": knowledge.sites_of(now, name), "versions": {one.id: one.version for one in found},
    }  # fmt: skip
    return page(request, visitor, "model.html", values)


@router.get("/models/{name}/releases/{text}")
async def release(request: Request, visitor: Looking, name: str, text: str) -> Response:
    """A release with its figures and its whole record."""
    now, fresh = await knowledge.of_git(request)
    known = view.find(now, name, text)
    found = await record_of(request, known)
    sites = [site for site, own in knowledge.sites_of(now, name).items() if own == known.id]
    values = {
        "release": view.summary(known, len(sites)), "record": found, "figures": figures(found), "fresh": fresh,
        "sites": sites, "others": [one for one in knowledge.summaries(now, name) if one.id != known.id],
    }  # fmt: skip
    return page(request, visitor, "release.html", values)


@router.get("/models/{name}/compare")
async def compare(request: Request, visitor: Looking, name: str, a: str = "", b: str = "") -> Response:
    """Two releases side by side."""
    if not a or not b:
        return see(f"/models/{segment(name)}")
    now, fresh = await knowledge.of_git(request)
    first, second = view.find(now, name, a), view.find(now, name, b)
    records = await record_of(request, first), await record_of(request, second)
    counts = view.at_release(now, name)
    values = {
        "name": name, "a": view.summary(first, counts.get(first.digest, 0)), "fresh": fresh,
        "b": view.summary(second, counts.get(second.digest, 0)),
        "rows": comparison.compared(*records), "facts": facts(*records),
    }  # fmt: skip
    return page(request, visitor, "compare.html", values)


async def record_of(request: Request, release: Known) -> Record:
    """The release's record. Raises ProblemError 404, InputError where it cannot be read just now."""
    source = of(request).fleet
    if source is None:
        raise missing(f"release {release.id}: {knowledge.NO_GIT}")
    return await to_thread.run_sync(source.record, release)


def facts(a: Record, b: Record) -> list[Fact]:
    """What the two are: where they differ is where their figures come from."""
    return [
        Fact(name, first, second) for (name, first), second in zip(identity(a), dict(identity(b)).values(), strict=True)
    ]


def identity(record: Record) -> list[tuple[str, str]]:
    """What a release is, by name."""
    own = record.identity
    runtime = ", ".join(
        f"{name} {value}" for name, value in own.runtime.model_dump(mode="json").items() if value not in (None, "")
    )
    return [
        ("version", own.version), ("precision", str(own.precision)), ("profile", own.profile),
        ("source", own.source.sha256[:12]), ("OpenVINO", own.ir.openvino), ("runtime configuration", runtime),
        ("golden samples", str(own.golden.count) if own.golden else "none"),
    ]  # fmt: skip
