"""Watches that several followers share: one for each caller and what is watched, kept while they are used.

A watch begins with its first use and ends some time after its last. A caller's token is in memory as long, and nowhere
else; what finds the watch again is its hash.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nearedge.api.cluster.connection import handed_on
from nearedge.api.cluster.resources import Api, Object
from nearedge.api.cluster.watched import NOT_YET, Watched
from nearedge.api.core.tekton.reach import Reach
from nearedge.api.problems import ProblemError
from nearedge.errors import OutsideError

MOST = 50
"""Watches at a time; the one that was used least lately ends."""
PATIENCE_S = 9.0
"""Seconds that the first list may take."""
DENIED = (401, 403, 404)
"""Statuses that do not pass by waiting: what was heard before is not for the caller any more."""
OLDEST_S = 60.0
"""Seconds for which what was heard last is handed out while the cluster is away."""


class Wanted(NamedTuple):
    """What to watch, how to keep it, and how many seconds after its last use."""

    api: Api
    labels: str
    reduce: Callable[[Object], Any | None]
    kept_s: float


@dataclass(eq=False)
class Shared:
    """A watch, the task that runs it, how many use it now, and when the last one stopped."""

    watched: Watched[Any]
    running: asyncio.Task[None]
    kept_s: float
    users: int = 0
    used: float = 0.0
    fresh: bool = True
    sorted: tuple[object, list[Any]] = ((), [])

    def over(self, now: float) -> bool:
        """Whether nobody has used it for long enough."""
        return not self.users and now - self.used > self.kept_s


@dataclass
class Watches:
    """The watches there are. Its methods are for the event loop."""

    reach: Reach
    found: dict[tuple[bytes, Api, str], Shared] = field(default_factory=dict)
    sweeping: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def of(self, wanted: Wanted, given: str) -> AsyncIterator[Shared]:
        """A watch that has listed everything. Raises ProblemError where the cluster does not let it, or OutsideError.

        `fresh` is true for its first user, who may have missed what happened before it began.
        """
        token = self.reach.token(given)
        key = (hashlib.sha256(token.encode()).digest(), wanted.api, wanted.labels)
        shared = self.found.get(key) or self.begin(key, wanted, token)
        shared.users += 1
        try:
            if not await shared.watched.synced(PATIENCE_S):
                raise refused(shared.watched)
            if shared.watched.refused in DENIED or stale(shared.watched):
                raise refused(shared.watched)
            yield shared
        finally:
            shared.users -= 1
            shared.used = time.monotonic()
            shared.fresh = False

    def begin(self, key: tuple[bytes, Api, str], wanted: Wanted, token: str) -> Shared:
        """Start a watch, in the place of an idle one where there are too many. Raises ProblemError 503."""
        self.sweep()
        if len(self.found) >= MOST:
            idle = min(
                (one for one in self.found.items() if not one[1].users), key=lambda one: one[1].used, default=None
            )
            if idle is None:
                raise ProblemError(503, f"{MOST} callers watch runs already; try again later", {"Retry-After": "30"})
            self.end(idle[0])
        watched = Watched(
            self.reach.cluster, wanted.api, self.reach.namespace, wanted.reduce, token=token, labels=wanted.labels
        )
        running = asyncio.create_task(watched.run(), name=f"watch of {wanted.api.plural}")
        self.found[key] = shared = Shared(watched, running, wanted.kept_s)
        if self.sweeping is None or self.sweeping.done():
            self.sweeping = asyncio.create_task(self.sweep_often(), name="end of idle watches")
        return shared

    def sweep(self) -> None:
        """End what is over, and what ended by a fault of ours."""
        now = time.monotonic()
        for key in [key for key, one in self.found.items() if one.over(now) or one.running.done()]:
            self.end(key)

    async def sweep_often(self) -> None:
        """Sweep while there is anything to."""
        while self.found:
            await asyncio.sleep(min(one.kept_s for one in self.found.values()) / 4)
            self.sweep()

    def end(self, key: tuple[bytes, Api, str]) -> None:
        """End a watch, and forget its token."""
        shared = self.found.pop(key)
        shared.running.cancel()
        shared.watched.stop()

    async def aclose(self) -> None:
        """End all."""
        tasks = [one.running for one in self.found.values()] + ([self.sweeping] if self.sweeping else [])
        for key in list(self.found):
            self.end(key)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def denial(watched: Watched[Any]) -> AsyncIterator[Any]:
    """Nothing, until the cluster does not let the watch any more: then what `refused` says is raised."""
    while True:
        news = watched.news
        if watched.refused in DENIED:
            raise refused(watched)
        await news.wait()
    yield  # a generator like the changes that it is merged with


def stale(watched: Watched[Any]) -> bool:
    """Whether the cluster has been away for too long."""
    broken = bool(watched.fault) and not watched.left_out
    return broken and (watched.heard is None or time.time() - watched.heard > OLDEST_S)


def refused(watched: Watched[Any]) -> Exception:
    """Why nothing can be said."""
    if watched.refused == 404:
        return ProblemError(502, f"the cluster has no {watched.what}; is Tekton Pipelines 1.0 or newer installed?")
    status = handed_on(watched.refused, own=not watched.token)
    if status == watched.refused:
        return ProblemError(status, watched.fault)
    if watched.fault.endswith(NOT_YET):
        return ProblemError(503, f"{watched.what} are being listed; try again in a moment", {"Retry-After": "3"})
    return OutsideError(watched.fault)
