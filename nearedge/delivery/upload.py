"""Sending to one repository of a registry: blobs and manifests, anew after a passing fault.

A blob is asked for with HEAD first, mounted from a neighbour where it can be, else streamed in one PUT. Source: OCI
distribution specification 1.1, pushing blobs and manifests.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import requests

from nearedge.delivery import oci, transport
from nearedge.delivery.registry import Body, Registry
from nearedge.errors import OutsideError
from nearedge.files import CHUNK
from nearedge.progress import track

ATTEMPTS = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
TOLD_BYTES = 32 << 20
"""Uploads from this size on tell how far they are."""


class PassingError(Exception):
    """A fault that may be gone at the next attempt; `wait_s` is what the registry asked for, 0 where it did not."""

    def __init__(self, error: OutsideError, wait_s: float = 0.0) -> None:
        """`error` is what to raise when the attempts are used up."""
        super().__init__(str(error))
        self.error, self.wait_s = error, wait_s


class Uploads:
    """What is sent to one repository. Attempts raise PassingError where another one makes sense, else OutsideError."""

    def __init__(self, registry: Registry, name: str) -> None:
        """`name` as the API has it."""
        self.registry, self.name = registry, name
        self.path = f"/v2/{name}"
        self.scope = f"repository:{name}:pull,push"

    def persist(self, size: int, there: Callable[[], bool], attempt: Callable[[], int]) -> int:
        """Try until it is there, with backoff between passing faults; the bytes that were sent, 0 without an attempt.

        An answer may be lost on the way back, so before each attempt it is asked whether the last one worked.
        """
        wait_s = FIRST_WAIT_S
        for number in range(1, ATTEMPTS + 1):
            if there():
                return 0 if number == 1 else size
            try:
                return attempt()
            except PassingError as fault:
                if number == ATTEMPTS:
                    raise fault.error from fault
                time.sleep(min(max(wait_s, fault.wait_s), LONGEST_WAIT_S))
                wait_s *= 2
        raise AssertionError("the loop returns or raises")

    def blob(self, blob: oci.Descriptor, body: Body, mount: str) -> int:
        """One attempt: open an upload (or mount), then send the blob in one PUT. PassingError: try again."""
        scope = f"{self.scope} repository:{mount}:pull" if mount else self.scope
        query = "?" + urlencode({"mount": blob.digest, "from": mount}) if mount else ""
        opened = self.send("POST", f"{self.path}/blobs/uploads/{query}", scope)
        transport.finish(opened)
        if opened.status_code == requests.codes.created:
            return 0
        location = opened.headers.get("Location", "")
        if opened.status_code != requests.codes.accepted or not location:
            raise self.registry.refused(opened, f"{self.name}: an upload")
        address = location + ("&" if "?" in location else "?") + urlencode({"digest": blob.digest})
        sent = self.send(
            "PUT", address, self.scope, {"Content-Type": "application/octet-stream"}, shown(blob, body), blob.size
        )
        if sent.status_code not in (requests.codes.created, requests.codes.no_content):
            raise self.registry.refused(sent, f"{self.name}: the upload of {blob.digest[:19]}")
        transport.finish(sent)
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
            after = response.headers.get("Retry-After", "")
            wait_s = float(after) if after.isdigit() else 0.0
            raise PassingError(self.registry.refused(response, f"{self.name}: an upload"), wait_s)
        return response

    def manifest(self, manifest: oci.Manifest, which: str) -> int:
        """One attempt to put the manifest; the bytes sent."""
        own = manifest.descriptor
        response = self.send(
            "PUT",
            f"{self.path}/manifests/{quote(which, safe=':')}",
            self.scope,
            {"Content-Type": own.media_type},
            lambda: iter((manifest.content,)),
            own.size,
        )
        if response.status_code not in (requests.codes.created, requests.codes.ok, requests.codes.accepted):
            raise self.registry.refused(response, f"{self.name}: the manifest of {which}")
        transport.finish(response)
        told = response.headers.get("Docker-Content-Digest", "")
        if told and told != own.digest:
            raise OutsideError(
                f"{self.registry.host}/{self.name}: took {which} as {oci.shown(told)}, not {own.digest}; push again"
            )
        return own.size


def shown(blob: oci.Descriptor, body: Body) -> Body:
    """`body`, telling how far it is where it is large."""
    if blob.size < TOLD_BYTES:
        return body
    return lambda: track(body(), f"sending {blob.digest[:19]}, MiB", -(-blob.size // CHUNK))


def pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes in chunks."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK), b"")
