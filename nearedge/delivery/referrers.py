"""Documents about an image, attached to it as OCI referrers (OCI distribution specification 1.1, "Listing referrers").

A referrer is an artifact's manifest whose `subject` is the image. A registry with the API says OCI-Subject when it
takes one, and lists them; for one without, the index under the fallback tag `sha256-<hex>` lists them, and whoever adds
to it keeps what others wrote. In a layout, `index.json` names them.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import requests

from nearedge.delivery import digest as digests
from nearedge.delivery import oci, transport, upload
from nearedge.delivery.closure import Named
from nearedge.delivery.layout import Layout
from nearedge.delivery.repository import Repository
from nearedge.errors import OutsideError

EMPTY_CONFIG = b"{}"
SBOM_TYPE = "application/vnd.cyclonedx+json"
RECORD_TYPE = "application/vnd.nearedge.release.v1+json"
REPORT_TYPE = "application/vnd.nearedge.report.v1.html+gzip"


@dataclass(frozen=True)
class Attachment:
    """A document to attach; `kind` is its media type and the artifact's type, `title` the name of its file."""

    kind: str
    title: str
    content: bytes


def attach(store: Layout | Repository, subject: oci.Descriptor, attachments: Iterable[Attachment]) -> int:
    """Attach what the subject has none of its kind of yet, so that a second time adds nothing; the bytes sent.

    The subject has to be there already. Raises OutsideError where the registry refuses.
    """
    there = {entry.get("artifactType") for entry in listed(store, subject)}
    sent, unlisted = 0, []
    for attachment in attachments:
        if attachment.kind not in there:
            size, entry = add(store, subject, attachment)
            sent += size
            unlisted += [entry] if isinstance(store, Repository) and store.uploads.subject != subject.digest else []
    if isinstance(store, Repository) and unlisted and from_api(store, subject) is None:
        sent += add_to_fallback(store, subject, *unlisted)
    return sent


def listed(store: Layout | Repository, subject: oci.Descriptor) -> list[dict[str, Any]]:
    """The entries of the referrers of `subject`, from the API or under the fallback tag."""
    if isinstance(store, Layout):
        entries = [entry for entry in store.index()["manifests"] if isinstance(entry, dict)]
        found = [(entry, store.find(str(entry.get("digest")))) for entry in entries if "artifactType" in entry]
        return [entry for entry, manifest in found if manifest and names(manifest, subject)]
    by_api = from_api(store, subject)
    return fallback(store, subject) if by_api is None else by_api


def names(manifest: oci.Manifest, subject: oci.Descriptor) -> bool:
    """Whether a manifest's subject is this one."""
    said = oci.decode(manifest.content, "a referrer").get("subject")
    return isinstance(said, dict) and said.get("digest") == subject.digest


def from_api(store: Repository, subject: oci.Descriptor) -> list[dict[str, Any]] | None:
    """What the API lists, None where the registry has none (it then says 404, or something that is no index)."""
    address = f"{store.path}/referrers/{subject.digest}"
    response = store.registry.ask("GET", address, store.pull, {"Accept": oci.INDEX})
    if response.status_code in (400, 404, 405, 406, 501):
        transport.finish(response)
        return None
    if response.status_code != requests.codes.ok:
        raise store.registry.refused(response, f"{store.name}: the referrers of {subject.digest[:19]}")
    content = store.registry.content(response, oci.LARGEST_DOCUMENT)
    document = oci.decode(content or b"", f"{store.where}: referrers")
    return entries_of(document, f"{store.where}: referrers")


def entries_of(document: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """The entries of an index, as they are."""
    return [entry for entry in oci.listed(document, "manifests", where) if isinstance(entry, dict)]


def fallback(store: Repository, subject: oci.Descriptor) -> list[dict[str, Any]]:
    """What the index under the fallback tag lists, nothing where there is none."""
    tag = fallback_tag(subject)
    found = store.document(tag)
    if found is None:
        return []
    document = oci.decode(found[0], f"{store.where}:{tag}")
    if oci.media_type(document, found[1]) != oci.INDEX:
        raise OutsideError(f"{store.where}:{tag}: is no index of referrers; remove the tag, or attach nothing")
    return entries_of(document, f"{store.where}:{tag}")


def fallback_tag(subject: oci.Descriptor) -> str:
    """`sha256-` and the hex digits."""
    return subject.digest.replace(":", "-")


def add(store: Layout | Repository, subject: oci.Descriptor, attachment: Attachment) -> tuple[int, dict[str, Any]]:
    """Add one referrer; the bytes sent, and its entry for an index."""
    config = oci.Descriptor(oci.EMPTY, digests.of_bytes(EMPTY_CONFIG), len(EMPTY_CONFIG))
    content = attachment.content
    layer = oci.Descriptor(attachment.kind, digests.of_bytes(content), len(content), {oci.TITLE: attachment.title})
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "artifactType": attachment.kind,
        "config": config.to_json(),
        "layers": [layer.to_json()],
        "subject": oci.Descriptor(subject.media_type, subject.digest, subject.size).to_json(),
    }
    manifest = oci.manifest(oci.encode(document), f"{store.where}: {attachment.title}")
    sent = store.add_bytes(config, EMPTY_CONFIG) + store.add_bytes(layer, content)
    entry = {**manifest.descriptor.to_json(), "artifactType": attachment.kind}
    if isinstance(store, Layout):
        return sent + store.publish(manifest, "", attachment.kind), entry
    return sent + store.publish(manifest, ""), entry


def add_to_fallback(store: Repository, subject: oci.Descriptor, *entries: dict[str, Any]) -> int:
    """Put `entries` into the index under the fallback tag; the bytes sent.

    A tag is overwritten without a condition, so it is read again afterwards: where another writer's index lacks one of
    ours, ours is added to theirs.
    """
    sent, wait_s = 0, upload.FIRST_WAIT_S
    for _ in range(upload.ATTEMPTS):
        there = fallback(store, subject)
        missing = lacking(there, entries)
        if not missing:
            return sent
        content = oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [*there, *missing]})
        index = Named(oci.Descriptor(oci.INDEX, digests.of_bytes(content), len(content)), content)
        sent += store.publish(index, fallback_tag(subject))
        if not lacking(fallback(store, subject), entries):
            return sent
        time.sleep(wait_s)
        wait_s *= 2
    raise OutsideError(f"{store.where}:{fallback_tag(subject)}: others write it all the time; push again")


def lacking(there: Iterable[dict[str, Any]], entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries whose manifest none of those that are there names."""
    known = {one.get("digest") for one in there}
    return [entry for entry in entries if entry["digest"] not in known]
