"""Where images are: a layout on disk or a repository of a registry, behind one protocol."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from nearedge.delivery import oci
from nearedge.delivery.access import Access
from nearedge.delivery.layout import Layout
from nearedge.delivery.reference import Reference, parse
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import InputError
from nearedge.files import inside


class Store(Protocol):
    """One repository of images: blobs by digest, manifests by tag or digest.

    Whatever is read is verified against its digest. Adding is idempotent: what is there is not written again.
    """

    where: str

    def find(self, which: str) -> oci.Manifest | None:
        """The manifest of a tag or digest (for linux/amd64, where it names an index), None where there is none."""

    def resolve(self, which: str) -> oci.Manifest:
        """As `find`; OutsideError where there is none."""

    def has(self, blob: oci.Descriptor) -> bool:
        """Whether the blob is there in full."""

    def chunks(self, blob: oci.Descriptor) -> Iterator[bytes]:
        """The blob's bytes."""

    def read(self, blob: oci.Descriptor, limit: int) -> bytes:
        """A small blob in one piece; OutsideError where it is larger than `limit` bytes."""

    def add_bytes(self, blob: oci.Descriptor, content: bytes) -> int:
        """Add a blob; how many bytes that took, 0 where it was there."""

    def add_file(self, blob: oci.Descriptor, path: Path) -> int:
        """Add a blob from a file that nobody changes any more; how many bytes that took."""

    def add_copy(self, blob: oci.Descriptor, path: Path) -> int:
        """Add a blob from a file that others may go on to change; how many bytes that took."""

    def adopt(self, blob: oci.Descriptor, source: "Layout | Repository") -> int:
        """Take a blob over from another store in the cheapest way; how many bytes that took."""

    def publish(self, manifest: oci.Document, tag: str) -> int:
        """Add the manifest, after all that it names, and let `tag` (where not empty) name it; the bytes that took."""


def open_stores(
    workspace: Path, access: Access, beside: Layout | Repository, *, allow_layout: bool
) -> Callable[[str], Layout | Repository]:
    """A function that opens the store of an image by its reference, as `open_store` does."""
    return lambda text: open_store(parse(text, allow_layout=allow_layout), workspace, access, beside=beside)


def open_store(
    reference: Reference,
    workspace: Path,
    access: Access,
    *,
    create: bool = False,
    beside: Layout | Repository | None = None,
) -> Layout | Repository:
    """The store that `reference` names; a layout's folder must lie in `workspace` and is made where `create` says so.

    Where `beside` is in the same registry, its connection and login serve both; `access` must be the same then.
    Raises InputError for a folder outside the workspace or one that is no layout.
    """
    if not reference.is_layout:
        if isinstance(beside, Repository) and beside.registry.host == reference.registry:
            return Repository(beside.registry, reference.name)
        return Repository(Registry(reference.registry, access), reference.name)
    if Path(reference.name).is_absolute():
        raise InputError(f"{reference}: DIR is relative to the workspace; give it without the leading slash")
    folder = inside(workspace, reference.name)
    return Layout.create(folder) if create else Layout.open(folder)
