"""A site on a cluster: its Deployments say which models there are, and pods, events and logs how they are doing."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from nearedge.api.access import Role
from nearedge.api.cluster.connection import MOST_STREAMS, Cluster
from nearedge.api.cluster.reviews import Right
from nearedge.api.edge import changes
from nearedge.api.edge.changes import named
from nearedge.api.edge.cluster import pod_logs, rollouts, states
from nearedge.api.edge.cluster.caches import Caches
from nearedge.api.edge.cluster.chronicle import Chronicle
from nearedge.api.edge.cluster.looks import ClusterSampler
from nearedge.api.edge.control import NoControl
from nearedge.api.edge.documents import Event, Log, ModelHealth, SourceState, Upgrade, Version, Versions
from nearedge.api.edge.held import absent, state_of
from nearedge.api.edge.memory import Seen
from nearedge.api.edge.servers import Talk
from nearedge.api.edge.settings import Settings
from nearedge.api.edge.shown import Shown
from nearedge.api.edge.site import LogQuery
from nearedge.api.problems import ProblemError
from nearedge.api.streams import ServerEvent
from nearedge.errors import OutsideError

VIRTUAL = ("nearedge.dev", "models")
MOST_FOLLOWERS = MOST_STREAMS - 10
"""Logs that are followed at once; watches and what is read at once need streams as well."""


def rights(namespace: str) -> Mapping[Role, Right]:
    """What people need: verbs on a resource of no object, which only we ask for (manifests/edge/components/api)."""
    return {"read": Right("get", *VIRTUAL, namespace), "manage": Right("update", *VIRTUAL, namespace)}


class ClusterSite(Shown):
    """The models of one namespace."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        """Nothing is asked yet; raises OSError where what was kept cannot be read."""
        self.cluster = cluster
        self.caches = Caches(cluster, settings.namespace)
        talk = Talk(settings.server_token, settings.timeout_s, settings.log_token)
        self.looks = ClusterSampler(talk, self.caches, settings.server_address, settings.folder, settings.every_s)
        super().__init__(settings, self.looks, talk)
        self.chronicle = Chronicle(self.caches, self.sampler.events, min(2.0, settings.every_s))

    async def start(self) -> None:
        """Begin to watch."""
        await self.caches.start()
        await self.chronicle.start()
        await super().start()

    async def close(self) -> None:
        """Stop watching."""
        await super().close()
        await self.chronicle.close()
        await self.caches.close()
        await self.cluster.aclose()

    async def own_sources(self) -> list[SourceState]:
        """The cluster, its events, and our record of them."""
        await self.caches.ready()
        chronicle = [state_of("chronicle", None, self.chronicle.fault)] if self.chronicle.fault else []
        return [self.caches.source(), self.caches.of_events(), *chronicle]

    async def health(self, name: str) -> ModelHealth:
        """How one is doing, with what the cluster says of its Deployment and pods."""
        found = await super().health(name)
        seen, pods, workload = await self.served(name), self.caches.pods_of(name), self.caches.workload(name)
        happenings = self.caches.of_model(name)
        alive = any(one.server.state == "running" for one in pods) if not self.caches.fault else None
        return found.model_copy(
            update={
                "live": found.live or alive if pods or not found.live else found.live,
                "state": found.state if seen.at and self.sampler.faults.get(seen.url) == "" else seen.state,
                "restarts": sum(one.server.restarts for one in pods) if pods else found.restarts,
                "pods": [states.pod(one, happenings) for one in pods],
                "conditions": states.conditions(workload, pods),
                "sources": [*found.sources, self.caches.source()],
            }
        )

    async def versions(self, name: str) -> Versions:
        """What it shall run, what the cluster was told to run, and what runs."""
        said, seen = await self.desired(), await self.served(name)
        workload = self.caches.workload(name)
        digest = workload.digest if workload else None
        deployed = workload and Version(version=workload.version, digest=digest, bin_sha256=None, precision=None)
        running = seen.version if seen.at or seen.digest else None
        wanted = said.value.models.get(name) if said and said.value else None
        way = await self.way(seen, wanted, deployed, running)
        wanted, same, reason = changes.difference(name, self.settings.site, said, running, "", way)
        if same is None and way:
            reason = f"{reason}; {way}"
        return Versions(
            name=name, desired=wanted, deployed=deployed, running=running, same=same, reason=reason,
            commit=said.value.commit if said and said.value else None,
            sources=[self.of_server(seen), self.of_git(said), self.caches.source()],
        )  # fmt: skip

    async def way(self, seen: Seen, wanted: Version | None, deployed: Version | None, running: Version | None) -> str:
        """How far the site is on its way to what git wants; empty where there is nothing to say."""
        name, found = seen.name, []
        if wanted is not None and (deployed is None or deployed.digest != wanted.digest):
            told = named(deployed) if deployed else "nothing"
            found.append(f"not synced yet, the cluster was told to run {told}{await self.of_sync(name)}")
        same = running is not None and deployed is not None and deployed.digest in (None, running.digest)
        if deployed is not None and not (same and (deployed.digest or seen.up)):
            cause = "" if self.caches.fault else self.looks.cause(name)
            waits = "its new pod is ready, and its server is not asked again yet"
            found.append(f"{named(deployed)} does not answer yet: {cause or self.caches.fault or waits}")
        return "; ".join(found)

    async def of_sync(self, name: str) -> str:
        """What is known of how the site follows git, for a reason."""
        if isinstance(self.control, NoControl):
            return ""
        sync = await self.control.sync(name)
        last = sync.last.message if sync.last and sync.last.phase in ("Failed", "Error", "Running") else ""
        paused = "paused" if sync.paused else ""
        found = "; ".join(one for one in (sync.status or "", paused, sync.reason, last) if one)
        return f" ({found})" if found else ""

    def with_more(self, upgrades: list[Upgrade], lines: Sequence[Mapping[str, Any]]) -> list[Upgrade]:
        """Upgrades with when the cluster began and ended them, and how images were pulled."""
        return rollouts.merged(upgrades, rollouts.of_lines(lines), changes.MOST)

    async def log(self, name: str, query: LogQuery) -> Log:
        """The end of the log of its newest pod that has one."""
        await self.served(name)
        pod = pod_logs.chosen(self.caches.pods_of(name), query)
        if pod is None:
            why = "no container of its pods was started again" if query.previous else "it has no pod"
            missing = state_of("log", None, self.caches.fault) if self.caches.fault else absent("log", why)
            return Log(name=name, lines=[], cut=False, sources=[missing])
        try:
            tail = await pod_logs.tail(self.caches, pod, name, query)
        except OutsideError as error:
            return Log(name=name, lines=[], cut=False, sources=[state_of("log", None, str(error))])
        return Log(name=name, lines=tail.lines, cut=tail.cut, sources=[state_of("log", time.time(), "")])

    async def follow(self, name: str, after: str, container: str | None = None) -> AsyncIterator[ServerEvent]:
        """What is added to the log of its newest pod. Raises ProblemError 404, 409 without a pod, 503 if too many."""
        await self.served(name)
        pod = pod_logs.chosen(self.caches.pods_of(name), LogQuery(0, None))
        if pod is None:
            raise ProblemError(409, f"model {name!r}: it has no pod, so there is no log")
        pod_logs.container_of(pod, container)
        pod_logs.room(self.cluster, MOST_FOLLOWERS)
        return pod_logs.Follower(self.caches, name, container, after).events()

    async def events(self) -> Sequence[Event]:
        """What was seen to change and what the cluster told of, the newest first; what goes on is there once."""
        times = {one.uid: one.times for _, one in self.caches.happenings()}
        return states.newest(reversed(await self.lines()), times)
