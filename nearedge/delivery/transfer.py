"""Copies an image or artifact from one store to another, blobs first, so that what is named is always complete."""

from nearedge.delivery import oci
from nearedge.delivery.layout import Layout
from nearedge.delivery.repository import Repository


def copy_image(
    source: Layout | Repository, which: str, target: Layout | Repository, tag: str
) -> tuple[oci.Manifest, int]:
    """Let `tag` of `target` name what `which` (a tag or digest) names in `source`; the manifest and the bytes sent.

    Of an index, the manifest for linux/amd64 is taken. What the target has is not sent again. Raises OutsideError
    where the source is not complete or a registry refuses.
    """
    manifest = source.resolve(which)
    sent = sum(target.adopt(blob, source) for blob in (manifest.config, *manifest.layers))
    return manifest, sent + target.publish(manifest, tag)
