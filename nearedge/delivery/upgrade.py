"""How many bytes a site pulls to go from one release to the next."""

from nearedge.delivery import oci
from nearedge.release.record import Record


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
