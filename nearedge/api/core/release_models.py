"""Documents of the core's API about releases, sites and the fleet. Times are RFC 3339 in UTC."""

from typing import Annotated, Literal

from pydantic import Field

from nearedge.api.models import Document, Page
from nearedge.release.record import Record

ModelName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$", description="name of a model")]
SiteName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$", description="name of a site")]
ReleaseId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$", description="first 12 hex digits of the image's digest")]
ReleaseText = Annotated[
    str, Field(min_length=1, max_length=128, pattern=r"^[\w.+:-]+$", description="an id, a digest, or a version")
]

PlanText = Annotated[
    str,
    Field(pattern=r"^(|[0-9a-f]{32})$", description="`plan` of a dry run: 412 where anything else would be done"),
]


class Fresh(Document):
    """How new an answer is."""

    as_of: str | None = Field(description="when git was read last; null: never")
    stale: bool = Field(description="true: git could not be read when it last should have been")
    sources: dict[str, str] = Field(description="ok, not configured, or what is wrong, for git and prometheus")


class ReleaseSummary(Document):
    """A release in a list."""

    id: str
    model: str
    version: str
    precision: str
    profile: str
    image: str = Field(description="without digest")
    digest: str
    size_bytes: int
    commit: str = Field(description="that brought it first, as far as the branch's past is known")
    when: str
    figures: dict[str, str] = Field(description="measured when it was released, as a person reads them")
    sites: int = Field(description="that shall run it now")


class Release(ReleaseSummary):
    """A whole release."""

    record: Record


class ModelSummary(Document):
    """A model in a list."""

    name: str
    releases: int
    newest: str | None = Field(description="id of the newest release that was published, which new sites get")
    version: str | None
    sites: int


class Model(Document):
    """A model, and the release that each site shall run. Its ETag is what If-Match of a move means."""

    name: str
    newest: str | None
    sites: dict[str, str | None] = Field(description="id of the release by site; null: what it runs is none of ours")


class Number(Document):
    """A figure as a number."""

    value: float
    unit: str


class FigureRow(Document):
    """One figure of two releases; null: not measured."""

    name: str
    a: str | None
    b: str | None
    a_number: Number | None
    b_number: Number | None
    better: Literal["a", "b", "same"] | None = Field(description="null: not known, or one of them was not measured")


class Comparison(Document):
    """Two releases side by side."""

    a: ReleaseSummary
    b: ReleaseSummary
    figures: list[FigureRow]


class DesiredRelease(Document):
    """What git says."""

    id: str | None = Field(description="null: the site's files name no release of ours")
    version: str | None
    digest: str | None
    commit: str = Field(description="that said so first")
    since: str | None = Field(description="null: longer than the known past of the branch")


class RunningRelease(Document):
    """What the site says."""

    id: str | None
    version: str
    digest: str
    since: str | None = Field(description="to ten minutes; of what runs for over a week, a week ago when first seen")


class Condition(Document):
    """How it is doing, from the core's Prometheus; null: it does not know."""

    ready: bool | None
    available_1h: float | None = Field(description="the chance that a request made in the last hour was answered")
    available_30d: float | None
    p99_ms: float | None = Field(description="of whole requests in the last five minutes")
    memory_bytes: float | None


class Placement(Document):
    """A model at a site."""

    site: str
    model: str
    desired: DesiredRelease
    running: list[RunningRelease] = Field(description="several while one takes the place of another; none: not known")
    differs: bool | None = Field(description="whether what runs is not what git says; null: not known")
    condition: Condition


class Counts(Document):
    """Of models at sites, all that the filters let through."""

    total: int
    differing: int
    unknown: int
    not_ready: int


class SiteSummary(Document):
    """A site in a list."""

    name: str
    models: list[str]
    counts: Counts


class Site(Fresh):
    """A site."""

    name: str
    models: list[Placement]


class ModelPage(Page[ModelSummary], Fresh):
    """A part of the models."""


class ReleasePage(Page[ReleaseSummary], Fresh):
    """A part of the releases of a model, the newest first."""


class SitePage(Page[SiteSummary], Fresh):
    """A part of the sites."""


class FleetPage(Page[Placement], Fresh):
    """A part of the fleet, by site and model."""

    counts: Counts


class Promote(Document):
    """Move sites to a release."""

    release: ReleaseText
    sites: list[SiteName] = Field(min_length=1, max_length=5000)
    expected: ReleaseText | None = Field(default=None, description="the release that all of the sites shall run so far")
    dry_run: bool = Field(default=False, description="true: say what would change, and change nothing")
    plan: PlanText = ""


class Rollback(Document):
    """Set sites back."""

    to: ReleaseText = Field(
        default="previous", description="previous: what each site ran before; or an id, a digest, a version, a commit"
    )
    sites: list[SiteName] = Field(default=[], max_length=5000, description="none: all that run the model")
    expected: ReleaseText | None = Field(default=None, description="the release that all of the sites shall run so far")
    dry_run: bool = Field(default=False, description="true: say what would change, and change nothing")
    plan: PlanText = ""


class MovedSite(Document):
    """A site that comes to another release."""

    site: str
    from_id: str | None
    from_version: str | None
    to_id: str
    to_version: str
    pull_bytes: int | None = Field(description="what it pulls for it by what git says it has; null: not recorded")
    at_most: bool = Field(description="true: whole layers were counted, partial pulls need less")


class FileChange(Document):
    """A file that would change; null: it is no text."""

    path: str
    change: Literal["added", "modified", "removed"]
    added: int | None
    removed: int | None


class Moved(Document):
    """What a promotion or a rollback did, or would do."""

    model: str
    dry_run: bool
    changed: bool = Field(description="false: nothing was to do")
    commit: str = Field(description="of the branch that says it; of a dry run, the one it would build on")
    sites: list[MovedSite]
    stay: dict[str, str] = Field(description="sites that do not move, and why")
    files: list[FileChange] = Field(default=[], description="of a dry run")
    message: str = Field(default="", description="of a dry run: the commit's")
    diff: str = Field(default="", description="of a dry run, its first 200,000 characters")
    diff_cut: bool = False
    plan: str = Field(default="", description="of a dry run: stands for its files and message; see `plan` of a request")
