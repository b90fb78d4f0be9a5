"""What differs between the software bills of two releases, and the bill that is attached to an image."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearedge.delivery import oci, referrers
from nearedge.delivery.access import Access
from nearedge.delivery.reference import parse
from nearedge.delivery.store import open_store
from nearedge.errors import InputError
from nearedge.release.record import Record

LARGEST = 16 << 20
"""Bytes of a bill."""
Bill = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Part:
    """A component as a bill lists it: its kind (library, platform, container ...), name and version."""

    kind: str
    name: str
    version: str


@dataclass(frozen=True)
class Changed:
    """A component with other versions; `before` and `now` are the same text where only its files differ."""

    kind: str
    name: str
    before: str
    now: str


@dataclass(frozen=True)
class Changes:
    """All differences, each list sorted by kind and name."""

    added: tuple[Part, ...] = ()
    removed: tuple[Part, ...] = ()
    changed: tuple[Changed, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.removed or self.changed)


def diff(old: Bill, new: Bill) -> Changes:
    """What `new` has that `old` has not, and the other way round; a pure function of two CycloneDX documents.

    A component listed in several versions is one entry with all of them.
    """
    before, now = listed(old), listed(new)
    return Changes(
        added=tuple(Part(*key, versions(now[key])) for key in sorted(now.keys() - before.keys())),
        removed=tuple(Part(*key, versions(before[key])) for key in sorted(before.keys() - now.keys())),
        changed=tuple(
            Changed(*key, versions(before[key]), versions(now[key]))
            for key in sorted(before.keys() & now.keys())
            if before[key] != now[key]
        ),
    )


def listed(bill: Bill) -> dict[tuple[str, str], set[tuple[str, frozenset[str]]]]:
    """The components by kind and name: the versions, each with the hashes of the files that belong to it."""
    found: dict[tuple[str, str], set[tuple[str, frozenset[str]]]] = {}
    for one in entries(bill):
        hashes = frozenset(f"{inner.get('name')} {said}" for inner in entries(one) for said in hashes_of(inner))
        key = (str(one.get("type", "")), str(one.get("name", "")))
        found.setdefault(key, set()).add((str(one.get("version", "")), hashes))
    return found


def entries(holder: Bill) -> Iterator[Bill]:
    """The components right below a bill or a component; whatever else is there is passed over."""
    there = holder.get("components")
    return (one for one in there if isinstance(one, dict)) if isinstance(there, list) else iter(())


def hashes_of(component: Bill) -> list[str]:
    """The digests a component is listed with."""
    there = component.get("hashes")
    return [str(one.get("content")) for one in there if isinstance(one, dict)] if isinstance(there, list) else []


def versions(there: set[tuple[str, frozenset[str]]]) -> str:
    """The versions in order, joined."""
    return ", ".join(sorted({version for version, _ in there}))


def read(path: Path) -> Bill:
    """The bill in a file. Raises InputError where there is none or it is none."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; build-serving-image writes it")
    with path.open("rb") as file:
        return decode(file.read(LARGEST + 1), str(path))


def decode(content: bytes, where: str) -> Bill:
    """The bill that a text says. Raises InputError."""
    try:
        found = json.loads(content) if len(content) <= LARGEST else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("components"), list):
        raise InputError(f"{where}: is no CycloneDX document that lists components")
    return found


def attached(record: Record, workspace: Path, access: Access) -> Bill:
    """The bill that is attached to a release's image. Raises InputError or OutsideError where it cannot be had."""
    image = record.evidence.image
    if image is None:
        raise InputError("its record names no image")
    reference = parse(f"{image.url}@{image.digest}", allow_layout=True)
    store = open_store(reference, workspace, access)
    subject = store.resolve(image.digest).descriptor
    named = [entry for entry in referrers.listed(store, subject) if entry.get("artifactType") == referrers.SBOM_TYPE]
    if not named:
        raise InputError(f"{reference}: no bill of software is attached to it")
    manifest = oci.manifest(store.resolve(str(named[0].get("digest"))).content, str(reference))
    if not manifest.layers:
        raise InputError(f"{reference}: the bill attached to it is empty")
    return decode(store.read(manifest.layers[0], LARGEST), str(reference))
