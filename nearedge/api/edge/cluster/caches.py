"""What the cluster tells of the models' namespace, kept up to date: Deployments, pods and events."""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import suppress

from nearedge.api.cluster.connection import Cluster
from nearedge.api.cluster.resources import DEPLOYMENTS, EVENTS, PODS
from nearedge.api.cluster.watched import Watched
from nearedge.api.edge.cluster.objects import Happening, Pod, Workload
from nearedge.api.edge.cluster.reduced import SELECTOR, of_deployment, of_event, of_pod
from nearedge.api.edge.documents import SourceState
from nearedge.api.edge.held import state_of

MOST_WORKLOADS, MOST_PODS, MOST_EVENTS = 256, 1000, 3000
PATIENCE_S = 0.5
"""How long an answer waits for the first list."""
MADE = re.compile(r"(-[a-z0-9]{1,12})?(-[a-z0-9]{5})?")
"""What names of ReplicaSets and pods have behind that of their Deployment."""
KSERVE = re.compile(r"-predictor$")


class Caches:
    """Three watches."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        """Nothing is asked yet."""
        self.cluster, self.namespace = cluster, namespace
        self.workloads = Watched(cluster, DEPLOYMENTS, namespace, of_deployment, labels=SELECTOR, most=MOST_WORKLOADS)
        self.pods = Watched(cluster, PODS, namespace, of_pod, labels=SELECTOR, most=MOST_PODS)
        self.events = Watched(cluster, EVENTS, namespace, of_event, most=MOST_EVENTS)
        self.all = (self.workloads, self.pods, self.events)
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to watch."""
        self.tasks = [asyncio.create_task(one.run()) for one in self.all]

    async def close(self) -> None:
        """Stop watching."""
        for one in self.all:
            one.stop()
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def ready(self, patience_s: float = PATIENCE_S) -> bool:
        """Whether Deployments and pods were listed once, which is waited for so long."""
        until = time.monotonic() + patience_s
        return await self.workloads.synced(patience_s) and await self.pods.synced(max(0.0, until - time.monotonic()))

    @property
    def fault(self) -> str:
        """Why Deployments and pods are not up to date; empty where they are."""
        return self.workloads.fault or self.pods.fault

    def source(self) -> SourceState:
        """The cluster as a source of answers."""
        heard = [one.heard for one in (self.workloads, self.pods)]
        return state_of("kubernetes", min((at for at in heard if at is not None), default=None), self.fault)

    def of_events(self) -> SourceState:
        """Its events as a source."""
        return state_of("kubernetes events", self.events.heard, self.events.fault)

    def models(self) -> list[Workload]:
        """The Deployments, by the models that they serve; may be called from another thread."""
        return sorted((entry.value for entry in list(self.workloads.known.values())), key=lambda one: one.model)

    def workload(self, model: str) -> Workload | None:
        """The Deployment of a model."""
        return next((one for one in self.models() if one.model == model), None)

    def pods_of(self, model: str) -> list[Pod]:
        """The pods of a model, the newest first; may be called from another thread."""
        found = [entry.value for entry in list(self.pods.known.values()) if entry.value.model == model]
        return sorted(found, key=lambda one: (one.created, one.name), reverse=True)

    def happenings(self) -> list[tuple[str, Happening]]:
        """The events about models, with the model, the newest first."""
        names = [(one.name, one.model) for one in self.models()]
        names += [(KSERVE.sub("", name), model) for name, model in names if KSERVE.search(name)]
        everything = [entry.value for entry in self.events.known.values()]
        found = [(model, one) for one in everything if (model := self.about(one, names))]
        return sorted(found, key=lambda pair: pair[1].last, reverse=True)

    def about(self, one: Happening, names: Sequence[tuple[str, str]]) -> str:
        """The model that an event is about, empty for none; also of pods that are gone."""
        pod = self.pods.known.get(one.name) if one.kind == "Pod" else None
        if pod is not None:
            return pod.value.model
        fits = [
            (len(name), model)
            for name, model in names
            if one.name.startswith(name) and MADE.fullmatch(one.name, len(name))
        ]
        return max(fits)[1] if fits else ""

    def of_model(self, model: str) -> list[Happening]:
        """The events about a model, the newest first."""
        return [one for about, one in self.happenings() if about == model]
