"""Objects of a cluster, kept up to date by a watch that lasts: listed once, resumed where it broke off, bounded.

Source of the protocol: Kubernetes API Concepts, "Efficient detection of changes". A watch goes on behind the
resourceVersion that it saw last, bookmarks included; where that is gone (410) everything is listed anew.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Generic

from nearedge.api.cluster.changes import Changed, Entry, Recent, Value, name_of, version_of
from nearedge.api.cluster.connection import Cluster, StatusError, read
from nearedge.api.cluster.resources import Api, Object, path
from nearedge.api.problems import ProblemError
from nearedge.errors import OutsideError

WATCH_S, QUIET_S = 240, 255.0
"""Seconds after which the server ends a watch, and of silence after which the connection must be dead."""
SHORTEST_S, LONGEST_S = 0.5, 30.0
"""Of the back-off."""
NOT_YET = "are not listed yet"
"""The fault of a watch that has not met any."""
STEADY_S, LOOSE = 5.0, 3
"""Seconds for which a watch has to go on to count as well; one that was open for less counts as so many failures in a
row at the most, as the server is there."""


class GoneError(Exception):
    """The server forgot what we had seen."""


class Watched(Generic[Value]):
    """The objects of one kind in a namespace, by name, as `reduce` makes them; None of it is left out.

    `fault` is why they are not up to date, empty where they are; `heard` when the server last said something, in Unix
    time; `refused` the status where it does not let us.
    """

    def __init__(
        self, cluster: Cluster, api: Api, namespace: str, reduce: Callable[[Object], Value | None], *, token: str = "",
        labels: str = "", fields: str = "", most: int = 20_000,
    ) -> None:  # fmt: skip
        """Nothing is asked yet. `most`: objects that are kept; what is more is left out, and `fault` says so."""
        self.cluster, self.where, self.token = cluster, path(api, namespace), token
        self.reduce, self.most = reduce, most
        self.query = {name: text for name, text in (("labelSelector", labels), ("fieldSelector", fields)) if text}
        self.what = api.plural
        self.known: dict[str, Entry[Value]] = {}
        self.recent: Recent[Value] = Recent()
        self.version = ""
        self.fault, self.refused = f"{self.what} {NOT_YET}", 0
        self.heard: float | None = None
        self.left_out = False
        self.listed = False
        self.news = asyncio.Event()
        self.stopped = self.opened = False

    def stop(self) -> None:
        """Ask for nothing more, and forget the token; `run`'s task is still to be cancelled."""
        self.stopped, self.token = True, "stopped"

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        while not self.stopped:
            began, self.opened = time.monotonic(), False
            try:
                if not self.version:
                    await self.list_all()
                await self.watch()
            except GoneError:
                self.version = ""
            except (OutsideError, ProblemError) as error:
                self.fault = error.detail if isinstance(error, ProblemError) else str(error)
                self.refused = error.code if isinstance(error, StatusError) else 0
                self.tell()
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                self.fault, self.refused = f"{self.what}: the answer is none of an API server ({error!r})"[:300], 0
                self.version = ""
                self.tell()
            lasted = self.opened and time.monotonic() - began > STEADY_S
            failures = 0 if lasted else min(failures + 1, LOOSE) if self.opened else failures + 1
            if failures:
                await asyncio.sleep(pause(failures))

    async def synced(self, patience_s: float) -> bool:
        """Whether everything was listed, which is waited for so long; at once where it is refused."""
        until = time.monotonic() + patience_s
        while not self.listed and not self.refused and (left := until - time.monotonic()) > 0:
            await self.wait(left)
        return self.listed

    async def wait(self, patience_s: float) -> None:
        """Until something changes, or so long."""
        try:
            async with asyncio.timeout(patience_s):
                await self.news.wait()
        except TimeoutError:
            return

    async def changes(self, after: int | None = None) -> AsyncIterator[Changed[Value]]:
        """Changes from now on, or behind the version `after`.

        A follower that fell behind further than changes are remembered gets each object that changed since; what was
        deleted meanwhile it sees by listing.
        """
        seen, last = self.recent.count, int(self.version) if self.version.isdigit() else 0
        pending = [] if after is None else self.recent.since(after, self.known)
        while True:
            for one in pending:
                last = max(last, one.version)
                yield one
            news = self.news
            pending, seen = self.recent.behind(seen, last, self.known), self.recent.count
            if not pending:
                await news.wait()

    async def list_all(self) -> None:
        """List everything, in chunks, and tell of what is other than it was known."""
        found: dict[str, Entry[Value]] = {}
        left_out, version = False, "0"
        async for part in self.cluster.pages(self.where, token=self.token, **self.query):
            for item in part.get("items") or []:
                value = self.made(item)
                if value is None:
                    continue
                left_out = left_out or len(found) >= self.most
                if not left_out:
                    found[name_of(item)] = Entry(version_of(item), value)
            version = str(part["metadata"].get("resourceVersion") or "0")
        self.replace_all(found)
        self.version = version
        self.left_out = left_out
        self.well()

    def replace_all(self, found: dict[str, Entry[Value]]) -> None:
        """What is known now; nothing is told of the first list."""
        before, self.known = self.known, found
        if self.listed:
            for name, entry in before.items():
                if name not in found:
                    self.recent.add(Changed(entry.version + 1, "deleted", name, entry.value))
            for name, entry in found.items():
                if name not in before or before[name].version != entry.version:
                    self.recent.add(Changed(entry.version, "changed", name, entry.value))
        self.listed = True

    async def watch(self) -> None:
        """Follow the changes until the server ends the watch. Raises GoneError."""
        query: Mapping[str, str | int] = {
            **self.query, "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": WATCH_S,
            "resourceVersion": self.version,
        }  # fmt: skip
        try:
            lines = self.cluster.lines(self.where, token=self.token, quiet_s=QUIET_S, opened=self.open, **query)
            async with aclosing(lines) as found:
                async for line in found:
                    if line.strip():
                        self.take(read(line, self.where))
        except StatusError as error:
            if error.code == 410:
                raise GoneError from error
            raise

    def take(self, event: Object) -> None:
        """One event of a watch. Raises GoneError, StatusError, OutsideError."""
        kind, item = event.get("type"), event.get("object")
        if kind == "ERROR" or not isinstance(item, dict):
            code = item.get("code") if isinstance(item, dict) else None
            if code == 410:
                raise GoneError
            told = json.dumps(item)[:300]
            raise StatusError(code if isinstance(code, int) else 500, "", f"the watch of {self.what} ended: {told}")
        self.version = str(item.get("metadata", {}).get("resourceVersion") or self.version)
        self.well()
        if kind == "BOOKMARK":
            return
        name, version, value = name_of(item), version_of(item), self.made(item)
        if kind == "DELETED" or value is None:
            before = self.known.pop(name, None)
            if before is not None:
                self.recent.add(Changed(version, "deleted", name, before.value if value is None else value))
        elif name in self.known or len(self.known) < self.most:
            self.known[name] = Entry(version, value)
            self.recent.add(Changed(version, "changed", name, value))
        else:
            self.left_out = True
        self.tell()

    def made(self, item: Object) -> Value | None:
        """What is kept of an object; nothing of one that is not as its kind has it: it must not end the watch."""
        try:
            return self.reduce(item)
        except (LookupError, TypeError, ValueError, AttributeError):
            return None

    def open(self) -> None:
        """The watch goes on from where it was."""
        self.opened = True
        self.well()

    def well(self) -> None:
        """The server answered."""
        self.heard, self.refused = time.time(), 0
        self.fault = f"there are more than {self.most} {self.what}; the others are left out" if self.left_out else ""
        self.tell()

    def tell(self) -> None:
        """Wake up who waits."""
        self.news.set()
        self.news = asyncio.Event()


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row, with jitter, so that sites do not come all at once."""
    longest = min(LONGEST_S, SHORTEST_S * 2 ** min(failures - 1, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311 (no secret)
