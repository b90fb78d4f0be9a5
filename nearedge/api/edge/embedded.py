"""A site without Kubernetes: the models that `nearedge serve`, or a serving image, serves on this machine."""

import time
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path

import anyio

from nearedge.api.edge import changes, logs
from nearedge.api.edge.documents import Log, Versions
from nearedge.api.edge.held import absent, state_of
from nearedge.api.edge.sampler import Sampler
from nearedge.api.edge.servers import MOST_MODELS, Address, Talk
from nearedge.api.edge.settings import Settings
from nearedge.api.edge.shown import Shown
from nearedge.api.edge.site import LogQuery
from nearedge.api.problems import ProblemError
from nearedge.api.streams import ServerEvent
from nearedge.errors import MachineError
from nearedge.runner import serving

NO_CONTAINERS = "there are no containers here; nearedge serve keeps one log of a port; leave out previous and container"
NO_WAY = "nearedge serve does not follow git; stop it, and start it with that release"
NO_LOG = "its server was not started by nearedge serve here, so its log is not known"


class EmbeddedSite(Shown):
    """The default site."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is asked yet; raises OSError where what was kept cannot be read."""
        talk = Talk(settings.server_token, settings.timeout_s, settings.log_token)
        super().__init__(settings, Sampler(talk, self.addresses, settings.folder, settings.every_s), talk)

    def addresses(self) -> list[Address]:
        """The servers: those of the settings first, then what `nearedge serve` started."""
        named = [Address(url) for url in self.settings.servers]
        found = serving.found(self.settings.home / "serving")
        return [*named, *islice((one for one in found if one.url not in self.settings.servers), MOST_MODELS)]

    async def versions(self, name: str) -> Versions:
        """What it shall run, and what it runs."""
        said, seen = await self.desired(), await self.served(name)
        running = seen.version if seen.at else None
        why_not = "" if seen.up else self.sampler.why_not(seen)
        wanted, same, reason = changes.difference(name, self.settings.site, said, running, why_not, NO_WAY)
        return Versions(
            name=name, desired=wanted, running=running, same=same, reason=reason,
            commit=said.value.commit if said and said.value else None,
            sources=[self.of_server(seen), self.of_git(said)],
        )  # fmt: skip

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
