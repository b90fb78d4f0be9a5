"""How many bytes a site pulls to go from one release to the next."""

from nearedge.delivery import chunked, oci
from nearedge.delivery.layout import Layout
from nearedge.delivery.repository import Repository
from nearedge.errors import OutsideError
from nearedge.release.record import Record


def pulled_from(store: Layout | Repository, manifest: oci.Manifest, previous: Record | None) -> chunked.Pulled | None:
    """What a site that runs `previous` pulls for `manifest`, which `store` holds; None where no image is known.

    Of chunked layers, the previous image's tables of contents are read where `store` has it; else whole blobs are
    counted, by the record.
    """
    whole = pulled_bytes(manifest, previous)
    if whole is None or previous is None or previous.evidence.image is None:
        return None
    try:
        old = store.find(previous.evidence.image.digest)
        return chunked.pulled(manifest, store, old) if old else chunked.Pulled(whole, whole)
    except OutsideError:  # the figure is not worth the build
        return chunked.Pulled(whole, whole)


def pulled_bytes(manifest: oci.Manifest, previous: Record | None) -> int | None:
    """Bytes that a site which runs `previous` pulls for `manifest`: the layers it lacks, config and manifest.

    Engines pull whole blobs and keep those they have by digest. None where no previous image is known.
    """
    if previous is None or previous.evidence.image is None:
        return None
    if previous.evidence.image.digest == manifest.descriptor.digest:
        return 0
    there = {layer.digest for layer in previous.evidence.image.layers}
    new = {layer.digest: layer.size for layer in manifest.layers if layer.digest not in there}
    return manifest.descriptor.size + manifest.config.size + sum(new.values())
