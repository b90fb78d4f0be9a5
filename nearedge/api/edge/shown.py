"""What a site shows of its models, wherever they run: what servers, git, Prometheus and our own looks say."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from nearedge.api.edge import changes, exposition, figures, views
from nearedge.api.edge.actions import Actions
from nearedge.api.edge.availability import Records
from nearedge.api.edge.client import LARGEST
from nearedge.api.edge.desired import Desired, Mirror
from nearedge.api.edge.documents import (
    Availability,
    Event,
    Metrics,
    Model,
    ModelHealth,
    ModelSummary,
    SiteDocument,
    SourceState,
    Upgrade,
    Upgrades,
    Versions,
)
from nearedge.api.edge.held import Held, Said, absent, in_a_line, state_of
from nearedge.api.edge.memory import Seen
from nearedge.api.edge.sampler import Sampler
from nearedge.api.edge.servers import Talk
from nearedge.api.edge.settings import Settings
from nearedge.api.problems import missing
from nearedge.errors import NearedgeError, OutsideError

END_S = 5.0
"""Seconds for what goes on when the end comes."""
GIT_PATIENCE_S = 2.0
"""How long an answer waits for git, which is asked for every `git_every_s` seconds at most."""


class Shown(Actions, ABC):
    """The part of a site that shows things; where logs are and what should run, each kind of site says itself."""

    def __init__(self, settings: Settings, sampler: Sampler, talk: Talk) -> None:
        """Nothing is asked yet; raises OSError where what was kept cannot be read."""
        self.records = Records(settings, sampler.rings)
        self.figures: dict[str, tuple[float, Metrics]] = {}
        self.task: asyncio.Task[None] | None = None
        git: Held[Desired] | None = None
        mirror: Mirror | None = None
        if settings.target is not None:
            at = settings.folder / "gitops.git"
            known = mirror = Mirror(settings.target, settings.site, at, settings.git_access)
            git = Held(lambda: anyio.to_thread.run_sync(known.read), settings.git_every_s, GIT_PATIENCE_S)
        super().__init__(settings, sampler, talk, mirror, git)

    async def start(self) -> None:
        """Begin to watch."""
        self.task = asyncio.create_task(self.sampler.run())

    async def close(self) -> None:
        """Stop watching."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=END_S)
        await self.sampler.close()
        if self.git is not None:
            await self.git.close()

    @abstractmethod
    async def versions(self, name: str) -> Versions:
        """What it shall run, and what it runs."""

    def with_more(self, upgrades: list[Upgrade], lines: Sequence[Mapping[str, Any]]) -> list[Upgrade]:
        """Upgrades with what this kind of site knows of them besides; `lines` are a model's events."""
        del lines  # a site without a cluster knows no more
        return upgrades

    async def own_sources(self) -> list[SourceState]:
        """What this kind of site stands on besides servers, git, Prometheus and its store."""
        return []

    async def desired(self) -> Said[Desired] | None:
        """What git says; None where there is none configured."""
        return None if self.git is None else await self.git.get()

    def of_server(self, seen: Seen) -> SourceState:
        """The server of a model as a source."""
        return state_of(
            "server", seen.at or None, self.sampler.faults.get(seen.url, "" if seen.at else "not asked yet")
        )

    @staticmethod
    def of_git(said: Said[Desired] | None) -> SourceState:
        """Git as a source."""
        return absent("git", "give --git-url") if said is None else said.state("git")

    async def health_of_sources(self) -> dict[str, str]:
        """Each server, git and the folder that we write to."""
        await self.sampler.fresh()
        found = {f"server {url}": fault or "ok" for url, fault in self.sampler.faults.items()}
        said = await self.desired()
        if said is not None:
            found["git"] = said.fault or "ok"
        found |= {one.name: one.reason or "ok" for one in await self.own_sources()}
        return {**found, "store": self.sampler.fault or "ok"}

    async def site(self) -> SiteDocument:
        """The site."""
        await self.sampler.fresh()
        sources = [
            state_of(f"server {url}", self.sampler.held[url].said.at, fault)
            for url, fault in self.sampler.faults.items()
            if url in self.sampler.held
        ]
        known = list(self.sampler.known.values())
        sources += [
            *await self.own_sources(),
            self.of_git(await self.desired()),
            self.records.source(),
            state_of("store", None, self.sampler.fault),
        ]
        return SiteDocument(
            site=self.settings.site, models=len(known), ready=sum(one.up for one in known), sources=sources
        )

    async def models(self) -> Sequence[ModelSummary]:
        """The models, by name."""
        await self.sampler.fresh()
        return [views.summary(one, self.sampler.why_not(one)) for one in self.sampler.known.values()]

    async def model(self, name: str) -> Model:
        """General information about one."""
        seen, health, versions = await self.served(name), await self.health(name), await self.versions(name)
        address = self.address_of(seen)
        return views.model(seen, address, health, versions)

    async def release(self, name: str) -> Mapping[str, Any]:
        """The identity of the release that runs."""
        seen = await self.served(name)
        if not seen.release:
            raise missing(f"model {name!r}: its server tells of no release; it was not made by these Pipelines")
        return seen.release

    async def health(self, name: str) -> ModelHealth:
        """How one is doing."""
        lines = await anyio.to_thread.run_sync(self.sampler.restarts, name)
        seen = await self.served(name)  # nothing is waited for behind it: the sampler may look meanwhile
        fault = self.sampler.faults.get(seen.url)
        return views.health(seen, fault, self.sampler.why_not(seen), lines, [self.of_server(seen)])

    async def availability(self, name: str, windows: Sequence[str]) -> Availability:
        """How much of the time it was ready."""
        seen = await self.served(name)
        return await self.records.availability(seen.name, windows)

    async def upgrades(self, name: str) -> Upgrades:
        """How it came to what it runs."""
        seen, said = await self.served(name), await self.desired()
        source, moves = self.of_git(said), []
        if self.mirror is not None and said is not None and said.value is not None and not said.fault:
            try:
                async with asyncio.timeout(GIT_PATIENCE_S * 2):
                    moves = await anyio.to_thread.run_sync(self.mirror.moves, name, abandon_on_cancel=True)
            except (NearedgeError, OSError, TimeoutError) as error:
                source = state_of("git", said.at, in_a_line(error) if str(error) else "its history takes long to read")
        lines = [line for line in await self.lines() if line.get("model") == name]
        found = self.with_more(changes.upgrades(moves, lines), lines)
        return Upgrades(name=name, upgrades=found, sources=[self.of_server(seen), source])

    async def metrics(self, name: str) -> Metrics:
        """Its server's figures, those known last where it does not answer."""
        try:
            text = (await self.metrics_text(name)).decode(errors="replace")
            found = figures.summary(name, list(exposition.samples(text)), [state_of("server", time.time(), "")])
            self.figures = {key: one for key, one in self.figures.items() if key in self.sampler.known}
            self.figures[name] = (time.time(), found)
            return found
        except OutsideError as error:
            at, before = self.figures.get(name, (None, figures.summary(name, [], [])))
            return before.model_copy(update={"sources": [state_of("server", at, str(error))]})

    async def metrics_text(self, name: str) -> bytes:
        """Its server's `/metrics` as they are. Raises OutsideError."""
        seen = await self.served(name)
        answer = await self.talk.get(self.address_of(seen), "/metrics", largest=LARGEST)
        if answer.status != 200:
            raise OutsideError(f"{seen.url}: /metrics has status {answer.status}")
        return answer.body

    async def lines(self) -> list[Mapping[str, Any]]:
        """The lines of events, the oldest first; none where they cannot be read."""
        try:
            return await anyio.to_thread.run_sync(self.sampler.events.lines)
        except OSError:
            return []

    async def events(self) -> Sequence[Event]:
        """What was seen to change, the newest first."""
        return [views.event(line) for line in reversed(await self.lines())]
