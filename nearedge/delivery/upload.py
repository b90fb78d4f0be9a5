"""Sending to one repository of a registry: blobs and manifests, anew after a passing fault.

A blob is asked for with HEAD first, then mounted from a neighbour where it can be, else streamed (`pushed_blob`).
Source: OCI distribution specification 1.1, pushing blobs and manifests.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import requests

from nearedge.delivery import oci, transport
from nearedge.delivery.registry import Body, PassingFaultError, Registry
from nearedge.errors import OutsideError
from nearedge.files import CHUNK

ATTEMPTS = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


class PassingError(Exception):
    """A fault that may be gone at the next attempt; `wait_s` is what the registry asked for, 0 where it did not."""

    def __init__(self, error: OutsideError) -> None:
        """`error` is what to raise when the attempts are used up."""
        super().__init__(str(error))
        self.error = error
        self.wait_s = error.wait_s if isinstance(error, PassingFaultError) else 0.0


class Uploads:
    """What is sent to one repository. Attempts raise PassingError where another one makes sense, else OutsideError."""

    def __init__(self, registry: Registry, name: str) -> None:
        """`name` as the API has it."""
        self.registry, self.name = registry, name
        self.path = f"/v2/{name}"
        self.scope = f"repository:{name}:pull,push"
        self.subject = ""  # what the registry said of the last manifest: the digest that it lists it as a referrer of

    def persist(
        self, size: int, there: Callable[[], bool], attempt: Callable[[], int], far: Callable[[], int] = lambda: 0
    ) -> int:
        """Try until it is there, with backoff between passing faults; the bytes that were sent, 0 without an attempt.

        An answer may be lost on the way back, so before each attempt it is asked whether the last one worked. `far`
        says how far the last attempt came, in bytes; one that came further than all before starts the count anew.
        """
        wait_s, failed, furthest = FIRST_WAIT_S, 0, 0
        tried = False
        while not there():
            tried = True
            try:
                return attempt()
            except PassingError as fault:
                if far() > furthest:
                    wait_s, failed, furthest = FIRST_WAIT_S, 0, far()
                failed += 1
                if failed >= ATTEMPTS:
                    raise fault.error from fault
                time.sleep(min(max(wait_s, fault.wait_s), LONGEST_WAIT_S))
                wait_s *= 2
        return size if tried else 0

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
            raise PassingError(self.registry.refused(response, f"{self.name}: an upload"))
        return response

    def manifest(self, manifest: oci.Document, which: str) -> int:
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
        self.subject = response.headers.get("OCI-Subject", "")
        told = response.headers.get("Docker-Content-Digest", "")
        if told and told != own.digest:  # its bytes changed on the way, and the next attempt puts that right
            said = f"took {which} as {oci.shown(told)}, not {own.digest}; push again"
            raise PassingError(OutsideError(f"{self.registry.host}/{self.name}: {said}"))
        return own.size


def pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes in chunks."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK), b"")
