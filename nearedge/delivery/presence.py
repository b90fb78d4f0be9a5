"""Whether a registry still holds all of an image: its manifest, and every blob that this names."""

from nearedge.delivery import closure, mirror, reference
from nearedge.delivery.access import Access
from nearedge.delivery.reference import Reference
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import InputError, OutsideError

SITE = "{site}"


def place(image: str, registry: str, site: str = "") -> Reference:
    """Where a site pulls `image` (by digest) from: in `registry` (HOST[/PATH]), with the name that mirror-image gives.

    `{site}` in `registry` is the site's name; empty, it is the image's own.
    Raises InputError for what is no registry, or for an image on disk.
    """
    own = reference.parse(image)
    if own.registry == "localhost":
        raise InputError(f"{image}: was built to a layout on disk, which no registry holds; give check-image=false")
    if not registry:
        return own
    try:
        there = mirror.wanted(f"{own.registry}/{own.name}", registry.replace(SITE, site)).target
    except InputError as error:
        raise InputError(f"registry {registry!r}: names no registry; write host[:port][/path]") from error
    return Reference(there.registry, there.name, digest=own.digest)


def require(where: Reference, access: Access) -> int:
    """The bytes of the image, all of which the registry holds. Raises OutsideError where one part is missing."""
    store = Repository(Registry(where.registry, access), where.name)
    try:
        found = closure.of(closure.reader(store), where.digest, store.where)
    except OutsideError as error:
        raise OutsideError(f"{error}; nothing was changed") from error
    for blob in found.blobs:
        if not store.has(blob):
            raise OutsideError(f"{store.where}@{where.digest[:19]}: lacks {blob.digest[:19]}; mirror it there first")
    return found.size
