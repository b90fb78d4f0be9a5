"""Documents of what can be done about a model. Times are RFC 3339 in UTC; null: not known."""

from typing import Annotated, Any, Literal

from pydantic import Field

from nearedge.api.edge.documents import Known
from nearedge.api.models import Document

Level = Literal["debug", "info", "warning", "error"]
"""What a model server logs at the least, from more to less."""
PullState = Literal["none", "pending", "pulling", "done", "failed"]
DIGEST = r"^sha256:[0-9a-f]{64}$"


class Rollback(Document):
    """Where to go back to."""

    to: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:+-]*$")] = Field(
        default="previous", description="previous, or a commit, an image's digest or its first digits, or a version"
    )


class RolledBack(Document):
    """What git says now."""

    commit: str
    changed: bool = Field(description="false: the site was there already")
    left: str | None = Field(description="digest of the image that it leaves")
    to: str | None = Field(description="digest of the image that it comes to")
    reason: str = Field(description="why it stays where it is")


class SelfTestResult(Document):
    """What the server said of its self-test."""

    passed: bool | None
    result: dict[str, Any]


class LastSync(Document):
    """The newest time that git's state was put into the cluster, or is being put there."""

    phase: str = Field(description="Running, Succeeded, Failed, Error or Terminating")
    revision: str | None = Field(description="the commit")
    message: str
    started: str | None
    finished: str | None
    by: str = Field(description="who asked for it; automatic: nobody did")


class Sync(Known):
    """How the site follows git with a model."""

    name: str
    application: str | None = Field(description="what follows git: NAMESPACE/NAME of Argo CD's Application")
    models: list[str] = Field(description="that this Application moves together, this one among them")
    automated: bool | None = Field(description="changes of git are taken over without being asked; null: not known")
    paused: bool | None = Field(description="somebody paused that here; null: not known, or nothing follows git")
    paused_by: str | None
    paused_at: str | None
    status: str | None = Field(description="Synced, OutOfSync or Unknown, as Argo CD says")
    revision: str | None = Field(description="the commit that was put into the site last")
    wanted: str | None = Field(description="the newest commit that Argo CD has seen in git")
    health: str | None = Field(description="Healthy, Progressing, Degraded, ..., as Argo CD says")
    last: LastSync | None
    reason: str = Field(description="what stands in the way, or why nothing is known; empty where all is well")


class PrePullWanted(Document):
    """Which image."""

    digest: Annotated[str, Field(pattern=DIGEST)] | None = Field(
        default=None,
        description="of an image of this model that git names; null: the one that git wants and that does not run yet",
    )


class PrePull(Known):
    """An image that is brought to the site before it is to run."""

    name: str
    state: PullState = Field(description="none: nobody asked for one, or it was forgotten")
    image: str | None = Field(description="by digest")
    version: str | None = Field(description="of the release")
    reason: str = Field(description="what it waits for, or why it failed")
    bytes: int | None = Field(description="size of the image, as whoever pulled it says")
    by: str | None
    asked: str | None
    ended: str | None


class LogLevelWanted(Document):
    """How much to log."""

    level: Level


class LogLevel(Known):
    """What the model's server logs at the least. What was set here is lost when the server ends."""

    name: str
    level: Level | None
    at_start: Level | None = Field(description="what it logs from its next start on")
    models: list[str] = Field(description="of the same server: its log level is that of all of them")
    reason: str = Field(description="why the level is not known; empty where it is")
