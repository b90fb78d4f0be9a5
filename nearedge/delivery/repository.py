"""One repository of a registry as a store of images: pull, push, cross-repository mount.

Downloads that broke off go on with a Range request. Source: OCI distribution specification 1.1.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import requests

from nearedge.delivery import digest as digests
from nearedge.delivery import oci, transport, upload
from nearedge.delivery.layout import Source
from nearedge.delivery.pushed_blob import PushedBlob
from nearedge.delivery.registry import Body, Registry
from nearedge.delivery.upload import Uploads, pieces
from nearedge.errors import OutsideError

PIECE = 1 << 16
"""Bytes read at once; what is read of a piece when a connection breaks off has to be read again."""


class Repository:
    """One repository. `where` is its name with the registry's, for messages; methods are those of `store.Store`."""

    def __init__(self, registry: Registry, name: str) -> None:
        """`name` without the registry."""
        self.registry, self.name = registry, name
        self.where = f"{registry.host}/{name}"
        full = f"library/{name}" if registry.host == "docker.io" and "/" not in name else name
        self.path, self.pull = f"/v2/{full}", f"repository:{full}:pull"
        self.uploads = Uploads(registry, full)

    def find(self, which: str) -> oci.Manifest | None:
        """The manifest of a tag or digest, None where there is none; an index is followed to linux/amd64."""
        for _ in range(3):
            got = self.document(which)
            if got is None:
                return None
            content, said = got
            document = oci.decode(content, f"{self.where}: {which}")
            if oci.media_type(document, said) not in oci.INDEXES:
                return oci.manifest(content, f"{self.where}: {which}", said)
            which = oci.for_platform(document, f"{self.where}: {which}").digest
        raise OutsideError(f"{self.where}: {which}: indexes name indexes more than twice over")

    def resolve(self, which: str) -> oci.Manifest:
        """As `find`; OutsideError where there is none."""
        found = self.find(which)
        if found is None:
            raise OutsideError(f"{self.where}: has no image {which!r}; check the name, or push it there first")
        return found

    def document(self, which: str) -> tuple[bytes, str] | None:
        """A manifest's bytes, held against the digest asked for or told, and its media type; None for 404."""
        address = f"{self.path}/manifests/{quote(which, safe=':')}"
        response = self.registry.ask("GET", address, self.pull, {"Accept": oci.ACCEPT})
        if response.status_code == requests.codes.not_found:
            transport.finish(response)
            return None
        if response.status_code != requests.codes.ok:
            raise self.registry.refused(response, f"{self.name}: {which}")
        content = self.registry.content(response, oci.LARGEST_DOCUMENT)
        if content is None:
            raise OutsideError(f"{self.where}: {which}: the manifest is larger than {oci.LARGEST_DOCUMENT >> 20} MiB")
        told = response.headers.get("Docker-Content-Digest", "")
        wanted = which if digests.is_digest(which) else told
        if wanted and digests.of_bytes(content) != wanted:
            raise OutsideError(f"{self.where}: {which}: the manifest does not match its digest; it was not taken")
        return content, response.headers.get("Content-Type", "").split(";")[0].strip()

    def has(self, blob: oci.Descriptor) -> bool:
        """Whether the registry has the blob in this repository."""
        response = self.registry.ask("HEAD", f"{self.path}/blobs/{blob.digest}", self.pull)
        transport.finish(response)
        if response.status_code == requests.codes.ok:
            return True
        if response.status_code == requests.codes.not_found:
            return False
        raise self.registry.refused(response, f"{self.name}: blob {blob.digest[:19]}")

    def chunks(self, blob: oci.Descriptor) -> Iterator[bytes]:
        """The blob's bytes, verified; goes on where a connection broke off."""
        where = f"{self.where}: blob {blob.digest[:19]}"
        yield from digests.verified(self.resumed(blob), blob.digest, blob.size, where)

    def resumed(self, blob: oci.Descriptor) -> Iterator[bytes]:
        """The blob's bytes as they come; a connection that breaks off is taken up again with a Range request."""
        seen, failed = 0, 0
        while True:
            before = seen
            try:
                for chunk in self.from_byte(blob, seen):
                    seen += len(chunk)
                    yield chunk
                return
            except requests.RequestException as error:
                failed = 1 if seen > before else failed + 1
                if failed >= upload.ATTEMPTS:
                    raise self.registry.unreachable(error) from error
                time.sleep(min(upload.FIRST_WAIT_S * 2**failed, upload.LONGEST_WAIT_S))

    def from_byte(self, blob: oci.Descriptor, start: int) -> Iterator[bytes]:
        """The blob from byte `start` on, also where the registry ignores Range."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self.registry.request("GET", f"{self.path}/blobs/{blob.digest}", self.pull, headers) as response:
            if response.status_code not in (200, 206):
                raise self.registry.refused(response, f"{self.name}: blob {blob.digest[:19]}")
            skip = start if response.status_code == 200 else 0
            for chunk in response.iter_content(PIECE):
                if skip < len(chunk):
                    yield chunk[skip:]
                skip = max(0, skip - len(chunk))

    def read(self, blob: oci.Descriptor, limit: int) -> bytes:
        """A small blob in one piece."""
        if blob.size > limit:
            raise OutsideError(f"{self.where}: {blob.digest} has {blob.size} bytes, more than the {limit} expected")
        return b"".join(self.chunks(blob))

    def add_bytes(self, blob: oci.Descriptor, content: bytes) -> int:
        """Add a blob; the bytes sent, 0 where it was there."""
        return self.add(blob, lambda: iter((content,)))

    def add_file(self, blob: oci.Descriptor, path: Path) -> int:
        """Add a blob streamed from a file; the bytes sent."""
        return self.add(blob, lambda: pieces(path))

    add_copy = add_file

    def adopt(self, blob: oci.Descriptor, source: Source) -> int:
        """Take a blob from another store: mounted within one registry, else streamed; the bytes sent."""
        mount = ""
        if isinstance(source, Repository) and source.registry.host == self.registry.host:
            if source.path == self.path:
                return 0
            mount = source.uploads.name
        return self.add(blob, lambda: source.chunks(blob), mount)

    def add(self, blob: oci.Descriptor, body: Body, mount: str = "") -> int:
        """Send a blob unless it is there or can be mounted from the repository `mount`."""
        pushed = PushedBlob(self.uploads, blob, body, mount)
        return self.uploads.persist(blob.size, lambda: self.has(blob), pushed.attempt, lambda: pushed.offset)

    def publish(self, manifest: oci.Document, tag: str) -> int:
        """Put the manifest under `tag`, or under its digest where `tag` is empty; 0 where it is there already."""
        which = tag or manifest.descriptor.digest

        def there() -> bool:
            found = self.document(which)
            return found is not None and found[0] == manifest.content

        return self.uploads.persist(manifest.descriptor.size, there, lambda: self.uploads.manifest(manifest, which))
