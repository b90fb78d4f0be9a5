"""A Pod's life as scheduler and kubelet make it: where it lands, its containers' states, their logs and Events.

Words are those of kubelet and scheduler 1.3x. A container's command runs here for real (`processes`); one without a
command runs until it is stopped, as a server would. What a test asks for by annotations of the pod:
`world/ip` (the address of a real server), `world/reason` (of a container that ended with an error: OOMKilled).
"""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nearedge.api.cluster.resources import PODS, Object
from tests.cluster_world import documents, logs, processes
from tests.cluster_world.world import Hands

LARGEST_CPU = 64.0
"""Cores of the node; a pod that asks for more stays pending."""
ABSENT = ".invalid/"
"""Images of such registries cannot be pulled (RFC 6761)."""
IP = "10.42.0.7"
PULL_S, SIZE = 1.5, 123_456_789
"""What is told of each pull; none takes any time."""


class Pod:
    """One Pod, and what its containers do. The document of the API server is written, never read back."""

    def __init__(self, hands: Hands, document: Object) -> None:
        """`document` as the API server has it."""
        self.hands, self.document = hands, document
        self.name: str = document["metadata"]["name"]
        self.containers: list[Object] = document["spec"]["containers"]
        self.phase, self.started = "Pending", ""
        self.unschedulable = ""
        self.states: dict[str, Object] = {
            one["name"]: {"waiting": {"reason": "ContainerCreating"}} for one in self.containers
        }
        self.last: dict[str, Object] = {}
        self.restarts: dict[str, int] = dict.fromkeys(self.states, 0)
        self.ready: dict[str, bool] = dict.fromkeys(self.states, False)

    @property
    def annotations(self) -> Mapping[str, str]:
        """What the test asks for."""
        found: Mapping[str, str] = self.document["metadata"].get("annotations") or {}
        return found

    def container(self, name: str) -> Object:
        """The container of that name, as the spec has it."""
        return next(one for one in self.containers if one["name"] == name)

    async def write(self) -> None:
        """Tell the API server how it stands."""
        await self.hands.patch(PODS, self.name, {"status": self.status()}, "status")

    def status(self) -> Object:
        """The status of the document."""
        if not self.started:
            left = [documents.condition("PodScheduled", False, "Unschedulable", self.unschedulable)]
            return {"phase": "Pending", "qosClass": "Burstable", "conditions": left if self.unschedulable else []}
        found = {
            "phase": self.phase, "qosClass": "Burstable", "hostIP": "192.168.7.2", "conditions": self.conditions(),
            "containerStatuses": [self.container_status(one) for one in self.containers],
        }  # fmt: skip
        ip = self.annotations.get("world/ip", IP)
        return found | {"startTime": self.started, "podIP": ip, "podIPs": [{"ip": ip}]}

    def conditions(self) -> list[Object]:
        """Initialized, Ready, ContainersReady, PodScheduled."""
        done = self.phase in ("Succeeded", "Failed")
        late = [name for name, ready in self.ready.items() if not ready]
        reason, message = "", ""
        if done:
            reason = "PodCompleted" if self.phase == "Succeeded" else "PodFailed"
        elif late:
            reason, message = "ContainersNotReady", f"containers with unready status: [{' '.join(late)}]"
        return [
            documents.condition("Initialized", True, "PodCompleted" if done else ""),
            documents.condition("Ready", not late and not done, reason, message),
            documents.condition("ContainersReady", not late and not done, reason, message),
            documents.condition("PodScheduled", True),
        ]

    def container_status(self, container: Object) -> Object:
        """One of `containerStatuses`."""
        name, image = container["name"], container["image"]
        state = self.states[name]
        known = "waiting" not in state or name in self.last
        return {
            "name": name, "image": image, "imageID": f"{image.partition('@')[0]}@{digest(image)}" if known else "",
            "containerID": f"cri-o://{digest(self.name + name).removeprefix('sha256:')}" if known else "",
            "state": state, "lastState": self.last.get(name, {}), "ready": self.ready[name],
            "started": "running" in state, "restartCount": self.restarts[name],
        }  # fmt: skip

    async def say(
        self, reason: str, message: str, container: str = "", kind: str = "Normal", by: str = "kubelet"
    ) -> None:
        """An Event about it."""
        field = f"spec.containers{{{container}}}" if container else ""
        await self.hands.tell(documents.event(self.document, reason, message, by=by, kind=kind, field=field))

    async def land(self) -> bool:
        """Schedule it and pull its images; False where it has to stay pending, for which `unschedulable` or a
        container's waiting reason says why.
        """
        cores = sum(cpu(one) for one in self.containers)
        if cores > LARGEST_CPU:
            self.unschedulable = (
                "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption "
                "victims found for incoming pod."
            )
            await self.write()
            await self.say("FailedScheduling", self.unschedulable, kind="Warning", by="default-scheduler")
            return False
        await self.hands.patch(PODS, self.name, {"spec": {"nodeName": documents.NODE}})
        where = f"{self.document['metadata']['namespace']}/{self.name}"
        await self.say("Scheduled", f"Successfully assigned {where} to {documents.NODE}", by="default-scheduler")
        self.started = documents.now()
        absent = [one for one in self.containers if ABSENT in one["image"]]
        if not absent:
            return True
        for one in absent:
            await self.not_pulled(one)
        return False

    async def not_pulled(self, container: Object) -> None:
        """As the kubelet says that a registry is not found: first the error, then that it waits."""
        name, image = container["name"], container["image"]
        host = image.partition("/")[0]
        why = (
            f"rpc error: code = Unknown desc = initializing source docker://{image}: pinging container registry "
            f'{host}: Get "https://{host}/v2/": dial tcp: lookup {host}: no such host'
        )
        self.states[name] = {"waiting": {"reason": "ErrImagePull", "message": why}}
        await self.write()
        await self.say("Pulling", f'Pulling image "{image}"', name)
        await self.say("Failed", f'Failed to pull image "{image}": {why}', name, "Warning")
        await self.say("Failed", "Error: ErrImagePull", name, "Warning")
        self.states[name] = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}}
        await self.write()
        await self.say("BackOff", f'Back-off pulling image "{image}"', name)
        await self.say("Failed", "Error: ImagePullBackOff", name, "Warning")

    async def pulled(self, name: str, image: str) -> None:
        """Once for the node; from then on the image is there."""
        told = f'Container image "{image}" already present on machine'
        if image not in self.hands.images:
            self.hands.images.add(image)
            await self.say("Pulling", f'Pulling image "{image}"', name)
            took = f"{PULL_S}s ({PULL_S}s including waiting)"
            told = f'Successfully pulled image "{image}" in {took}. Image size: {SIZE} bytes.'
        await self.say("Pulled", told, name)

    async def start(self, name: str) -> None:
        """A container's state is running from now on; not written yet."""
        if not self.restarts[name]:
            await self.pulled(name, self.container(name)["image"])
        await self.say("Created", f"Created container: {name}", name)
        await self.say("Started", f"Started container {name}", name)
        self.states[name] = {"running": {"startedAt": documents.now()}}
        if self.restarts[name]:
            await logs.opened(self.hands, self.name, name)

    async def carry_out(self, name: str, cwd: Path, env: Mapping[str, str] | None = None) -> int:
        """Run what the container runs, its lines into its log; the exit code."""
        container = self.container(name)
        command = [*(container.get("command") or ()), *(container.get("args") or ())]
        if not command:
            await asyncio.Event().wait()
        own = {one["name"]: str(one["value"]) for one in container.get("env") or () if "value" in one}

        async def line(text: str) -> None:
            await logs.write(self.hands, self.name, name, text)

        return await processes.run(command, own | dict(env or {}), cwd, line)

    def end(self, name: str, code: int, message: str = "") -> None:
        """A container's state is terminated from now on; not written yet."""
        began = self.states[name].get("running", {}).get("startedAt") or documents.now()
        reason = "Completed" if code == 0 else self.annotations.get("world/reason", "Error")
        told = {"message": message} if message else {}
        self.states[name] = {"terminated": {
            "exitCode": code, "reason": reason, "startedAt": began, "finishedAt": documents.now(),
            "containerID": f"cri-o://{digest(self.name + name).removeprefix('sha256:')}", **told,
        }}  # fmt: skip
        self.ready[name] = False


def digest(text: str) -> str:
    """The digest that an image of this name has here; the one it is named by, where it is."""
    named = text.partition("@")[2]
    return named or f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def cpu(container: Mapping[str, Any]) -> float:
    """Cores that a container requests."""
    resources = container.get("resources") or {}
    asked = str((resources.get("requests") or resources.get("limits") or {}).get("cpu", "0"))
    return float(asked[:-1]) / 1000 if asked.endswith("m") else float(asked)
