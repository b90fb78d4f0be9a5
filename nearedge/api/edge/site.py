"""What the edge's API asks of a site. Routes know this protocol and nothing else."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nearedge.api.edge.documents import (
    Action,
    Availability,
    Event,
    Log,
    Metrics,
    Model,
    ModelHealth,
    ModelSummary,
    SiteDocument,
    Upgrades,
    Versions,
)
from nearedge.api.edge.manage_documents import Level, LogLevel, PrePull, RolledBack, SelfTestResult, Sync
from nearedge.api.streams import ServerEvent

WINDOWS: Mapping[str, int] = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
"""Windows of availability in seconds."""


class LogQuery(NamedTuple):
    """Which lines: the last `tail`, from `since` (seconds since 1970) on, of the container that runs or the `previous`.

    `container` is one of several; None: the model server.
    """

    tail: int
    since: float | None
    previous: bool = False
    container: str | None = None


class Site(Protocol):
    """Raises ProblemError 404 for a model that is not known, and nearedge's own errors for what a person asked to do.

    What is only looked at never fails for want of a source: the answer says which one is missing.
    """

    async def start(self) -> None:
        """Begin to watch."""

    async def close(self) -> None:
        """Stop watching."""

    async def health_of_sources(self) -> dict[str, str]:
        """What it stands on: "ok" or what is wrong, by name."""

    async def site(self) -> SiteDocument:
        """The site."""

    async def models(self) -> Sequence[ModelSummary]:
        """The models, by name."""

    async def model(self, name: str) -> Model:
        """General information about one."""

    async def release(self, name: str) -> Mapping[str, Any]:
        """The identity of the release that runs. ProblemError 404 where the model has none."""

    async def health(self, name: str) -> ModelHealth:
        """How one is doing."""

    async def availability(self, name: str, windows: Sequence[str]) -> Availability:
        """How much of the time it was ready; `windows` are of WINDOWS."""

    async def versions(self, name: str) -> Versions:
        """What it shall run, and what it runs."""

    async def upgrades(self, name: str) -> Upgrades:
        """How it came to that."""

    async def log(self, name: str, query: LogQuery) -> Log:
        """The end of its server's log."""

    async def follow(self, name: str, after: str, container: str | None = None) -> AsyncIterator[ServerEvent]:
        """What is added to its server's log, or was behind the place `after`."""

    async def metrics(self, name: str) -> Metrics:
        """Its server's figures."""

    async def metrics_text(self, name: str) -> bytes:
        """Its server's `/metrics` as they are. OutsideError where there are none."""

    async def events(self) -> Sequence[Event]:
        """What was seen to change, the newest first."""

    async def audit(self) -> Sequence[Action]:
        """What was done here, the newest first."""

    async def self_test(self, name: str, who: str) -> SelfTestResult:
        """Have its server repeat the golden samples."""

    async def roll_back(self, name: str, to: str, who: str) -> RolledBack:
        """Have git say that the site goes back."""

    async def sync(self, name: str) -> Sync:
        """How the site follows git with it."""

    async def pause(self, name: str, who: str) -> Sync:
        """Follow git no more by itself. ProblemError 409 where that cannot be; paused already, it stays so."""

    async def resume(self, name: str, who: str) -> Sync:
        """Undo `pause`, that and nothing else. ProblemError 409 as there."""

    async def sync_now(self, name: str, who: str) -> Sync:
        """Begin to put into the site what git says now. ProblemError 409 where that cannot be, or is under way."""

    async def pre_pulled(self, name: str) -> PrePull:
        """How the newest pre-pull stands."""

    async def pre_pull(self, name: str, digest: str | None, who: str) -> PrePull:
        """Begin to bring an image here. ProblemError 409 where there is none to bring, or one is on its way."""

    async def log_level(self, name: str) -> LogLevel:
        """What its server logs."""

    async def set_log_level(self, name: str, level: Level, who: str) -> LogLevel:
        """Have its server log that, until it ends. ProblemError 409 where it does not let us, OutsideError."""
