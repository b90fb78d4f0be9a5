"""Copies images from one registry to another over a thin link, by digest: what is there is not moved again.

A blob goes to a spool first and on to the target when it is whole and right, so that a cut costs neither registry
anything. An index is carried with all it names, since its digest holds for all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nearedge.delivery import closure, oci, referrers
from nearedge.delivery import digest as digests
from nearedge.delivery.reference import HOST, NAME, TAG, Reference, names_registry, parse
from nearedge.delivery.repository import Repository
from nearedge.delivery.spool import Spool
from nearedge.errors import InputError


@dataclass(frozen=True)
class Wanted:
    """One image: where it is, and where it shall be (with a tag or without)."""

    source: Reference
    target: Reference


@dataclass(frozen=True)
class Mirrored:
    """What the target has now. `moved` counts blobs and manifests that it lacked, `size` all of them, in bytes."""

    digest: str
    moved: int
    size: int


def wanted(text: str, to: str) -> Wanted:
    """`SOURCE` or `SOURCE=NAME[:TAG]` for the registry (and path) `to`; name and tag stay where none is given.

    An image by digest alone gets no tag, one by name alone is `latest`. Raises InputError for what is no reference.
    """
    first, equals, second = text.partition("=")
    source = parse(first)
    host, _, path = to.removesuffix("/").partition("/")
    if not names_registry(host) or not HOST.fullmatch(host):
        raise InputError(f"to {to!r}: names no registry; write host[:port][/path]")
    name, colon, tag = second.partition(":") if equals else (source.name, "", "")
    if (colon and not TAG.fullmatch(tag)) or not NAME.fullmatch(name):
        raise InputError(f"{text}: {second!r} is no NAME[:TAG] for the target")
    target = parse(f"{host}/{path}/{name}" if path else f"{host}/{name}")
    return Wanted(source, target.with_tag(tag or source.tag or ("" if source.digest else source.which)))


def all_wanted(texts: Sequence[str], to: str) -> list[Wanted]:
    """The images that `texts` name, each once. Raises InputError for two of them at one place."""
    found: dict[str, Wanted] = {}
    for one in (wanted(text, to) for text in texts):
        place = str(one.target if one.target.tag else replace(one.target, digest=one.source.digest))
        other = found.setdefault(place, one)
        if other.source != one.source:
            raise InputError(f"{place}: {other.source} and {one.source} would both go there; give one =NAME:TAG")
    return list(found.values())


class Mirror:
    """Carries images from `source` to `target` through a spool."""

    def __init__(self, source: Repository, target: Repository, spool: Spool) -> None:
        """One repository each."""
        self.source, self.target, self.spool = source, target, spool
        self.patience = spool.patience
        self.same = source.registry.host == target.registry.host

    def image(self, which: str, tag: str) -> Mirrored:
        """Carry what `which` (a tag or digest) names, and let `tag` name it, where one is given.

        Raises OutsideError where a registry refuses, or does not answer for longer than our patience. What the target
        lists under a tag is complete.
        """
        found = self.patience.persist(lambda: closure.of(self.document, which, self.source.where))
        moved = sum(self.blob(blob) for blob in found.blobs)
        for document in found.documents:
            moved += self.publish(document, tag if document.descriptor.digest == found.digest else "")
        moved += sum(self.referring(document.descriptor) for document in found.documents)
        return Mirrored(found.digest, moved, found.size)

    def document(self, which: str) -> tuple[bytes, str] | None:
        """A manifest by digest from the target where it has it, else from the source."""
        there = self.target.document(which) if digests.is_digest(which) else None
        return there or self.source.document(which)

    def blob(self, blob: oci.Descriptor) -> int:
        """Have the blob at the target; the bytes that came from the source for it."""
        if self.patience.persist(lambda: self.target.has(blob)):
            self.spool.drop(blob)  # of a run that ended between pushing it and forgetting it
            return 0
        if self.same:
            return self.patience.persist(lambda: self.target.adopt(blob, self.source))
        before = self.spool.arrived
        self.spool.bring(self.source, blob)
        self.patience.persist(lambda: self.target.adopt(blob, self.spool))
        self.spool.drop(blob)
        return self.spool.arrived - before

    def referring(self, subject: oci.Descriptor) -> int:
        """Carry what refers to the subject (its SBOM, its release record) and have the target list it; the bytes."""
        moved = 0
        for entry in self.patience.persist(lambda: referrers.listed(self.source, subject)):
            which = digests.require(entry.get("digest"), f"{self.source.where}: a referrer")
            found = self.patience.persist(partial(closure.of, self.document, which, self.source.where))
            moved += sum(self.blob(blob) for blob in found.blobs)
            moved += sum(self.publish(document, "") for document in found.documents)
            self.patience.persist(partial(self.list_referrer, subject, entry))
        return moved

    def list_referrer(self, subject: oci.Descriptor, entry: dict[str, Any]) -> None:
        """A registry with the API lists a referrer by itself; for one without, the fallback tag does."""
        if not any(one.get("digest") == entry["digest"] for one in referrers.listed(self.target, subject)):
            referrers.add_to_fallback(self.target, subject, entry)

    def publish(self, document: closure.Named, tag: str) -> int:
        """Put a manifest by its digest, then under its tag; its bytes where the target did not have it."""
        moved = self.patience.persist(lambda: self.target.publish(document, ""))
        if tag:
            self.patience.persist(lambda: self.target.publish(document, tag))
        return moved


def by_digest(images: Sequence[tuple[Wanted, Mirrored]]) -> list[str]:
    """The images at the target by digest, as manifests name them."""
    return [f"{image.target.registry}/{image.target.name}@{done.digest}" for image, done in images]
