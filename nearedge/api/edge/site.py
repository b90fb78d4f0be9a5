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
    RolledBack,
    SelfTestResult,
    SiteDocument,
    Upgrades,
    Versions,
)
from nearedge.api.streams import ServerEvent

WINDOWS: Mapping[str, int] = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
"""Windows of availability in seconds."""


class LogQuery(NamedTuple):
    """Which lines: the last `tail`, from `since` (seconds since 1970) on."""

    tail: int
    since: float | None


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

    async def follow(self, name: str, after: str) -> AsyncIterator[ServerEvent]:
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
