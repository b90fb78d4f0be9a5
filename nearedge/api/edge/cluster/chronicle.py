"""Writes down what a cluster forgets within an hour or with a pod: its events, restarts with reasons, and rollouts.

They go into the same journal as what was seen by asking servers, so that one list has all of it, in one order.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import anyio

from nearedge.api.edge.cluster.caches import MOST_WORKLOADS, Caches
from nearedge.api.edge.cluster.objects import Happening, Pod
from nearedge.api.edge.cluster.reasons import how
from nearedge.api.edge.held import when
from nearedge.api.edge.journal import Journal

Line = dict[str, str | int | float | None]
MOST_PENDING = 2000
"""Lines that wait for a disk that takes none."""
SOON, SOON_S, LATER_S = 10, 60.0, 3600.0
"""What goes on is written down again after the first so many seconds until it happened so many times, then the second:
a pod that crashes for weeks must not push out of the journal what was before. How often it happened is always known."""


class Written(NamedTuple):
    """How often something had happened when it was written down, and when that was (monotonic seconds)."""

    times: int
    at: float


class Chronicle:
    """One journal's entries of one cluster. `fault` says why nothing is written, empty where it is."""

    def __init__(self, caches: Caches, journal: Journal, every_s: float = 2.0) -> None:
        """Raises OSError where the journal cannot be read."""
        self.caches, self.journal, self.every_s = caches, journal, every_s
        self.fault = ""
        self.clock: Callable[[], float] = time.monotonic
        self.task: asyncio.Task[None] | None = None
        self.looked: tuple[tuple[int, int], ...] = ()
        self.pending: list[Line] = []
        self.written: dict[str, Written] = {}
        self.rollouts: dict[str, tuple[str | None, bool]] = {}
        for line in journal.lines():
            self.remember(line)

    def remember(self, line: Mapping[str, Any]) -> None:
        """Take over what was written earlier."""
        if isinstance(uid := line.get("uid"), str):
            times = line.get("times")
            self.written[uid] = Written(times if isinstance(times, int) else 1, 0.0)
        model = str(line.get("model"))
        if line.get("kind") == "rolling out":
            self.rollouts[model] = (line.get("digest"), False)
        elif line.get("kind") == "available":
            self.rollouts[model] = (line.get("digest"), True)

    async def start(self) -> None:
        """Begin to write."""
        self.task = asyncio.create_task(self.run())

    async def close(self) -> None:
        """Stop writing."""
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    async def run(self) -> None:
        """Write down what is new, until cancelled."""
        while True:
            self.pending = [*self.pending, *self.news()][-MOST_PENDING:]
            try:
                await anyio.to_thread.run_sync(self.write)
                self.fault = ""
            except OSError as error:
                self.fault = error.strerror or "cannot be written"
            await asyncio.sleep(self.every_s)

    def write(self) -> None:
        """Append what is pending. Raises OSError; what is not written then stays pending."""
        while self.pending:
            self.journal.add(**self.pending[0])
            del self.pending[0]

    def news(self) -> list[Line]:
        """What is not written down yet, the oldest first; nothing while the cluster is not known."""
        seen = tuple((one.recent.count, len(one.known)) for one in self.caches.all)
        if seen == self.looked or not all(one.listed for one in (self.caches.workloads, self.caches.pods)):
            return []
        self.looked = seen
        found = [line for lines in (self.events(), self.restarts(), self.moves()) for line in lines]
        return sorted(found, key=lambda line: str(line["time"]))

    def is_new(self, uid: str, times: int) -> bool:
        """Whether that is worth a line, which is then counted as written."""
        before, now = self.written.get(uid), self.clock()
        again_s = SOON_S if times <= SOON else LATER_S
        if before is not None and (times <= before.times or (before.at and now - before.at < again_s)):
            return False
        self.written[uid] = Written(times, now)
        return True

    def events(self) -> Iterator[Line]:
        """Events of the cluster."""
        happenings = self.caches.happenings()
        live = {one.uid for _, one in happenings} | {uid for uid in self.written if "/" in uid}
        self.written = {uid: one for uid, one in self.written.items() if uid in live}
        for model, one in happenings:
            if self.is_new(one.uid, one.times):
                yield of_happening(model, one)

    def restarts(self) -> Iterator[Line]:
        """Restarts of containers, each with how the one before it ended."""
        pods = [entry.value for entry in self.caches.pods.known.values()]
        there = tuple(f"{pod.uid}/" for pod in pods)
        self.written = {uid: one for uid, one in self.written.items() if "/" not in uid or uid.startswith(there)}
        for pod in pods:
            for one in pod.containers:
                if one.restarts and self.is_new(f"{pod.uid}/{one.name}", one.restarts):
                    last = one.ended or one.last
                    began = one.since or (last.at if last else None) or time.time()
                    said = how(last) if last else "ended, how is not known"
                    yield {
                        "time": when(began), "model": pod.model, "kind": "restarted", "uid": f"{pod.uid}/{one.name}",
                        "object": f"Pod/{pod.name}", "times": one.restarts,
                        "message": f"container {one.name} of pod {pod.name} {said}",
                    }  # fmt: skip

    def moves(self) -> Iterator[Line]:
        """Models whose newest pod has another image than the one before, and when such a pod is ready."""
        workloads = self.caches.models()
        if len(self.rollouts) > MOST_WORKLOADS:
            self.rollouts = {one.model: self.rollouts[one.model] for one in workloads if one.model in self.rollouts}
        for workload in workloads:
            pods = [one for one in self.caches.pods_of(workload.model) if not one.leaving]
            if not pods or pods[0].digest is None:
                continue
            digest, available = self.rollouts.get(workload.model, (None, False))
            if pods[0].digest != digest:
                digest, available = pods[0].digest, False
                yield of_move(pods[0], "rolling out", pods[0].created, f"pod {pods[0].name} is made")
            ready = [one for one in pods if one.digest == digest and one.ready]
            if ready and not available:
                condition = ready[-1].condition("Ready")
                at = condition.since if condition and condition.since else time.time()
                available = True
                yield of_move(ready[-1], "available", at, f"pod {ready[-1].name} is ready")
            self.rollouts[workload.model] = (digest, available)


def of_happening(model: str, one: Happening) -> Line:
    """The line of an event."""
    return {
        "time": when(one.last), "model": model, "kind": "warning" if one.severity == "Warning" else "normal",
        "message": one.message, "uid": one.uid, "times": one.times, "reason": one.reason,
        "object": f"{one.kind}/{one.name}",
    }  # fmt: skip


def of_move(pod: Pod, kind: str, at: float, message: str) -> Line:
    """The line of a step of a rollout."""
    return {"time": when(at), "model": pod.model, "kind": kind, "message": message, "digest": pod.digest,
            "object": f"Pod/{pod.name}"}  # fmt: skip
