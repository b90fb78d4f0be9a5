"""What lies in the cluster, each change under a revision of its own, and the changes that are still remembered.

Objects that are in here are never changed in place: a change puts another object. So they may be handed out unlocked.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

Object = dict[str, Any]


class Key(NamedTuple):
    """One object, whatever version of its group it is asked for in."""

    group: str
    plural: str
    namespace: str
    name: str

    @property
    def place(self) -> tuple[str, str]:
        """Where it stands in a list."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Change:
    """One change; `object` is the object after it (of a deletion: its last state, with the deletion's revision)."""

    revision: int
    type: str
    key: Key
    object: Object
    before: Object | None


class CompactedError(Exception):
    """What was at that revision is no longer known."""


class Store:
    """All objects. `lock` makes a read and a change that follows from it one."""

    def __init__(self, history: int = 50_000) -> None:
        """`history` changes at least are remembered."""
        self.lock = threading.RLock()
        self.revision = 1
        self.compacted = 1
        """What was before this revision is no longer told to who asks."""
        self.dropped = 1
        """What was before this one is not known at all."""
        self.most = history
        self.changes: list[Change] = []
        self.objects: dict[tuple[str, str], dict[tuple[str, str], Object]] = {}
        self.dependents: dict[str, set[Key]] = {}
        self.uids: dict[str, Key] = {}
        self.listeners: list[Callable[[], None]] = []

    def get(self, key: Key) -> Object | None:
        """The object."""
        return self.objects.get(key[:2], {}).get(key.place)

    def put(self, key: Key, new: Object) -> Object:
        """Write an object, under the next revision."""
        with self.lock:
            before = self.get(key)
            stored = self._stamped(new)
            self.objects.setdefault(key[:2], {})[key.place] = stored
            self._indexed(key, before, stored)
            self._changed(Change(self.revision, "MODIFIED" if before else "ADDED", key, stored, before))
            return stored

    def remove(self, key: Key) -> Object:
        """Take an object out."""
        with self.lock:
            before = self.objects[key[:2]].pop(key.place)
            last = self._stamped(before)
            self._indexed(key, before, None)
            self._changed(Change(self.revision, "DELETED", key, last, before))
            return last

    def items(self, group: str, plural: str, namespace: str = "", at: int | None = None) -> list[tuple[Key, Object]]:
        """A resource's objects in their order, now or as they were at a revision that is remembered."""
        with self.lock:
            found = self.objects.get((group, plural), {})
            if at is not None and at != self.revision:
                found = self._then(group, plural, at)
            places = sorted(found) if not namespace else sorted(place for place in found if place[0] == namespace)
            return [(Key(group, plural, *place), found[place]) for place in places]

    def _then(self, group: str, plural: str, at: int) -> dict[tuple[str, str], Object]:
        found = dict(self.objects.get((group, plural), {}))
        for change in reversed(self.after(at)):
            if change.key[:2] != (group, plural):
                continue
            if change.before is None:
                del found[change.key.place]
            else:
                found[change.key.place] = change.before
        return found

    def after(self, revision: int, *, open_already: bool = False) -> list[Change]:
        """The changes since; CompactedError. Watches that are open already are not touched by a compaction."""
        with self.lock:
            if revision < (self.dropped if open_already else self.compacted):
                raise CompactedError
            return self.changes[bisect_left(self.changes, revision + 1, key=lambda change: change.revision) :]

    def compact(self) -> None:
        """Forget how it came to this."""
        with self.lock:
            self.compacted = self.revision

    def everything(self) -> Iterator[Key]:
        """Of everything that there is."""
        with self.lock:
            found = [Key(*kind, *place) for kind, places in self.objects.items() for place in places]
        return iter(found)

    def _stamped(self, found: Object) -> Object:
        self.revision += 1
        return {**found, "metadata": {**found["metadata"], "resourceVersion": str(self.revision)}}

    def _indexed(self, key: Key, before: Object | None, after: Object | None) -> None:
        for owner in owners(before):
            self.dependents.get(owner, set()).discard(key)
        for owner in owners(after):
            self.dependents.setdefault(owner, set()).add(key)
        if before is not None:
            self.uids.pop(before["metadata"].get("uid", ""), None)
        if after is not None:
            self.uids[after["metadata"].get("uid", "")] = key

    def _changed(self, change: Change) -> None:
        self.changes.append(change)
        if len(self.changes) > 2 * self.most:
            self.dropped = self.changes[self.most - 1].revision
            self.compacted = max(self.compacted, self.dropped)
            del self.changes[: self.most]
        for listener in self.listeners:
            listener()


def owners(found: Object | None) -> list[str]:
    """The uids of an object's owners."""
    return [row.get("uid", "") for row in (found or {}).get("metadata", {}).get("ownerReferences") or ()]
