"""The scheduler and the kubelet of the one node: Pods land, run, get ready, crash and come back.

Back-off is the kubelet's with a twentieth of a second in place of ten. Pods of TaskRuns are the Tekton stand-in's.
Readiness: an httpGet probe is asked for real at the address `world/ip` and its port; a pod without that annotation is
ready while it runs, unless its annotation `world/ready` is "false". Not modelled: liveness and startup probes, init
containers, limits, volumes, eviction, grace.
"""

import asyncio
import contextlib
from pathlib import Path

from nearedge.api.cluster.resources import PODS, Object
from tests.cluster_world.pods import Pod
from tests.cluster_world.world import Hands

FIRST_S, LONGEST_S = 0.05, 2.0
"""Of the back-off: ten seconds and five minutes of a real kubelet."""
PROBE_S = 0.1
"""Between probes."""


class Kubelet:
    """The controller."""

    def __init__(self, hands: Hands) -> None:
        """Nothing happens yet."""
        self.hands = hands
        self.lives: dict[str, tuple[str, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Look after all Pods."""
        await self.hands.follow(PODS, self.changed, self.gone)

    def changed(self, document: Object) -> None:
        """A new one begins to live; one that is to go goes."""
        metadata = document["metadata"]
        name, uid = metadata["name"], metadata["uid"]
        if any(one["kind"] == "TaskRun" for one in metadata.get("ownerReferences") or ()):
            return
        known = self.lives.get(name)
        if metadata.get("deletionTimestamp"):
            self.gone(name)
            self.hands.spawn(self.hands.delete(PODS, name))
        elif known is None or known[0] != uid:
            self.gone(name)
            if document.get("status", {}).get("phase", "Pending") == "Pending":
                self.lives[name] = uid, self.hands.spawn(self.live(Pod(self.hands, document)))

    def gone(self, name: str) -> None:
        """It stops."""
        if name in self.lives:
            self.lives.pop(name)[1].cancel()

    async def live(self, pod: Pod) -> None:
        """From Pending to its end."""
        await pod.write()
        if not await pod.land():
            return
        folder = self.hands.folder(pod.name)
        for one in pod.containers:
            (folder / one["name"]).mkdir()
            await pod.start(one["name"])
        pod.phase = "Running"
        async with asyncio.TaskGroup() as group:
            probes = [group.create_task(self.probe(pod, one)) for one in pod.containers]
            lives = [group.create_task(self.keep(pod, one["name"], folder / one["name"])) for one in pod.containers]
            codes = [await life for life in lives]
            for probe in probes:
                probe.cancel()
        pod.phase = "Failed" if any(codes) else "Succeeded"
        await pod.write()

    async def keep(self, pod: Pod, name: str, folder: Path) -> int:
        """A container, again and again where the restartPolicy says so; its last exit code."""
        policy = pod.document["spec"].get("restartPolicy", "Always")
        await pod.write()
        while True:
            code = await pod.carry_out(name, folder)
            pod.end(name, code)
            await pod.write()
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                return code
            await self.back_off(pod, name)
            await pod.start(name)
            await pod.write()

    async def back_off(self, pod: Pod, name: str) -> None:
        """Wait before a container is started again, longer each time."""
        number = pod.restarts[name]
        pod.last[name] = pod.states[name]
        metadata = pod.document["metadata"]
        where = f"{pod.name}_{metadata['namespace']}({metadata['uid']})"
        if number:
            told = f"back-off {min(300, 10 * 2 ** (number - 1))}s restarting failed container={name} pod={where}"
            pod.states[name] = {"waiting": {"reason": "CrashLoopBackOff", "message": told}}
            await pod.write()
            await pod.say("BackOff", f"Back-off restarting failed container {name} in pod {where}", name, "Warning")
            await asyncio.sleep(min(LONGEST_S, FIRST_S * 2 ** min(number, 10)))
        pod.restarts[name] = number + 1

    async def probe(self, pod: Pod, container: Object) -> None:
        """Ask whether a container is ready, again and again."""
        name = container["name"]
        asked = (container.get("readinessProbe") or {}).get("httpGet")
        said = True
        while True:
            ready = "running" in pod.states[name] and pod.annotations.get("world/ready") != "false"
            if ready and asked and "world/ip" in pod.annotations:
                ready = await answers(pod.annotations["world/ip"], port_of(container, asked["port"]), asked["path"])
                if said and not ready:
                    await pod.say("Unhealthy", "Readiness probe failed: HTTP probe failed", name, "Warning")
                said = ready
            if ready != pod.ready[name] and "running" in pod.states[name]:
                pod.ready[name] = ready
                await pod.write()
            await asyncio.sleep(PROBE_S)


def port_of(container: Object, port: int | str) -> int:
    """The number of a port that a probe names."""
    if isinstance(port, int):
        return port
    return int(next(one["containerPort"] for one in container["ports"] if one.get("name") == port))


async def answers(host: str, port: int, path: str) -> bool:
    """Whether GET gives a status below 400."""
    writer = None
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            line = await reader.readline()
        return 200 <= int(line.split()[1]) < 400
    except (OSError, ValueError, IndexError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
