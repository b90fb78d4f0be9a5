"""Layers: tar files whose bytes depend on the entries alone, compressed and hashed in one pass.

Names are sorted, parent folders come with them, times are 0, owners and modes are given, headers are POSIX (pax) and
carry extended records only where a name is too long for ustar. Compression is pinned: the digest of a compressed layer
depends on the compressor. ISA-L's level 2 gives the same bytes on SSE4.2, AVX2 and AVX-512 (its level 3 does not: it
gave three different streams on the three) and takes 0.3 s for 100 MB.
"""

import os
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, Protocol

import zstandard
from isal import isal_zlib

from nearedge.delivery import oci
from nearedge.delivery.side_hash import SideHash
from nearedge.errors import InputError
from nearedge.files import CHUNK

GZIP = 31  # zlib's window bits for a gzip frame; its header then holds neither name nor time
ISAL_LEVEL = 2
ZLIB_LEVEL = 6
ZSTD_LEVEL = 3

Compression = Literal["fast", "small", "zstd"]
"""`fast`: gzip from ISA-L, for what is built often. `small`: gzip from zlib, a tenth smaller, ten times slower, for
what is kept. `zstd`: zstd at its level 3, for sites whose engines read it."""


class Compressor(Protocol):
    """What zlib's and ISA-L's compression objects have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Compressed bytes that are ready so far."""

    def flush(self) -> bytes:
        """The rest of them."""


@dataclass(frozen=True)
class Entry:
    """One member: a file from `source` (a path or its bytes), a symbolic link, or a folder where both are None."""

    name: str
    source: Path | bytes | None = None
    link: str | None = None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    sha256: str = ""  # where given, the file must still have it while it is read


@dataclass(frozen=True)
class Layer:
    """A compressed layer on disk; `diff_id` is the digest of the tar itself."""

    descriptor: oci.Descriptor
    diff_id: str
    path: Path
    title: str


@dataclass
class Sink:
    """Hashes a tar, compresses it, hashes that, writes it: each byte is read once, and hashed beside the compressor."""

    out: BinaryIO
    compressor: Compressor
    tar: SideHash = field(default_factory=SideHash)
    blob: SideHash = field(default_factory=SideHash)
    size: int = 0
    length: int = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes of the tar."""
        self.length += len(data)
        self.tar.update(data)
        self.emit(self.compressor.compress(data))

    def header(self, info: tarfile.TarInfo) -> None:
        """Begin a member. Raises what `tarfile` raises for a name that no header can hold."""
        self.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def content(self, data: bytes) -> None:
        """Take the next bytes of the member's content."""
        self.write(data)

    def end_content(self) -> None:
        """End a member that has content."""
        self.pad(tarfile.BLOCKSIZE)

    def pad(self, to: int) -> None:
        """Fill up with zeros to a multiple of `to`."""
        if self.length % to:
            self.write(bytes(to - self.length % to))

    def emit(self, data: bytes) -> None:
        """Take the next compressed bytes."""
        self.size += len(data)
        self.blob.update(data)
        self.out.write(data)

    def close(self) -> None:
        """Write the end of the tar (two empty records, filled up as POSIX has it) and of the compression."""
        self.write(bytes(2 * tarfile.BLOCKSIZE))
        self.pad(tarfile.RECORDSIZE)
        self.emit(self.compressor.flush())


def compressor(compression: Compression) -> Compressor:
    """A new compression object at the pinned level."""
    if compression == "fast":
        fast: Compressor = isal_zlib.compressobj(ISAL_LEVEL, wbits=GZIP)
        return fast
    if compression == "zstd":
        return zstandard.ZstdCompressor(ZSTD_LEVEL, write_checksum=True).compressobj()
    return zlib.compressobj(ZLIB_LEVEL, wbits=GZIP)


def write_layer(entries: Iterable[Entry], path: Path, title: str, compression: Compression = "fast") -> Layer:
    """Write the layer of `entries` to the file `path` (which may be left half-written: give a scratch name).

    Memory stays constant whatever the files' sizes. Raises InputError where a file changed while it was read, and
    for two entries of one name.
    """
    with path.open("wb") as out:
        sink = Sink(out, compressor(compression))
        for entry in ordered(entries):
            write_entry(sink, entry)
        sink.close()
    media_type = oci.LAYER_ZSTD if compression == "zstd" else oci.LAYER_GZIP
    descriptor = oci.Descriptor(media_type, f"sha256:{sink.blob.hexdigest()}", sink.size)
    return Layer(descriptor, f"sha256:{sink.tar.hexdigest()}", path, title)


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Entries by name, parents first; folders that nobody listed are added, owned by root with mode 0755."""
    listed: dict[str, Entry] = {}
    for entry in entries:
        name = clean(entry.name)
        if name in listed:
            raise InputError(f"{name}: is in one layer twice")
        listed[name] = replace(entry, name=name)
    for name in list(listed):
        for parent in list(PurePosixPath(name).parents)[:-1]:
            listed.setdefault(str(parent), Entry(str(parent), mode=0o755))
    return sorted(listed.values(), key=lambda entry: PurePosixPath(entry.name).parts)


def clean(name: str) -> str:
    """`name` relative to the image's root. Raises InputError for one that leads out of it."""
    path = PurePosixPath(name.lstrip("/"))
    if ".." in path.parts or not path.parts:
        raise InputError(f"{name!r}: is no name for a file in an image")
    return str(path)


def write_entry(sink: Sink, entry: Entry) -> None:
    """Header, content and padding of one member."""
    info = tarfile.TarInfo(entry.name)
    info.uid, info.gid, info.mode, info.mtime = entry.uid, entry.gid, entry.mode, 0
    if entry.link is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        sink.header(info)
    elif entry.source is None:
        info.type, info.name = tarfile.DIRTYPE, entry.name + "/"
        sink.header(info)
    elif isinstance(entry.source, bytes):
        info.size = len(entry.source)
        sink.header(info)
        sink.content(entry.source)
        sink.end_content()
    else:
        write_file(sink, info, entry, entry.source)


def write_file(sink: Sink, info: tarfile.TarInfo, entry: Entry, source: Path) -> None:
    """Stream one regular file; it must have the size it had when it was opened, and the sha256 it should have."""
    with source.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{source}: is no regular file")
        info.size = status.st_size
        sink.header(info)
        hasher = SideHash()
        seen = 0
        for chunk in chunks(file):
            seen += len(chunk)
            if seen > info.size:
                break
            if entry.sha256:
                hasher.update(chunk)
            sink.content(chunk)
    if seen != info.size:
        raise InputError(f"{source}: changed while it was read; let nothing write to it and run this again")
    if entry.sha256 and hasher.hexdigest() != entry.sha256:
        raise InputError(f"{source}: is not the file that was proven (its sha256 differs); run the Tasks before again")
    sink.end_content()


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """The file's bytes in pieces of one size, so that the compressor sees the same calls every time."""
    return iter(lambda: file.read(CHUNK), b"")
