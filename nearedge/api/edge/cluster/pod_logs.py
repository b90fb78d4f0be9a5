"""Logs of a model's pods, by the Kubernetes API: their ends, and what is added to them, across restarts and pods."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

from nearedge.api.cluster.connection import Cluster
from nearedge.api.cluster.resources import PODS, path
from nearedge.api.edge import logs
from nearedge.api.edge.cluster.caches import Caches
from nearedge.api.edge.cluster.objects import Pod
from nearedge.api.edge.documents import LogLine
from nearedge.api.edge.held import seconds
from nearedge.api.edge.logs import Tail
from nearedge.api.edge.site import LogQuery
from nearedge.api.problems import ProblemError
from nearedge.api.streams import ServerEvent
from nearedge.errors import NearedgeError, OutsideError

PATIENCE_S = 5.0
"""For the end of a log."""
LONGEST = 4 * logs.LONGEST
"""Bytes that are kept of a line; the parameter limitBytes would leave out the newest lines."""
QUIET_S = 300.0
"""Silence after which a follower asks anew: a connection that broke without a word looks like a model without work."""
AGAIN_S, LONGEST_S = 0.25, 10.0
"""Of the pauses before a log that ended is looked for anew."""
FAILURES, LONG_S = 8, 60.0
"""How often that may fail in a row, and how long a connection must have held not to count as one that did."""
LONGEST_MARK = 40


def chosen(pods: list[Pod], query: LogQuery) -> Pod | None:
    """The pod whose log is meant: the newest that has one; `pods` are a model's, the newest first."""
    if query.previous:
        return next((one for one in pods if any(box.last for box in one.containers)), None)
    begun = [one for one in pods if one.server.state in ("running", "terminated") or one.server.last]
    return next(iter(begun or pods), None)


def container_of(pod: Pod, container: str | None) -> str:
    """The container that is meant. Raises ProblemError 404 for one that the pod has not."""
    names = [one.name for one in pod.containers]
    if container is not None and container not in names:
        raise ProblemError(404, f"pod {pod.name} has no container {container!r}; it has {', '.join(names)}")
    return container or names[0]


async def tail(caches: Caches, pod: Pod, name: str, query: LogQuery) -> Tail:
    """The end of a pod's log. Raises OutsideError where it cannot be had, ProblemError 404 for another container."""
    asked: dict[str, str | int] = {
        "container": container_of(pod, query.container), "timestamps": "true", "tailLines": query.tail + 1,
    }  # fmt: skip
    if query.previous:
        asked["previous"] = "true"
    if query.since is not None:
        asked["sinceTime"] = whole_second(query.since)
    where = path(PODS, caches.namespace, pod.name, "log")
    found: list[bytes] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for line in caches.cluster.lines(where, token="", quiet_s=PATIENCE_S, opened=None, **asked):
                found.append(line[:LONGEST])
    except TimeoutError:
        raise OutsideError(f"the log of pod {pod.name} did not come within {PATIENCE_S:g} s") from None
    except ProblemError as error:
        raise OutsideError(error.detail) from error
    if found and not is_mark(found[0].partition(b" ")[0]):
        raise OutsideError(f"the answer for the log of pod {pod.name} is no log: its lines have no time")
    lines = [line for piece in found for line in of_piece(piece, name)]
    if query.since is not None:
        lines = [line for line in lines if (seconds(line.time or "") or 0.0) >= query.since]
    return Tail(lines[-query.tail :], len(found) > query.tail)


def of_piece(piece: bytes, name: str) -> list[LogLine]:
    """A line with the cluster's time before it; none where it is about another model."""
    mark, _, said = piece.partition(b" ")
    stamped = is_mark(mark)
    return logs.read([said if stamped else piece], name, mark.decode() if stamped else None)


def is_mark(text: bytes) -> bool:
    """Whether it is a time as the cluster writes it, such as 2026-11-24T01:35:05.123456789Z."""
    return len(text) <= LONGEST_MARK and text.isascii() and text[:1].isdigit() and seconds(text.decode()) is not None


def whole_second(at: float) -> str:
    """A time as the cluster takes it; it has whole seconds."""
    return datetime.fromtimestamp(int(min(max(at, 0), 253402300799)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def start_of(pod: Pod, container: str | None) -> str:
    """Which start of which container a log is of. Raises ProblemError 404 for one that the pod has not."""
    name = container_of(pod, container)
    restarts = next(one.restarts for one in pod.containers if one.name == name)
    return f"{pod.name}/{name}/{restarts}"


class Follower:
    """One who follows a model's log."""

    def __init__(self, caches: Caches, name: str, container: str | None, after: str) -> None:
        """`after`: the place of the last line that was seen, empty for none."""
        self.caches, self.name, self.container = caches, name, container
        self.mark, self.nth = place_of(after)
        self.failures = self.fruitless = 0

    async def events(self) -> AsyncIterator[ServerEvent]:
        """An event `line` for each line, `pod` before those of another start of a container, `gone` before the end."""
        begun, why = "", ""
        while self.failures < FAILURES:
            pod = chosen(self.caches.pods_of(self.name), LogQuery(0, None))
            now = "" if pod is None else start_of(pod, self.container)
            if pod is not None and begun and now != begun:
                yield ServerEvent("pod", {"pod": pod.name, "container": container_of(pod, self.container)})
            at = time.monotonic()
            try:
                if pod is None:
                    raise OutsideError(f"model {self.name!r} has no pod any more")
                async for event in self.of_pod(pod, whole=begun not in ("", now)):
                    self.failures = self.fruitless = 0
                    yield event
                self.failures = 0
            except (NearedgeError, ProblemError) as error:
                why = error.detail if isinstance(error, ProblemError) else str(error)
                self.failures = 1 if time.monotonic() - at > LONG_S else self.failures + 1
            begun = now or begun
            await self.pause()
        yield ServerEvent("gone", {"detail": why})

    async def pause(self) -> None:
        """Wait for news of a pod, longer each time that none of it gave a line."""
        self.fruitless = min(self.fruitless + 1, 10)
        await asyncio.sleep(AGAIN_S)
        await self.caches.pods.wait(min(LONGEST_S, AGAIN_S * 2**self.fruitless))

    async def of_pod(self, pod: Pod, *, whole: bool) -> AsyncIterator[ServerEvent]:
        """What is added to one pod's log, or the `whole` of it. Raises OutsideError and ProblemError."""
        container = container_of(pod, self.container)
        asked: dict[str, str | int] = {"container": container, "follow": "true", "timestamps": "true"}
        if self.mark:
            asked["sinceTime"] = whole_second(seconds(self.mark) or 0.0)
        elif not whole:
            asked["tailLines"] = 0
        where = path(PODS, self.caches.namespace, pod.name, "log")
        async with aclosing(self.caches.cluster.lines(where, token="", quiet_s=QUIET_S, opened=None, **asked)) as lines:
            seen, passed = (self.mark, self.nth), 0
            async for piece in lines:
                mark = piece.partition(b" ")[0]
                if not is_mark(mark):
                    continue
                passed += mark.decode() == seen[0]
                if not is_behind((mark.decode(), passed), seen):
                    continue
                self.step(mark.decode())
                for line in of_piece(piece, self.name):
                    yield ServerEvent("line", line.model_dump(mode="json"), written(self.mark, self.nth))

    def step(self, mark: str) -> None:
        """Another line was read: of the time of the last, of a later one, or out of turn, which changes nothing."""
        if mark == self.mark:
            self.nth += 1
        elif not self.mark or key(mark) > key(self.mark):
            self.mark, self.nth = mark, 1


def place_of(text: str) -> tuple[str, int]:
    """The mark and number that `written` wrote; no mark where it is none of ours."""
    mark, _, nth = text.partition("/")
    if not is_mark(mark.encode(errors="replace")):
        return "", 0
    return mark, int(nth) if nth.isascii() and nth.isdigit() and len(nth) < 10 else 1


def written(mark: str, nth: int) -> str:
    """The place of the line that is the nth of its time: CRI-O gives one time to all lines that it reads at once."""
    return mark if nth == 1 else f"{mark}/{nth}"


def is_behind(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether a line's mark and number are behind others: nanoseconds count, which a float cannot tell apart."""
    return not other[0] or (key(one[0]), one[1]) > (key(other[0]), other[1])


def key(mark: str) -> tuple[float, str]:
    """What marks are ordered by: the whole second, and the digits behind it."""
    fraction = mark.partition(".")[2]
    digits = "".join(letter for letter in fraction[:9] if letter.isdigit())
    return float(int(seconds(mark) or 0.0)), digits.ljust(9, "0")


def room(cluster: Cluster, most: int) -> None:
    """Raise ProblemError 503 where too many streams are open for one more."""
    if cluster.streams >= most:
        raise ProblemError(503, f"{most} logs are followed already; try again later", {"Retry-After": "5"})
