"""One node as its platform runs it, in small: what git says of a site becomes pods behind endpoints.

It follows a branch as Argo CD does, builds the site with `kubectl kustomize`, and does with the Deployment what its
controller, the kubelet and the endpoints' controller do with it: starts the image's own server, probes it as the
manifest says, sends requests to what is ready, ends what is to go. Times of the manifest are divided by `speed`.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nearedge.runner.sidecars import Sidecar, start_image
from tests.pipelines.site import free_port
from tests.service import Service, closed

TICK_S, LOOK_S = 0.02, 0.3
"""Seconds between two looks at the pods, and at git."""
LAG_S = 0.2
"""Seconds from SIGTERM until no new connection goes to a pod: its endpoints are taken away beside it, not before it."""


class Endpoints(Service):
    """A Service whose backends another controller sets."""

    async def probe(self) -> None:
        """Nothing: the kubelet probes."""


@dataclass
class Pod:
    """A pod of the Deployment with the spec `spec`; `status` is how its server ended."""

    spec: dict[str, Any]
    log: Path
    port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    sidecar: Sidecar | None = None
    ready: bool = False
    leaving: bool = False
    status: int | None = None
    probed: int = 0

    @property
    def container(self) -> dict[str, Any]:
        """Its only container."""
        (container,) = self.spec["containers"]
        return container

    @property
    def digest(self) -> str:
        """The image's."""
        return str(self.container["image"]).partition("@")[2]

    def environment(self, speed: float) -> dict[str, str]:
        """The container's, with ports of this machine for those of a pod's own address."""
        given = {one["name"]: one["value"] for one in self.container["env"]}
        drain = float(given["NEAREDGE_DRAIN_SECONDS"]) / speed
        own = {"PORT": str(self.port), "GRPC_PORT": str(self.grpc_port), "DRAIN_SECONDS": f"{drain:g}"}
        return given | {f"NEAREDGE_{name}": value for name, value in own.items()}


class Node:
    """The node of `site`, which runs `model` and follows branch main of the repository `git`."""

    def __init__(self, git: Path, site: str, model: str, folder: Path, layout: Path, speed: float) -> None:
        """`folder` gets logs and what git says; `layout` holds the OCI layout `image`, for where no podman is."""
        self.git, self.site, self.model = git, site, model
        self.folder, self.layout, self.speed = folder, layout, speed
        self.rest, self.grpc = Endpoints(), Endpoints()
        self.pods: list[Pod] = []
        self.gone: list[Pod] = []
        self.revision = ""
        self.deployment: dict[str, Any] = {}
        self.most = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.events: list[tuple[float, str]] = []

    async def start(self) -> None:
        """Open both ports and begin to follow."""
        await self.rest.start()
        await self.grpc.start()
        self.follower = asyncio.create_task(self.follow())
        self.controller = asyncio.create_task(self.control())

    async def stop(self) -> None:
        """End all pods and close the ports."""
        self.follower.cancel()
        self.controller.cancel()
        await asyncio.gather(self.follower, self.controller, return_exceptions=True)
        for pod in self.pods:
            self.leave(pod)
        await asyncio.gather(*self.tasks)
        await self.rest.stop()
        await self.grpc.stop()
        await asyncio.sleep(0.1)  # transports close a turn later

    def tell(self, what: str) -> None:
        """Remember what happened and when."""
        self.events.append((time.monotonic(), what))

    def spawn(self, work: Any) -> None:
        """Run `work` beside; what it raises ends `stop`."""
        task = asyncio.create_task(work)
        self.tasks.add(task)

    async def follow(self) -> None:
        """Apply what the branch says whenever it says something else."""
        while True:
            said = ["git", "-C", str(self.git), "rev-parse", "-q", "--verify", "main"]
            revision = (await asyncio.to_thread(output, said)).strip()
            if revision and revision != self.revision:
                self.deployment = await asyncio.to_thread(self.desired, revision)
                self.revision = revision
                self.tell(f"git says {self.image.partition('@')[2][:19]}")
            await asyncio.sleep(LOOK_S)

    def desired(self, revision: str) -> dict[str, Any]:
        """The site's Deployment as kustomize builds it."""
        at = self.folder / revision
        at.mkdir()
        archive = subprocess.run(["git", "-C", str(self.git), "archive", revision], capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", str(at)], input=archive.stdout, check=True)
        place = at / "sites" / self.site / self.model
        built = yaml.safe_load_all(output(["kubectl", "kustomize", str(place)]))
        (found,) = [one for one in built if one["kind"] == "Deployment"]
        return found

    @property
    def image(self) -> str:
        """The image that git asks for."""
        return str(self.deployment["spec"]["template"]["spec"]["containers"][0]["image"])

    async def control(self) -> None:
        """Bring the pods to what the Deployment says, again and again."""
        while True:
            if self.deployment:
                self.reconcile()
            await asyncio.sleep(TICK_S)

    def reconcile(self) -> None:
        """One step of the Deployment's controller, for one replica."""
        spec = self.deployment["spec"]
        wanted = spec["template"]["spec"]
        staying = [pod for pod in self.pods if not pod.leaving]
        new = [pod for pod in staying if pod.spec == wanted]
        old = [pod for pod in staying if pod.spec != wanted]
        if spec["strategy"]["type"] == "Recreate" and old:
            for pod in old:
                self.leave(pod)
        elif spec["strategy"]["type"] == "Recreate" and not new and not self.pods:
            self.begin(wanted)
        elif spec["strategy"]["type"] == "RollingUpdate":
            assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
            if not new:
                self.begin(wanted)
            if any(pod.ready for pod in new):
                for pod in old:
                    self.leave(pod)

    def begin(self, spec: dict[str, Any]) -> None:
        """Start a pod."""
        number = len(self.pods) + len(self.gone)
        pod = Pod(spec, self.folder / f"pod-{number}.log")
        self.pods.append(pod)
        self.most = max(self.most, len(self.pods))
        self.spawn(self.live(pod))

    async def live(self, pod: Pod) -> None:
        """What the kubelet does for a pod: start it, ask until it has started, then whether it is ready."""
        image, env = str(pod.container["image"]), pod.environment(self.speed)
        pod.sidecar = await asyncio.to_thread(start_image, image, [self.layout], (), pod.log, None, env)
        self.tell(f"{pod.digest[:19]} started")
        startup, readiness = pod.container["startupProbe"], pod.container["readinessProbe"]
        while not pod.leaving and not await self.asked(pod, startup):
            assert pod.probed < startup["failureThreshold"], "the kubelet would start it again"
            await asyncio.sleep(startup["periodSeconds"] / self.speed)
        failures = 0
        while not pod.leaving:
            good = await self.asked(pod, readiness)
            failures = 0 if good else failures + 1
            if good or failures >= readiness["failureThreshold"]:
                self.turn(pod, good)
            await asyncio.sleep(readiness["periodSeconds"] / self.speed)

    async def asked(self, pod: Pod, probe: dict[str, Any]) -> bool:
        """One probe over HTTP."""
        pod.probed += 1
        try:
            return await asyncio.wait_for(answers(pod.port, probe["httpGet"]["path"]), probe["timeoutSeconds"])
        except (OSError, TimeoutError):
            return False

    def turn(self, pod: Pod, ready: bool) -> None:
        """Make a pod ready or not, and its endpoints with it."""
        if pod.leaving:
            return
        if ready != pod.ready:
            self.tell(f"{pod.digest[:19]} {'ready' if ready else 'not ready'}")
        pod.ready = self.rest.backends[pod.port] = self.grpc.backends[pod.grpc_port] = ready

    def leave(self, pod: Pod) -> None:
        """Let a pod go: SIGTERM, and its endpoints a moment later."""
        if not pod.leaving:
            pod.leaving = True
            self.tell(f"{pod.digest[:19]} is to go")
            self.spawn(self.end(pod))
            self.spawn(self.drop(pod))

    async def drop(self, pod: Pod) -> None:
        """Take its endpoints away."""
        await asyncio.sleep(LAG_S)
        self.rest.backends.pop(pod.port, None)
        self.grpc.backends.pop(pod.grpc_port, None)

    async def end(self, pod: Pod) -> None:
        """SIGTERM, and SIGKILL after the pod's grace period."""
        while pod.sidecar is None:  # it is being started
            await asyncio.sleep(TICK_S)
        grace = pod.spec["terminationGracePeriodSeconds"] / self.speed
        pod.status = await asyncio.to_thread(pod.sidecar.running.stop, grace)
        self.pods.remove(pod)
        self.gone.append(pod)
        self.tell(f"{pod.digest[:19]} ended with {pod.status}")

    def settled(self, digest: str) -> bool:
        """Whether the pods are one ready one of this image. Raises what following git or the pods came to."""
        for task in (self.follower, self.controller, *self.tasks):
            if task.done():
                task.result()
        return [(pod.digest, pod.ready, pod.leaving) for pod in self.pods] == [(digest, True, False)]


async def until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(TICK_S)


async def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b" 200 " in await reader.readline()
    finally:
        await closed(writer)


def output(argv: list[str]) -> str:
    """What a program prints; empty where it fails."""
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60).stdout
