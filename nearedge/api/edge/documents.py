"""Documents of the edge's API. Times are RFC 3339 in UTC; null: not known."""

from typing import Any, Literal

from pydantic import Field, RootModel

from nearedge.api.edge.pod_documents import Condition, PodState
from nearedge.api.models import Document


class SourceState(Document):
    """One thing that the answer stands on."""

    name: str
    state: Literal["ok", "missing", "not configured"] = Field(description="missing: it does not answer as it should")
    as_of: str | None = Field(description="when it last said what the answer holds of it")
    age_s: float | None = Field(description="seconds since then")
    reason: str = Field(description="why it is missing; empty where it is not")


class Known(Document):
    """What every answer about a model says of where it is from."""

    sources: list[SourceState]


class SelfTest(Document):
    """The golden samples, repeated by the server."""

    passed: bool
    samples: int | None
    largest_difference: float | None = Field(description="largest absolute difference from a golden answer")


class Restart(Document):
    """A start of the server's process that we saw."""

    at: str = Field(description="when the new process began")
    reason: str


class ModelHealth(Known):
    """How a model is doing."""

    name: str
    live: bool | None = Field(description="its server answers")
    ready: bool | None = Field(description="it takes requests")
    state: str = Field(description="loading, ready, failed, draining, or unknown")
    reason: str = Field(description="why it is not ready; empty where it is")
    self_test: SelfTest | None
    restarts: int = Field(description="that were seen, as far back as events are kept; on a cluster: of the pods there")
    last_restarts: list[Restart]
    conditions: list[Condition] = Field(default=[], description="on a cluster: of the Deployment and its newest pod")
    pods: list[PodState] = Field(default=[], description="on a cluster, the newest first")


class Version(Document):
    """A release in a few words."""

    version: str | None
    digest: str | None = Field(description="of the image")
    bin_sha256: str | None = Field(description="of the weights")
    precision: str | None


class Versions(Known):
    """What git says that the site shall run, and what it runs."""

    name: str
    desired: Version | None
    deployed: Version | None = Field(default=None, description="what the cluster was told to run, where there is one")
    running: Version | None
    same: bool | None
    reason: str = Field(description="why they differ, or why that is not known; empty where they are the same")
    commit: str | None = Field(description="of the branch that says it")


class ModelSummary(Document):
    """A model in a list."""

    name: str
    server: str = Field(description="where it is served")
    version: str | None = Field(description="of the release")
    digest: str | None
    precision: str | None
    ready: bool | None
    reason: str
    as_of: str | None = Field(description="when the server last answered")


class Tensor(Document):
    """An input or output."""

    name: str
    datatype: str
    shape: list[int]


class Model(Known):
    """General information about a model."""

    name: str
    server: str
    grpc: str
    what: str = Field(description="what nearedge serve was given: an image, a layout, a folder")
    served_versions: list[str] = Field(description="folders of the model that the server serves, as clients name them")
    version: str | None
    digest: str | None
    precision: str | None
    source: dict[str, Any] | None = Field(description="what the model was made of, as its record says")
    inputs: list[Tensor]
    outputs: list[Tensor]
    release: dict[str, Any] | None = Field(description="the identity of the release as the server has it")
    health: ModelHealth
    versions: Versions


class ReleaseIdentity(RootModel[dict[str, Any]]):
    """The identity of a release: docs/schemas/identity.json."""


class Window(Document):
    """Availability over a window that ends now."""

    window: str
    ratio: float | None = Field(description="share of the observed time in which it was ready; null: nothing observed")
    observed: float = Field(description="share of the window that was observed")
    since: str | None = Field(description="beginning of what was observed")
    origin: Literal["prometheus", "sampler"]


class Availability(Known):
    """How much of the time a model was ready."""

    name: str
    windows: list[Window]


class LogLine(Document):
    """A line of the server's log."""

    time: str | None = Field(description="as the line says, else of a line before it")
    level: str | None
    text: str


class Log(Known):
    """The end of a log."""

    name: str
    lines: list[LogLine]
    cut: bool = Field(description="true: there is more before these")


class Latency(Document):
    """Of inference requests since the server's start, estimated from buckets."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_ms: float | None


class Metrics(Known):
    """The model server's figures about a model, since its start."""

    name: str
    requests: int
    errors: int = Field(description="answered with a status from 400 up, or with an error of gRPC")
    by_code: dict[str, int]
    in_flight: int
    latency: Latency
    load_seconds: float | None
    server_resident_bytes: int | None
    server_cpu_seconds: float | None
    server_started: str | None


class Upgrade(Document):
    """A move of the site to another release."""

    commit: str | None = Field(description="null: git does not know of it, the server was seen to run it")
    committed: str | None
    to: Version
    left: Version | None
    rolled_back: bool
    running: str | None = Field(description="when it was first seen to run")
    duration_s: float | None = Field(description="from the commit until it ran")
    bytes: int | None = Field(description="that the site pulls for it, as reckoned when it was released")
    started: str | None = Field(default=None, description="when the cluster made the first pod of it")
    available: str | None = Field(default=None, description="when that was ready")
    pull_s: float | None = Field(default=None, description="that the node took to pull the image; 0: it had it")
    image_bytes: int | None = Field(default=None, description="size of the image as the node says it")


class Upgrades(Known):
    """The latest upgrades, the newest first."""

    name: str
    upgrades: list[Upgrade]


class Event(Document):
    """Something that was seen to change."""

    number: int
    time: str
    model: str
    kind: Literal[
        "appeared", "running", "ready", "not ready", "restarted", "rolling out", "available", "normal", "warning"
    ] = Field(description="normal and warning: an Event of the cluster")
    message: str
    digest: str | None = None
    version: str | None = None
    bin_sha256: str | None = None
    precision: str | None = None
    reason: str | None = Field(default=None, description="of an Event of the cluster")
    object: str | None = Field(default=None, description="that it is about: KIND/NAME")
    times: int | None = Field(default=None, description="how often that happened")


class SiteDocument(Known):
    """The site as this process sees it."""

    site: str
    models: int
    ready: int


class Action(Document):
    """A line of the audit log."""

    number: int
    time: str
    who: str
    what: str
    model: str
    outcome: Literal["begun", "done", "failed"]
    detail: str
