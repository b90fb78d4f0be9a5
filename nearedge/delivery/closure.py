"""Everything that a manifest or an index names, down to the blobs: what has to be there for it to be complete."""

from collections.abc import Callable
from dataclasses import dataclass

from nearedge.delivery import digest as digests
from nearedge.delivery import oci
from nearedge.delivery.layout import Layout
from nearedge.delivery.repository import Repository
from nearedge.errors import OutsideError

Read = Callable[[str], tuple[bytes, str] | None]
"""The bytes and the media type of a manifest or index by tag or digest, None where there is none."""

DEEPEST = 3
"""An index may name an index, but not for ever."""


@dataclass(frozen=True)
class Named:
    """A manifest or an index with what it names: `blobs` (config and layers) and other `documents`."""

    descriptor: oci.Descriptor
    content: bytes
    blobs: tuple[oci.Descriptor, ...] = ()
    documents: tuple[oci.Descriptor, ...] = ()


@dataclass(frozen=True)
class Closure:
    """`documents` hold each manifest once, what is named before what names it; the last is what was asked for."""

    documents: tuple[Named, ...]

    @property
    def digest(self) -> str:
        """The digest of what was asked for."""
        return self.documents[-1].descriptor.digest

    @property
    def blobs(self) -> tuple[oci.Descriptor, ...]:
        """Configs and layers, each once."""
        return tuple({blob.digest: blob for document in self.documents for blob in document.blobs}.values())

    @property
    def size(self) -> int:
        """Bytes of all documents and blobs."""
        return sum(one.size for one in (*self.blobs, *(document.descriptor for document in self.documents)))


def reader(store: Layout | Repository) -> Read:
    """Reads manifests and indexes of a store as they are, without following an index."""
    if isinstance(store, Repository):
        return store.document

    def read(which: str) -> tuple[bytes, str] | None:
        found = store.entry(which)
        if found is None or not store.has(found):
            return None
        return store.read(found, oci.LARGEST_DOCUMENT), found.media_type

    return read


def named(content: bytes, where: str, said: str = "") -> Named:
    """The document in `content`. Raises OutsideError where it is damaged, UnsupportedError for an older schema."""
    document = oci.decode(content, where)
    kind = oci.media_type(document, said)
    if kind not in oci.INDEXES:
        manifest = oci.manifest(content, where, said)
        return Named(manifest.descriptor, content, blobs=(manifest.config, *manifest.layers))
    listed = oci.listed(document, "manifests", where)
    below = tuple(oci.descriptor(value, f"{where}: manifest {number}") for number, value in enumerate(listed))
    return Named(oci.Descriptor(kind, digests.of_bytes(content), len(content)), content, documents=below)


def of(read: Read, which: str, where: str) -> Closure:
    """The closure of a tag or digest. Raises OutsideError where a document is missing or damaged."""
    found: dict[str, Named] = {}

    def visit(asked: str, said: str, depth: int) -> None:
        if asked in found:
            return
        got = read(asked)
        if got is None:
            advice = "; check the name, or push it there first" if depth == 0 else ", which an index there names"
            raise OutsideError(f"{where}: has no image {asked!r}{advice}")
        content, told = got
        document = named(content, f"{where}: {asked}", told or said)
        if depth >= DEEPEST or len(found) > oci.MOST_ENTRIES:
            raise OutsideError(f"{where}: {which}: names more documents than make sense")
        for below in document.documents:
            visit(below.digest, below.media_type, depth + 1)
        found[document.descriptor.digest] = document

    visit(which, "", 0)
    return Closure(tuple(found.values()))
