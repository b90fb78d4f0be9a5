"""A bundle as a file: one plain tar, written as it streams, read strictly.

What a reader meets has to be exactly what the index says, member by member: nothing of a stranger's tar (links,
devices, names that lead out, members that come twice) is looked at any further. Heads and padding have to be the bytes
that `write` writes, too, so that no bit of the file can change unseen.
"""

import errno
import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nearedge.delivery import digest as digests
from nearedge.delivery import oci
from nearedge.delivery.bundle import bundle_index
from nearedge.delivery.bundle.bundle_index import INDEX, LARGEST, SUM, Index, Member
from nearedge.delivery.sources.archives import BROKEN, Bounded
from nearedge.errors import InputError, OutsideError
from nearedge.files import CHUNK

Open = Callable[[Member], Iterator[bytes]]
"""Begins a member's bytes."""


class Pieces(io.RawIOBase):
    """Pieces as a file that tarfile reads from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        """`pieces` are taken as they are asked for."""
        self.pieces, self.rest = pieces, b""

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer at the end."""
        held = bytearray(self.rest)
        while len(held) < size:
            piece = next(self.pieces, None)
            if piece is None:
                break
            held += piece
        self.rest = bytes(held[size:])
        return bytes(held[:size])


def write(path: Path, index: Index, opened: Open) -> str:
    """Write the bundle by rename; its id. The bytes are on the medium when it has its name."""
    content = index.encode()
    own = hashlib.sha256(content).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with (
            part.open("wb") as out,
            tarfile.TarFile(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, copybufsize=CHUNK) as tar,
        ):
            for name, text in ((SUM, own.encode()), (INDEX, content)):
                tar.addfile(entry(name, len(text)), io.BytesIO(text))
            for member in index.members:
                tar.addfile(entry(member.path, member.size), Pieces(opened(member)))
            tar.close()
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return own


def entry(name: str, size: int) -> tarfile.TarInfo:
    """A member's head: nobody's, of no time, so that the same bundle has the same bytes."""
    head = tarfile.TarInfo(name)
    head.size, head.mode = size, 0o644
    return head


class Bundle:
    """An open bundle. `verify` comes first; `chunks` then gives what it found right."""

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        """`opened` makes one."""
        self.path, self.file, self.where = path, file, path.name
        self.starts: dict[str, tuple[int, Member]] = {}
        self.end = 0  # of the last member's content that was met
        self.tar = tarfile.open(fileobj=Bounded(file), mode="r:")  # noqa: SIM115 - as long-lived as the file itself
        own = self.small(SUM, 64)
        content = self.small(INDEX, LARGEST)
        self.id = hashlib.sha256(content).hexdigest()
        if own != self.id.encode():
            raise InputError(f"{self.where}: its index does not match its sum; carry the bundle over again")
        self.index = bundle_index.decode(content, self.where)

    def next(self, name: str) -> tarfile.TarInfo:
        """The next member, which has to be the plain file `name`."""
        head = self.tar.next()
        if head is None or head.offset_data + head.size > os.fstat(self.file.fileno()).st_size:
            raise InputError(f"{self.where}: ends before {name} does; the copy is cut short, carry it over again")
        if head.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or head.sparse is not None or head.name != name:
            raise InputError(f"{self.where}: has {oci.shown(head.name)} where {name} should be; it is no whole bundle")
        gap = bytes(-self.end % tarfile.BLOCKSIZE)
        self.expect(self.end, gap + entry(name, head.size).tobuf(tarfile.GNU_FORMAT), f"the head of {name}")
        self.end = head.offset_data + head.size
        return head

    def expect(self, start: int, content: bytes, what: str) -> None:
        """Hold bytes that are no member's content against those that `write` writes."""
        if b"".join(self.span(start, len(content))) != content:
            raise InputError(f"{self.where}: {what} is damaged; carry the bundle over again")

    def small(self, name: str, limit: int) -> bytes:
        """The next member in one piece."""
        head = self.next(name)
        if head.size > limit:
            raise InputError(f"{self.where}: {name} has {head.size} bytes, more than the {limit} it may have")
        return b"".join(self.span(head.offset_data, head.size))

    def span(self, start: int, size: int) -> Iterator[bytes]:
        """Bytes of the file itself."""
        while size > 0:
            self.file.seek(start)
            piece = self.file.read(min(size, CHUNK))
            if not piece:
                return
            yield piece
            start, size = start + len(piece), size - len(piece)

    def verify(self) -> None:
        """Hold every byte against the index. Raises InputError with the first member that is wrong."""
        for member in self.index.members:
            head = self.next(member.path)
            if head.size != member.size:
                raise InputError(
                    f"{self.where}: {member.path} has {head.size} bytes, not {member.size}; carry it over again"
                )
            self.starts[member.path] = (head.offset_data, member)
            for _ in self.member(member.path):
                pass
        if self.tar.next() is not None:
            raise InputError(f"{self.where}: holds more than its index says; it was changed on the way")
        size = -(-(self.end + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
        if os.fstat(self.file.fileno()).st_size != size:
            raise InputError(f"{self.where}: has not the {size} bytes it should have; carry the bundle over again")
        self.expect(self.end, bytes(size - self.end), "its end")

    def member(self, path: str) -> Iterator[bytes]:
        """A member's bytes, verified each time they are read."""
        start, member = self.starts[path]
        try:
            where = f"{self.where}: {path}"
            yield from digests.verified(self.span(start, member.size), f"sha256:{member.sha256}", member.size, where)
        except OutsideError as error:
            raise InputError(f"{error}; the medium or the copy is damaged, carry the bundle over again") from error

    def has(self, digest: str) -> bool:
        """Whether a blob is in here."""
        return blob_path(digest) in self.starts

    def size(self, digest: str) -> int:
        """The size of a blob that is in here."""
        return self.starts[blob_path(digest)][1].size

    def document(self, which: str) -> tuple[bytes, str] | None:
        """A manifest by digest, for `closure.of`."""
        if not self.has(which):
            return None
        if self.starts[blob_path(which)][1].size > oci.LARGEST_DOCUMENT:
            raise InputError(f"{self.where}: {which} is larger than manifests are")
        return b"".join(self.member(blob_path(which))), ""

    def chunks(self, blob: oci.Descriptor) -> Iterator[bytes]:
        """A blob's bytes, verified."""
        yield from self.member(blob_path(blob.digest))


def blob_path(digest: str) -> str:
    """Where a blob lies in the tar."""
    return f"blobs/sha256/{digests.require(digest, 'bundle').removeprefix('sha256:')}"


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """The bundle at `path`. Whatever its tar or its medium does wrong is an InputError."""
    try:
        with path.open("rb") as file:
            yield Bundle(path, file)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such bundle; give its path in the workspace") from error
    except BROKEN as error:
        raise InputError(f"{path.name}: is damaged or no bundle; carry it over again") from error
    except OSError as error:
        if error.errno not in (errno.EIO, errno.EINVAL, None):
            raise
        raise InputError(f"{path.name}: the medium cannot be read; try another copy") from error
