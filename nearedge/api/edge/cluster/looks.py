"""The sampler of a site on a cluster: it has addresses from Deployments and pods, and the cluster's word on them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nearedge.api.edge.cluster import reasons
from nearedge.api.edge.cluster.caches import Caches
from nearedge.api.edge.cluster.objects import Pod, Workload
from nearedge.api.edge.memory import Seen
from nearedge.api.edge.sampler import Sampler
from nearedge.api.edge.servers import Address, Talk

BY_SERVICE = "http://{service}.{namespace}.svc:8080"
GRPC_PORT = 8081
MOST_DIRECT = 2
"""Pods of a model that are asked themselves, since no Service leads to those that are not ready."""


def service_of(model: str) -> str:
    """The name of a model's Service, as releases are rendered (nearedge.delivery.gitops.manifests.service_name)."""
    return model if model[0].isalpha() else f"model-{model}"


class ClusterSampler(Sampler):
    """Looks at the models' servers, and at what the cluster says of their pods."""

    def __init__(self, talk: Talk, caches: Caches, pattern: str, folder: Path, every_s: float) -> None:
        """`pattern` says where models answer, empty: by their Services, and by their pods where they are not ready."""
        self.caches, self.pattern, self.direct = caches, pattern or BY_SERVICE, not pattern
        super().__init__(talk, self.places, folder, every_s)

    def place(self, model: str) -> str:
        """Where a model is served."""
        return self.pattern.format(model=model, service=service_of(model), namespace=self.caches.namespace)

    def places(self) -> list[Address]:
        """The servers: what the Deployments name, and before they are known those of which we know from earlier."""
        if not self.caches.workloads.listed:
            return [Address(one.url) for one in list(self.known.values())]
        found: dict[str, Address] = {}
        for one in self.caches.models():
            url = self.place(one.model)
            grpc = f"{service_of(one.model)}.{self.caches.namespace}.svc:{GRPC_PORT}" if self.direct else ""
            found.setdefault(url, Address(url, grpc=grpc, what=one.image))
            for pod in self.unready(one.model) if self.direct else ():
                url = at_pod(pod)
                found.setdefault(url, Address(url, what=pod.image))
        return list(found.values())

    def unready(self, model: str) -> list[Pod]:
        """The newest pods of a model that run and that its Service does not lead to."""
        pods = self.caches.pods_of(model)
        return [one for one in pods if one.address and one.server.state == "running" and not one.ready][:MOST_DIRECT]

    async def take(self, patience_s: float, *, count: bool) -> None:
        """As any sampler's, once the cluster told where to look, which is waited for a little."""
        await self.caches.ready()
        await super().take(patience_s, count=count)

    async def merged(self) -> dict[str, Seen]:
        """The models of all servers, and those of which only the cluster knows."""
        found = await super().merged()
        workloads = self.caches.models()
        if self.caches.workloads.listed and not self.caches.fault:
            there = {one.model for one in workloads}
            found = {name: one for name, one in found.items() if name in there or not self.faults.get(one.url)}
        for one in workloads:
            known = found.get(one.model) or Seen(one.model, self.place(one.model))
            found[one.model] = self.judged(known, one)
        return dict(sorted(found.items()))

    def judged(self, seen: Seen, workload: Workload) -> Seen:
        """What is known of a model whose server does not say: the kubelet's word, as long as we hear of it."""
        if seen.at and not self.faults.get(seen.url, "not asked yet"):
            return seen
        ready = [] if self.caches.fault else [one for one in self.caches.pods_of(workload.model) if one.ready]
        if ready and ready[0].digest not in (None, seen.digest):
            seen = replace(seen, digest=ready[0].digest, release={}, metadata={}, self_test={})
        return replace(seen, up=bool(ready), state="ready" if ready else "unknown", reason="")

    def why_not(self, seen: Seen) -> str:
        """Why a model takes no requests: what its server says, or the cluster, or why neither is known."""
        if seen.up:
            return ""
        answered = self.faults.get(seen.url) == ""
        own = seen.reason if answered else ""
        told = "" if self.caches.fault else self.cause(seen.name)
        said = "; ".join(one for one in (own, told) if one)
        return said or super().why_not(seen)

    def cause(self, model: str) -> str:
        """What the cluster says of why a model takes no requests."""
        pods, workload = self.caches.pods_of(model), self.caches.workload(model)
        return reasons.of_model(workload, pods, self.caches.of_model(model))

    def changes(self, old: Seen | None, new: Seen) -> Iterator[tuple[str, str]]:
        """As any sampler's; restarts the cluster tells of, and with their reasons."""
        return (one for one in super().changes(old, new) if one[0] != "restarted")


def at_pod(pod: Pod) -> str:
    """Where a pod itself answers."""
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    return f"http://{host}:{pod.port}"
