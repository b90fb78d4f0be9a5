"""What a site pulls for a release, as far as release records say."""

from nearedge.delivery.gitops.timeline import Known, Timeline
from nearedge.release.record import Record


def to_pull(now: Timeline, site: str, reached: Record) -> tuple[int | None, bool]:
    """Bytes that a site pulls for a release, given the images that git says it runs, and whether it may be less.

    Where the release was reckoned for that site with the same images, that figure; else what its layers weigh that no
    image there has, in full, with config and manifest.
    """
    image = reached.evidence.image
    if image is None:
        return None, False
    there = running(now, site)
    digests = {one.digest for one in there}
    if image.digest in digests:
        return 0, False
    for one in image.sites:
        if one.site == site and set(one.against) == digests:
            return one.bytes, one.at_most
    have = {digest for release in there for digest in release.layers}
    documents = image.size_bytes - sum(layer.size_bytes for layer in image.layers)
    lacking = {layer.digest: layer.size_bytes for layer in image.layers if layer.digest not in have}
    return max(0, documents) + sum(lacking.values()), True


def running(now: Timeline, site: str) -> list[Known]:
    """The releases that git says a site runs."""
    found = (now.releases.get(model, {}).get(one.digest) for (at, model), one in now.sites.items() if at == site)
    return [one for one in found if one is not None]
