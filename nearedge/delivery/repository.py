"""One repository of a registry as a store of images: pull, push, cross-repository mount.

Uploads ask with HEAD first, stream from their source, and begin anew after a passing fault; downloads that broke off
go on with a Range request. Source: OCI distribution specification 1.1.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import requests

from nearedge.delivery import digest as digests
from nearedge.delivery import oci, transport
from nearedge.delivery.layout import Source
from nearedge.delivery.registry import Body, Registry
from nearedge.errors import OutsideError
from nearedge.files import CHUNK

ATTEMPTS = 5
PIECE = 1 << 16
"""Bytes read at once; what is read of a piece when a connection breaks off has to be read again."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


class PassingError(Exception):
    """A fault that may be gone at the next attempt; `wait_s` is what the registry asked for, 0 where it did not."""

    def __init__(self, error: OutsideError, wait_s: float = 0.0) -> None:
        """`error` is what to raise when the attempts are used up."""
        super().__init__(str(error))
        self.error, self.wait_s = error, wait_s


class Repository:
    """One repository. `where` is its name with the registry's, for messages; methods are those of `store.Store`."""

    def __init__(self, registry: Registry, name: str) -> None:
        """`name` without the registry."""
        self.registry, self.name = registry, name
        self.where = f"{registry.host}/{name}"
        full = f"library/{name}" if registry.host == "docker.io" and "/" not in name else name
        self.path = f"/v2/{full}"
        self.pull, self.push = f"repository:{full}:pull", f"repository:{full}:pull,push"
        self.full = full

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
            response.close()
            return None
        if response.status_code != requests.codes.ok:
            raise self.registry.refused(response, f"{self.name}: {which}")
        with response:
            try:
                content = transport.body_of(response, oci.LARGEST_DOCUMENT)
            except requests.RequestException as error:
                raise self.registry.unreachable(error) from error
        if content is None:
            raise OutsideError(f"{self.where}: {which}: the manifest is larger than {oci.LARGEST_DOCUMENT >> 20} MiB")
        told = transport.header(response.headers, "Docker-Content-Digest")
        wanted = which if digests.is_digest(which) else told
        if wanted and digests.of_bytes(content) != wanted:
            raise OutsideError(f"{self.where}: {which}: the manifest does not match its digest; it was not taken")
        return content, transport.header(response.headers, "Content-Type").split(";")[0].strip()

    def has(self, blob: oci.Descriptor) -> bool:
        """Whether the registry has the blob in this repository."""
        response = self.registry.ask("HEAD", f"{self.path}/blobs/{blob.digest}", self.pull)
        response.close()
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
        seen, failed, wait_s = 0, 0, FIRST_WAIT_S
        while True:
            before = seen
            try:
                for chunk in self.from_byte(blob, seen):
                    seen += len(chunk)
                    yield chunk
                return
            except requests.RequestException as error:
                failed = 1 if seen > before else failed + 1
                if failed >= ATTEMPTS:
                    raise self.registry.unreachable(error) from error
                time.sleep(min(wait_s * 2**failed, LONGEST_WAIT_S))

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
            if source.full == self.full:
                return 0
            mount = source.full
        return self.add(blob, lambda: source.chunks(blob), mount)

    def add(self, blob: oci.Descriptor, body: Body, mount: str = "") -> int:
        """Send a blob unless it is there or can be mounted from the repository `mount`."""
        wait_s = FIRST_WAIT_S
        for attempt in range(1, ATTEMPTS + 1):
            if self.has(blob):
                return 0
            try:
                return self.upload(blob, body, mount)
            except PassingError as fault:
                if attempt == ATTEMPTS:
                    raise fault.error from fault
                time.sleep(min(max(wait_s, fault.wait_s), LONGEST_WAIT_S))
                wait_s *= 2
        raise AssertionError("the loop returns or raises")

    def upload(self, blob: oci.Descriptor, body: Body, mount: str) -> int:
        """One attempt: open an upload (or mount), then send the blob in one PUT. PassingError: try again."""
        scope = f"{self.push} repository:{mount}:pull" if mount else self.push
        query = "?" + urlencode({"mount": blob.digest, "from": mount}) if mount else ""
        opened = self.send("POST", f"{self.path}/blobs/uploads/{query}", scope)
        opened.close()
        if opened.status_code == requests.codes.created:
            return 0
        location = transport.header(opened.headers, "Location")
        if opened.status_code != requests.codes.accepted or not location:
            raise self.registry.refused(opened, f"{self.name}: an upload")
        address = location + ("&" if "?" in location else "?") + urlencode({"digest": blob.digest})
        sent = self.send("PUT", address, self.push, {"Content-Type": "application/octet-stream"}, body, blob.size)
        if sent.status_code not in (requests.codes.created, requests.codes.no_content):
            raise self.registry.refused(sent, f"{self.name}: the upload of {blob.digest[:19]}")
        sent.close()
        return blob.size

    def send(
        self,
        method: str,
        address: str,
        scope: str,
        headers: dict[str, str] | None = None,
        body: Body | None = None,
        size: int = 0,
    ) -> requests.Response:
        """A request that changes something. Raises PassingError for faults that may be gone at the next attempt."""
        try:
            response = self.registry.request(method, address, scope, headers, body, size)
        except requests.exceptions.SSLError as error:
            raise self.registry.unreachable(error) from error
        except requests.RequestException as error:
            raise PassingError(self.registry.unreachable(error)) from error
        if response.status_code in transport.PASSING:
            after = transport.header(response.headers, "Retry-After")
            wait_s = float(after) if after.isdigit() else 0.0
            raise PassingError(self.registry.refused(response, f"{self.name}: an upload"), wait_s)
        return response

    def publish(self, manifest: oci.Manifest, tag: str) -> int:
        """Put the manifest under `tag`, or under its digest where `tag` is empty; 0 where it is there already."""
        which = tag or manifest.descriptor.digest
        for attempt in range(1, ATTEMPTS + 1):
            found = self.document(which)
            if found is not None and found[0] == manifest.content:
                return 0
            try:
                return self.put_manifest(manifest, which)
            except PassingError as fault:
                if attempt == ATTEMPTS:
                    raise fault.error from fault
                time.sleep(min(max(FIRST_WAIT_S * 2**attempt, fault.wait_s), LONGEST_WAIT_S))
        raise AssertionError("the loop returns or raises")

    def put_manifest(self, manifest: oci.Manifest, which: str) -> int:
        """One attempt to put the manifest; the bytes sent."""
        own = manifest.descriptor
        response = self.send(
            "PUT",
            f"{self.path}/manifests/{quote(which, safe=':')}",
            self.push,
            {"Content-Type": own.media_type},
            lambda: iter((manifest.content,)),
            own.size,
        )
        if response.status_code not in (requests.codes.created, requests.codes.ok, requests.codes.accepted):
            raise self.registry.refused(response, f"{self.name}: the manifest of {which}")
        response.close()
        told = transport.header(response.headers, "Docker-Content-Digest")
        if told and told != own.digest:
            raise OutsideError(f"{self.where}: took the manifest of {which} as {told}, not {own.digest}; push again")
        return own.size


def pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes in chunks."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK), b"")
