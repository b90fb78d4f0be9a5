"""One blob on its way to a registry: mounted, or sent so that what was cut goes on where the registry stands.

Source: OCI distribution specification 1.1, "Pushing a blob in chunks": POST opens an upload, PATCH with Content-Range
adds to it, GET tells how far it is (Range), PUT with the digest closes it. The first PATCH has the whole blob, since
registries write each one to disk, which costs more than sending it over a good link. Once it was cut, what the registry
kept of it is not sent again, and the rest goes in chunks. The distribution registry up to 2.8 forgets an upload whose
PATCH broke off; there the blob begins anew, in chunks. A registry that takes no PATCH gets one PUT.
"""

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import requests

from nearedge.delivery import oci, transport
from nearedge.delivery.registry import Body
from nearedge.delivery.upload import PassingError, Uploads
from nearedge.errors import OutsideError
from nearedge.files import CHUNK
from nearedge.progress import track

CHUNK_BYTES = 8 << 20
"""Bytes of one PATCH, which are held in memory; what a cut costs at most where the registry keeps nothing of it."""
LARGEST_CHUNK = 64 << 20
TOLD_BYTES = 32 << 20
"""Uploads from this size on tell how far they are."""
STANDS = re.compile(r"(?:bytes=)?0-(\d{1,15})")
OCTETS = {"Content-Type": "application/octet-stream"}
NO_CHUNKS = (400, 404, 405, 411, 415, 416, 501)
"""Answers to the first PATCH after which the blob is sent in one PUT."""
GONE = (404, 416)


class Window:
    """A body that can be asked for from any byte on; the last piece asked for is kept, so that a cut costs nothing."""

    def __init__(self, body: Body, size: int) -> None:
        """`size` is the length of a piece in bytes."""
        self.body, self.size = body, size
        self.start, self.held = 0, b""
        self.pieces: Iterator[bytes] = iter(())
        self.rest = b""
        self.read = -1  # bytes taken from `pieces` that are before `rest`; -1: not begun

    def at(self, offset: int) -> bytes:
        """At most `size` bytes from `offset` on, none at the end."""
        if self.held and self.start <= offset < self.start + len(self.held):
            return self.held[offset - self.start :]
        if self.read < 0 or offset < self.read:
            self.pieces, self.rest, self.read = self.body(), b"", 0
        self.take(offset - self.read)
        self.start, self.held = offset, self.take(self.size)
        return self.held

    def take(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end. What is skipped goes through memory piece by piece."""
        taken = bytearray()
        wanted = count
        while wanted:
            if not self.rest:
                piece = next(self.pieces, None)
                if piece is None:
                    break
                self.rest = piece
            part, self.rest = self.rest[:wanted], self.rest[wanted:]
            wanted -= len(part)
            self.read += len(part)
            if count <= self.size:
                taken += part
        return bytes(taken)


class PushedBlob:
    """One blob; `attempt` goes on where the last one ended. `offset` is how many bytes the registry has."""

    def __init__(self, sender: Uploads, blob: oci.Descriptor, body: Body, mount: str) -> None:
        """`mount` is a repository of the same registry that may have the blob, or empty."""
        self.sender, self.blob, self.mount = sender, blob, mount
        self.body = shown(blob, body)
        self.window = Window(self.body, CHUNK_BYTES)
        self.location, self.offset = "", 0
        self.in_chunks = False
        self.what = f"{sender.name}: the upload of {blob.digest[:19]}"

    def attempt(self) -> int:
        """Bring the blob there; the bytes sent, 0 where it was mounted. PassingError: try again."""
        if not (self.location and self.stands()) and self.open():
            return 0
        if self.blob.size > self.window.size and self.sender.registry.takes_chunks:
            if self.patched():
                self.close(None)
                return self.blob.size
            self.open()
        self.close(self.body)
        return self.blob.size

    def open(self) -> bool:
        """Open an upload; True where the blob was mounted instead."""
        self.location, self.offset = "", 0
        scope = f"{self.sender.scope} repository:{self.mount}:pull" if self.mount else self.sender.scope
        query = "?" + urlencode({"mount": self.blob.digest, "from": self.mount}) if self.mount else ""
        opened = self.sender.send("POST", f"{self.sender.path}/blobs/uploads/{query}", scope)
        transport.finish(opened)
        if opened.status_code == requests.codes.created:
            return True
        location = opened.headers.get("Location", "")
        if opened.status_code != requests.codes.accepted or not location:
            raise self.sender.registry.refused(opened, f"{self.sender.name}: an upload")
        self.location = location
        least = opened.headers.get("OCI-Chunk-Min-Length", "")
        if least.isdigit() and int(least) > self.window.size:
            self.window = Window(self.body, min(int(least), LARGEST_CHUNK))
        return False

    def stands(self) -> bool:
        """Ask how far the upload is; False where the registry has forgotten it."""
        response = self.sender.send("GET", self.location, self.sender.scope)
        transport.finish(response)
        if response.status_code not in (requests.codes.no_content, requests.codes.accepted, requests.codes.ok):
            return False
        return self.moved(response, 0)

    def moved(self, response: requests.Response, otherwise: int) -> bool:
        """Take over where the registry says it stands; False where that cannot be. `0-0` is said for nothing, too."""
        said = STANDS.fullmatch(response.headers.get("Range", "").strip())
        self.offset = (int(said[1]) + 1 if int(said[1]) else 0) if said else otherwise
        self.location = response.headers.get("Location", "") or self.location
        return self.offset <= self.blob.size

    def patched(self) -> bool:
        """Send what is missing in chunks; False where the registry takes none."""
        while self.offset < self.blob.size:
            body, size = self.next_part()
            end = self.offset + size
            headers = {**OCTETS, "Content-Range": f"{self.offset}-{end - 1}"}
            response = self.sender.send("PATCH", self.location, self.sender.scope, headers, body, size)
            if self.offset == 0 and response.status_code in NO_CHUNKS:
                transport.finish(response)
                self.sender.registry.takes_chunks = False
                return False
            if response.status_code not in (201, 202, 204):
                raise self.refused(response)
            transport.finish(response)
            before = self.offset
            if not self.moved(response, end) or not before < self.offset <= end:
                self.location = ""
                raise PassingError(OutsideError(f"{self.what}: the registry miscounts what it was sent; push again"))
        return True

    def next_part(self) -> tuple[Body, int]:
        """What the next PATCH sends: the whole blob the first time, a chunk from `offset` on after that."""
        if not self.in_chunks:
            self.in_chunks = True
            return self.body, self.blob.size
        piece = self.window.at(self.offset)
        if not piece or self.offset + len(piece) > self.blob.size:
            raise OutsideError(f"{self.what}: its source has not the {self.blob.size} bytes it should have")
        return once(piece), len(piece)

    def close(self, body: Body | None) -> None:
        """Say the digest, with the whole blob where `body` is given; the registry holds it against what it has."""
        address = self.location + ("&" if "?" in self.location else "?") + urlencode({"digest": self.blob.digest})
        if body is not None:
            self.location = ""  # a PUT that breaks off leaves nothing to go on with
        sent = self.sender.send("PUT", address, self.sender.scope, dict(OCTETS), body, self.blob.size if body else 0)
        if sent.status_code not in (requests.codes.created, requests.codes.no_content):
            raise self.refused(sent)
        transport.finish(sent)

    def refused(self, response: requests.Response) -> Exception:
        """The error for an answer: passing where the upload is gone or its bytes changed on the way, else final."""
        error = self.sender.registry.refused(response, self.what)
        if response.status_code in GONE or "(DIGEST_INVALID)" in str(error):
            self.location = "" if response.status_code != 416 else self.location
            return PassingError(error)
        return error


def once(content: bytes) -> Body:
    """A body of one piece."""
    return lambda: iter((content,))


def shown(blob: oci.Descriptor, body: Body) -> Body:
    """`body`, telling how far it is where it is large."""
    if blob.size < TOLD_BYTES:
        return body
    return lambda: track(body(), f"sending {blob.digest[:19]}, MiB", -(-blob.size // CHUNK))
