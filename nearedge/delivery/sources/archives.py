"""Unpacking tar and zip files that a stranger may have made.

Nothing is written outside the folder, no link and no device is made, and what arrives is counted while it is
unpacked: sizes that an archive claims are not believed.
"""

import bz2
import errno
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from nearedge.delivery.xz import XzFile
from nearedge.errors import InputError, UnsupportedError
from nearedge.files import CHUNK

MAX_MEMBERS = 10_000
MAX_HEADER = 1 << 20
"""Bytes that one name or extended header of a tar may have: tarfile reads those whole into memory."""
MAX_PATH = 1024
BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError,
    struct.error, ArithmeticError, LookupError, RuntimeError,
)  # fmt: skip
"""What the readers raise for damage; the last four come from heads that tarfile and zipfile believe."""
OF_DAMAGE = (None, errno.EINVAL)
"""Numbers of an OSError that is no fault of the machine: decompressors give none, a place before the file is EINVAL."""

OPENERS: dict[bytes, Callable[[Path], object]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": XzFile,
}
"""What decompresses a tar, by the first bytes of the file."""


@dataclass
class Limits:
    """What an archive may hold at the most."""

    max_bytes: int
    max_members: int = MAX_MEMBERS


class Bounded(io.RawIOBase):
    """A stream that refuses reads larger than a tar needs, so that a header's claimed size cannot fill the memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        """`stream` is read, sought and closed in our place."""
        self.stream = stream

    def read(self, size: int = -1) -> bytes:
        """At most CHUNK bytes at a time."""
        if not 0 <= size <= max(CHUNK, MAX_HEADER):
            raise tarfile.ReadError("a header claims to be larger than 1 MiB")
        return self.stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Forward to the stream."""
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        """Forward to the stream."""
        return self.stream.tell()

    def close(self) -> None:
        """Close the stream too."""
        self.stream.close()
        super().close()


def is_archive(path: Path) -> bool:
    """Whether the file is a zip or a tar, plain or compressed by gzip, bzip2 or xz."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with opened(path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            return tar.next() is not None
    except (OSError, *BROKEN):
        return False


def opened(path: Path) -> "Bounded":
    """The tar's own bytes, decompressed."""
    with path.open("rb") as file:
        magic = file.read(6)
    for prefix, opener in OPENERS.items():
        if magic.startswith(prefix):
            return Bounded(cast(IO[bytes], opener(path)))
    return Bounded(path.open("rb"))


def extract(path: Path, into: Path, limits: Limits) -> None:
    """Unpack `path` into the empty folder `into`: plain files and folders, mode 0644 and 0755.

    Raises InputError for whatever leads out, is no plain file, comes twice, or passes the limits, and for a damaged
    archive; UnsupportedError for an encrypted one. `into` may then hold a part.
    """
    unpacking = Unpacking(path.name, into, limits)
    try:
        if zipfile.is_zipfile(path):
            unpacking.zip(path)
        else:
            unpacking.tar(path)
    except (OSError, *BROKEN) as error:
        if isinstance(error, OSError) and error.errno not in OF_DAMAGE:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path.name}: is damaged or no archive: {reason}") from error


class Unpacking:
    """One archive on its way into a folder."""

    def __init__(self, name: str, into: Path, limits: Limits) -> None:
        """`name` is what messages call the archive."""
        self.name, self.into, self.limits = name, into, limits
        self.members = self.size = 0
        self.files: set[PurePosixPath] = set()
        self.folders: set[PurePosixPath] = {PurePosixPath(".")}

    def zip(self, path: Path) -> None:
        """Unpack a zip file."""
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                if member.flag_bits & 1:
                    raise UnsupportedError(f"{self.name}: is encrypted; give it without a password")
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise self.fault(member.filename, "is a link or a device; pack the file itself")
                if member.filename.endswith("/"):
                    self.folder(member.filename)
                    continue
                with self.readable(archive, member) as stream:
                    self.file(member.filename, stream)

    def readable(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
        """The member's stream. LZMA is refused: what it takes to read is the writer's choice, up to 4 GiB of memory."""
        if member.compress_type == zipfile.ZIP_LZMA:
            raise UnsupportedError(f"{self.name}: {member.filename!r}: is compressed by LZMA; use deflate")
        try:
            return archive.open(member)
        # what zipfile raises for a compression it does not know, and for a password
        except (NotImplementedError, RuntimeError) as error:
            raise UnsupportedError(f"{self.name}: {member.filename!r}: {error}; use deflate") from error

    def tar(self, path: Path) -> None:
        """Unpack a tar file."""
        with opened(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                if member.isdir():
                    self.folder(member.name)
                elif member.isreg():
                    content = archive.extractfile(member)
                    assert content is not None, "a plain file has content"
                    self.file(member.name, content)
                else:
                    raise self.fault(member.name, "is a link or a device; pack the file itself (tar --dereference)")

    def folder(self, name: str) -> None:
        """Make a folder; one that is there already is fine."""
        path = self.safe(name)
        if path in self.files:
            raise self.fault(name, "comes twice")
        self.grow(path)
        (self.into / path).mkdir(parents=True, exist_ok=True)

    def file(self, name: str, stream: IO[bytes]) -> None:
        """Write one file, counting what really comes out."""
        path = self.safe(name)
        if path in self.files or path in self.folders:
            raise self.fault(name, "comes twice" if path.name else "is no name of a file")
        self.grow(path.parent)
        self.files.add(path)
        target = self.into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in chunks(stream):
                self.size += len(chunk)
                if self.size > self.limits.max_bytes:
                    raise InputError(f"{self.name}: unpacks to more than {self.limits.max_bytes} bytes (max-bytes)")
                file.write(chunk)

    def grow(self, folder: PurePosixPath) -> None:
        """Take note of a folder and those it lies in; none may be a file."""
        for path in (folder, *folder.parents):
            if path in self.files:
                raise self.fault(str(folder), f"lies in {str(path)!r}, which is a file")
            self.folders.add(path)

    def safe(self, name: str) -> PurePosixPath:
        """The member's path inside the folder, refused where it could lead elsewhere."""
        self.members += 1
        if self.members > self.limits.max_members:
            raise InputError(f"{self.name}: holds more than {self.limits.max_members} members")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise self.fault(name, "leads out of the archive")
        if "\\" in name or "\0" in name or len(name.encode(errors="replace")) > MAX_PATH or not printable(name):
            raise self.fault(name, "is no name that every system takes")
        if any(len(part.encode()) > 255 for part in path.parts):
            raise self.fault(name, "is no name that every system takes")
        return path

    def fault(self, name: str, what: str) -> InputError:
        """The error for one member."""
        return InputError(f"{self.name}: {name[:200]!r} {what}")


def printable(name: str) -> bool:
    """Whether the name is text that can be written to a log and a file system: no control character, no surrogate."""
    return not any(ord(letter) < 32 or 0xD800 <= ord(letter) <= 0xDFFF or ord(letter) == 127 for letter in name)


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """The stream's content in pieces."""
    while chunk := stream.read(CHUNK):
        yield chunk
