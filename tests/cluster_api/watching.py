"""Watches: what has changed since a revision, as lines of JSON, with bookmarks, until a time or a fault ends them.

As the real one's watch cache: without a resourceVersion, or with 0, what is there comes first as ADDED; one that is too
old gets an ERROR event with a 410 Status in an answer 200; an object that a selector no longer finds is DELETED.
`sendInitialEvents` is refused, as where the feature WatchList is off.
"""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from tests.cluster_api import listing, selection, statuses
from tests.cluster_api.bell import Bell, rung
from tests.cluster_api.faults import Fault
from tests.cluster_api.operations import shown
from tests.cluster_api.resources import Resource
from tests.cluster_api.store import Change, CompactedError, Store

Object = dict[str, Any]
Event = tuple[str, Object]

LONGEST_S = 1800.0


class CutError(Exception):
    """The connection is to end in the midst of the answer."""


def line(event: Event) -> bytes:
    """As it is sent."""
    return orjson.dumps({"type": event[0], "object": event[1]}, option=orjson.OPT_APPEND_NEWLINE)


@dataclass
class Clock:
    """When watches say something of themselves."""

    bookmark_s: float = 60.0
    bookmark: int = 0
    """Counts the bookmarks that a test asked for."""
    ended: int = 0
    """Counts how often a test had all watches end, as those that timed out."""
    cut: int = 0
    """Counts how often a test had all watches cut."""


class Watch:
    """One watch; `next` gives what there is to say."""

    def __init__(self, store: Store, resource: Resource, namespace: str, query: dict[str, str]) -> None:
        """Parameters of the request; 400, 422."""
        self.store, self.resource, self.namespace = store, resource, namespace
        self.query = query
        text = query.get("resourceVersion", "")
        self.selected = selection.both(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        self.revision = listing.revision_of(resource, text) if text else 0
        self.bookmarks = query.get("allowWatchBookmarks", "") in ("1", "true", "True")
        self.timeout_s = float(listing.number(query, "timeoutSeconds")) or LONGEST_S
        if "sendInitialEvents" in query:
            why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            fault = f'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: {why}'
            raise statuses.ApiError(422, "Invalid", fault)
        self.open = not self.revision
        self.initial = self.first()

    def first(self) -> list[Event]:
        """What comes before all changes."""
        if self.revision:
            return []
        with self.store.lock:
            self.revision = self.store.revision
            rows = self.store.items(self.resource.group, self.resource.plural, self.namespace)
        return [("ADDED", shown(self.resource, found)) for _, found in rows if self.fits(found)]

    def fits(self, found: Object | None) -> bool:
        """Whether the selectors find it."""
        return found is not None and (self.selected is None or self.selected(found))

    def next(self) -> list[Event]:
        """The changes since the last call; 410."""
        try:
            changes = self.store.after(self.revision, open_already=self.open)
        except CompactedError:
            raise statuses.too_old(self.revision, self.store.compacted + 1) from None
        self.open = True
        if changes:
            self.revision = changes[-1].revision
        events = [self.event(change) for change in changes if self.mine(change)]
        return [event for event in events if event is not None]

    def mine(self, change: Change) -> bool:
        """Whether a change is of what is watched."""
        key = change.key
        if key[:2] != (self.resource.group, self.resource.plural):
            return False
        return not self.namespace or key.namespace == self.namespace

    def event(self, change: Change) -> Event | None:
        """What a change means to one who only sees what the selectors find."""
        before = self.fits(change.before)
        after = change.type != "DELETED" and self.fits(change.object)
        if after:
            return ("MODIFIED" if before else "ADDED"), shown(self.resource, change.object)
        if not before or change.before is None:
            return None
        version = change.object["metadata"]["resourceVersion"]
        last = {**change.before, "metadata": {**change.before["metadata"], "resourceVersion": version}}
        return "DELETED", shown(self.resource, last)

    def bookmark(self) -> Event:
        """How far it has come."""
        metadata = {"resourceVersion": str(self.revision), "creationTimestamp": None}
        return "BOOKMARK", {"kind": self.resource.kind, "apiVersion": self.resource.group_version, "metadata": metadata}


def stream(
    watch: Watch, bell: Bell, clock: Clock, fault: Fault | None, stopped: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """The lines of a watch; CutError where it is to be cut. To be called before the answer begins."""
    return lines(watch, bell, fault, stopped, events(watch, bell, clock, replace(clock), stopped))


async def lines(
    watch: Watch, bell: Bell, fault: Fault | None, stopped: Callable[[], bool], source: AsyncIterator[Event]
) -> AsyncIterator[bytes]:
    """A watch's events as they are sent, until a fault is due."""
    said = 0
    while fault is None or said < fault.after:
        event = await anext(source, None)
        if event is None:
            return
        said += event[0] != "BOOKMARK"
        yield line(event)
        if event[0] == "ERROR":
            return
    async for last in harmed(watch, bell, fault, stopped):
        yield last


async def harmed(watch: Watch, bell: Bell, fault: Fault, stopped: Callable[[], bool]) -> AsyncIterator[bytes]:
    """What a fault makes of the rest of a watch."""
    if fault.what == "reset":
        raise CutError
    if fault.what == "expire":
        yield line(("ERROR", statuses.too_old(watch.revision, watch.store.revision).document))
    while fault.what == "silence" and fault in fault.faults.on:
        if stopped():
            raise CutError
        await rung(bell.take(), 60)


async def events(
    watch: Watch, bell: Bell, clock: Clock, known: Clock, stopped: Callable[[], bool]
) -> AsyncIterator[Event]:
    """What a watch says, without faults."""
    end = time.monotonic() + watch.timeout_s
    marked, asked = time.monotonic(), known.bookmark
    try:
        for event in watch.initial:
            yield event
        while True:
            event_of_bell = bell.take()
            for event in watch.next():
                yield event
            now = time.monotonic()
            if stopped() or known.cut != clock.cut:
                raise CutError
            if watch.bookmarks and (asked != clock.bookmark or now >= marked + clock.bookmark_s or now >= end):
                asked, marked = clock.bookmark, now
                yield watch.bookmark()
            if now >= end or known.ended != clock.ended:
                return
            await rung(event_of_bell, min(end, marked + clock.bookmark_s if watch.bookmarks else end) - now)
    except statuses.ApiError as error:
        yield "ERROR", error.document
