"""What is kept of watched objects, and the changes that followers are told of."""

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Generic, Literal, NamedTuple, TypeVar

from nearedge.api.cluster.resources import Object
from nearedge.errors import OutsideError

Value = TypeVar("Value")
REMEMBERED = 1000
"""Changes that a follower may be behind."""


class Entry(NamedTuple, Generic[Value]):
    """What is kept of an object, and the resourceVersion it had, 0 where that is no number."""

    version: int
    value: Value


class Changed(NamedTuple, Generic[Value]):
    """A change. `version` is what a follower that comes back says it has seen; a deleted one has its last value."""

    version: int
    kind: Literal["changed", "deleted"]
    name: str
    value: Value


class Recent(Generic[Value]):
    """The last changes; `count` is how many there were in all."""

    def __init__(self) -> None:
        """None yet."""
        self.last: deque[Changed[Value]] = deque(maxlen=REMEMBERED)
        self.count = 0

    def add(self, change: Changed[Value]) -> None:
        """Remember a change."""
        self.count += 1
        self.last.append(change)

    def behind(self, seen: int, version: int, known: Mapping[str, Entry[Value]]) -> list[Changed[Value]]:
        """The changes behind the first `seen` ones, of which the newest had the version `version`."""
        missed = self.count - seen
        if missed > len(self.last):
            return self.since(version, known)
        return list(islice(self.last, len(self.last) - missed, None))

    def since(self, version: int, known: Mapping[str, Entry[Value]]) -> list[Changed[Value]]:
        """What changed behind a version, the oldest first, as far as it is known: of `known`, and what was deleted."""
        gone = [one for one in self.last if one.kind == "deleted" and one.version > version]
        there = [
            Changed(entry.version, "changed", name, entry.value)
            for name, entry in known.items()
            if entry.version > version
        ]
        return sorted([*gone, *there], key=lambda one: one.version)


def name_of(item: Object) -> str:
    """The name of an object. Raises OutsideError where it has none."""
    name = item.get("metadata", {}).get("name")
    if not isinstance(name, str):
        raise OutsideError("the cluster sent an object without a name")
    return name


def version_of(item: Object) -> int:
    """The resourceVersion as a number, by which changes are told apart: comparable, as etcd's always were."""
    text = str(item.get("metadata", {}).get("resourceVersion", ""))
    return int(text) if text.isascii() and text.isdigit() else 0
