"""Sees before a site moves that the registry which it pulls from still holds the image."""

from collections.abc import Callable

from nearedge.delivery import presence
from nearedge.delivery.access import Access
from nearedge.delivery.gitops import render
from nearedge.delivery.gitops.history import Release
from nearedge.delivery.gitops.publish import named
from nearedge.delivery.gitops.rollback import Check
from nearedge.errors import InputError
from nearedge.progress import say


def image_check(registry: str, access: Access, told: Callable[[str], None] = say) -> Check:
    """Sees that the registry which a site pulls from holds all of a release's image; asks once for each place.

    `told` gets a line for each image that is there.
    """
    seen: set[str] = set()

    def check(release: Release, site: str) -> None:
        image = release.record.evidence.image
        if image is None:
            raise InputError(f"release {named(release.record)}: its record names no image")
        place = presence.place(render.image_name(release.record, image), registry, site)
        if place.by_digest not in seen:
            size = presence.require(place, access)
            seen.add(place.by_digest)
            told(f"{place.by_digest}: is there, {size / 1e6:.1f} MB")

    return check


def unchecked(_release: Release, _site: str) -> None:
    """Take every release for one that can be run."""
