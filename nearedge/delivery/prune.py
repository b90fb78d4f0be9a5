"""What of a registry's repository may go, held against what has to stay, and its removal by digest."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests

from nearedge.delivery import closure, oci, referrers, transport
from nearedge.delivery.closure import Closure
from nearedge.delivery.repository import Repository
from nearedge.errors import OutsideError

PAGE = 100
MOST_PAGES = 1000
FALLBACK = "sha256-"
"""How the tags begin that list what is attached to an image, where a registry has no API for that."""


@dataclass(frozen=True)
class Old:
    """An image that may go: tags, what is attached to it, and the bytes that nothing else there needs."""

    digest: str
    tags: list[str]
    attached: list[str]
    size: int


def tags(store: Repository) -> list[str]:
    """All tags of the repository; none where there is no such repository (OCI distribution 1.1, "Listing Tags")."""
    found: list[str] = []
    address = f"{store.path}/tags/list?n={PAGE}"
    for _ in range(MOST_PAGES):
        response = store.registry.ask("GET", address, store.pull)
        if response.status_code == requests.codes.not_found:
            transport.finish(response)
            return found
        if response.status_code != requests.codes.ok:
            raise store.registry.refused(response, f"{store.name}: its tags")
        following = response.links.get("next", {}).get("url", "")
        with response:
            content = transport.body_of(response, oci.LARGEST_DOCUMENT) or b""
        listed = oci.decode(content, f"{store.where}: tags").get("tags") or []
        found += [tag for tag in listed if isinstance(tag, str)]
        if not following:
            return found
        parts = urlsplit(urljoin(address, following))
        address = f"{parts.path}?{parts.query}"
    raise OutsideError(f"{store.where}: lists its tags without an end")


def old(store: Repository, known: Collection[str], keep: Collection[str]) -> tuple[list[Old], list[str]]:
    """Of the `known` digests those that are there and may go, and the tags of what is not known, which all stay.

    What another image that stays names, such as an index, stays as well.
    """
    tagged: dict[str, list[str]] = {}
    for tag in tags(store):
        there = store.document(tag)
        if there is not None and not tag.startswith(FALLBACK):
            tagged.setdefault(closure.named(there[0], f"{store.where}:{tag}", there[1]).descriptor.digest, []).append(
                tag
            )
    stay = {*keep, *(digest for digest in tagged if digest not in known)}
    staying = [found for found in (whole(store, digest) for digest in sorted(stay)) if found]
    needed = {one.descriptor.digest for found in staying for one in found.documents}
    blobs = {blob.digest for found in staying for blob in found.blobs}
    gone = []
    for digest in sorted(set(known) - needed - stay):
        found = whole(store, digest)
        if found is not None:
            own = sum(blob.size for blob in found.blobs if blob.digest not in blobs)
            size = own + sum(one.descriptor.size for one in found.documents if one.descriptor.digest not in needed)
            attached = [str(entry["digest"]) for entry in referrers.listed(store, found.documents[-1].descriptor)]
            gone.append(Old(digest, tagged.get(digest, []), attached, size))
    return gone, sorted(tag for digest in tagged if digest not in known for tag in tagged[digest])


def whole(store: Repository, digest: str) -> Closure | None:
    """The closure of a digest, None where the registry has it not."""
    return closure.of(closure.reader(store), digest, store.where) if store.document(digest) else None


def remove(store: Repository, images: Iterable[Old]) -> int:
    """Delete images and what is attached to them; how many manifests. Raises OutsideError where it is refused."""
    count = 0
    for image in images:
        fallback = store.document(image.digest.replace(":", "-"))
        index = [closure.named(fallback[0], store.where, fallback[1]).descriptor.digest] if fallback else []
        count += sum(deleted(store, digest) for digest in (*image.attached, *index, image.digest))
    return count


def deleted(store: Repository, digest: str) -> bool:
    """Delete one manifest; False where it was gone."""
    response = store.registry.ask("DELETE", f"{store.path}/manifests/{digest}", f"{store.pull},delete")
    status: int = response.status_code
    if status in (200, 202, 404):
        transport.finish(response)
        return status != 404
    raise store.registry.refused(response, f"{store.name}: delete {digest[:19]}")
