"""A site without Kubernetes: the models that `nearedge serve`, or a serving image, serves on this machine."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import anyio

from nearedge.api.edge import changes, exposition, figures, logs, views
from nearedge.api.edge.actions import Actions
from nearedge.api.edge.availability import Records
from nearedge.api.edge.client import LARGEST
from nearedge.api.edge.desired import Desired, Mirror
from nearedge.api.edge.documents import (
    Availability,
    Event,
    Log,
    Metrics,
    Model,
    ModelHealth,
    ModelSummary,
    SiteDocument,
    SourceState,
    Upgrades,
    Versions,
)
from nearedge.api.edge.held import Held, Said, absent, in_a_line, state_of
from nearedge.api.edge.memory import Seen
from nearedge.api.edge.sampler import Sampler
from nearedge.api.edge.servers import MOST_MODELS, Address, Talk
from nearedge.api.edge.settings import Settings
from nearedge.api.edge.site import LogQuery
from nearedge.api.problems import ProblemError, missing
from nearedge.api.streams import ServerEvent
from nearedge.errors import MachineError, NearedgeError, OutsideError
from nearedge.runner import serving

NO_CONTAINERS = "there are no containers here; nearedge serve keeps one log of a port; leave out previous and container"
NO_LOG = "its server was not started by nearedge serve here, so its log is not known"
GIT_PATIENCE_S = 2.0
"""How long an answer waits for git, which is asked for every `git_every_s` seconds at most."""


class EmbeddedSite(Actions):
    """The default site."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is asked yet; raises OSError where what was kept cannot be read."""
        self.settings = settings
        self.talk = Talk(settings.server_token, settings.timeout_s)
        self.sampler = Sampler(self.talk, self.addresses, settings.folder, settings.every_s)
        self.records = Records(settings.prometheus, self.sampler.rings)
        self.figures: dict[str, tuple[float, Metrics]] = {}
        self.task: asyncio.Task[None] | None = None
        self.git: Held[Desired] | None = None
        self.mirror: Mirror | None = None
        if settings.target is not None:
            at = settings.folder / "gitops.git"
            self.mirror = mirror = Mirror(settings.target, settings.site, at, settings.git_access)
            self.git = Held(lambda: anyio.to_thread.run_sync(mirror.read), settings.git_every_s, GIT_PATIENCE_S)
        super().__init__(settings, self.sampler, self.talk, self.mirror, self.git)

    def addresses(self) -> list[Address]:
        """The servers: those of the settings first, then what `nearedge serve` started."""
        named = [Address(url) for url in self.settings.servers]
        found = serving.found(self.settings.home / "serving")
        return [*named, *islice((one for one in found if one.url not in self.settings.servers), MOST_MODELS)]

    async def start(self) -> None:
        """Begin to watch."""
        self.task = asyncio.create_task(self.sampler.run())

    async def close(self) -> None:
        """Stop watching."""
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task
        await self.sampler.close()
        if self.git is not None:
            await self.git.close()

    async def desired(self) -> Said[Desired] | None:
        """What git says; None where there is none configured."""
        return None if self.git is None else await self.git.get()

    def of_server(self, seen: Seen) -> SourceState:
        """The server of a model as a source."""
        return state_of("server", seen.at or None, self.sampler.faults.get(seen.url, ""))

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

    async def versions(self, name: str) -> Versions:
        """What it shall run, and what it runs."""
        said, seen = await self.desired(), await self.served(name)
        running = seen.version if seen.at else None
        why_not = "" if seen.up else self.sampler.why_not(seen)
        wanted, same, reason = changes.difference(name, self.settings.site, said, running, why_not)
        return Versions(
            name=name, desired=wanted, running=running, same=same, reason=reason,
            commit=said.value.commit if said and said.value else None,
            sources=[self.of_server(seen), self.of_git(said)],
        )  # fmt: skip

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
        found = changes.upgrades(moves, lines)
        return Upgrades(name=name, upgrades=found, sources=[self.of_server(seen), source])

    async def log(self, name: str, query: LogQuery) -> Log:
        """The end of its server's log."""
        path = await self.log_path(name)
        if path is None or query.previous or query.container:
            why = NO_CONTAINERS if query.previous or query.container else NO_LOG
            return Log(name=name, lines=[], cut=False, sources=[absent("log", why)])
        try:
            tail = await anyio.to_thread.run_sync(logs.tail, path, name, query.tail, query.since)
        except MachineError as error:
            return Log(name=name, lines=[], cut=False, sources=[state_of("log", None, str(error))])
        return Log(name=name, lines=tail.lines, cut=tail.cut, sources=[state_of("log", time.time(), "")])

    async def log_path(self, name: str) -> Path | None:
        """The log of a model's server; None where somebody else started it."""
        address = self.sampler.at.get((await self.served(name)).url)
        return Path(address.log) if address and address.log else None

    async def follow(self, name: str, after: str, container: str | None = None) -> AsyncIterator[ServerEvent]:
        """What is added to its server's log. Raises ProblemError 409 where we cannot see it."""
        path = await self.log_path(name)
        if path is None or container:
            raise ProblemError(409, f"model {name!r}: {NO_CONTAINERS if container else NO_LOG}")
        return logs.follow(path, name, await logs.beginning(path, after))

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
