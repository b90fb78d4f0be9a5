"""Writing a zstd:chunked layer: each file, and each chunk of a large one, in a zstd frame of its own.

Chunks are cut at multiples of CHUNK_SIZE. Weights are changed in place and keep their sizes, so what did not change
stays at its offset and its digest is found again; boundaries chosen by content would only cost time (ADR 0021).
"""

import hashlib
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from nearedge.delivery import digest as digests
from nearedge.delivery import oci
from nearedge.delivery.chunked import form
from nearedge.delivery.chunked.form import Span
from nearedge.delivery.chunked.tar_split import TarSplit
from nearedge.delivery.layers import ZSTD_LEVEL, Entry, Layer, Sink, ordered, write_entry

CHUNK_SIZE = 256 << 10
KINDS = {tarfile.REGTYPE: "reg", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink"}
EPOCH = "1970-01-01T00:00:00Z"


class Frames:
    """A compression object for headers and padding: they wait until content or the end comes, then fill one frame."""

    def __init__(self) -> None:
        """Nothing waits."""
        self.waiting = bytearray()
        self.zstd = zstandard.ZstdCompressor(ZSTD_LEVEL, write_checksum=True)

    def frame(self, data: bytes | bytearray) -> bytes:
        """One frame with its size and checksum, at the pinned level; the same whatever came before it."""
        return self.zstd.compress(data)

    def compress(self, data: bytes, /) -> bytes:
        """Take `data`; nothing is ready yet."""
        self.waiting += data
        return b""

    def flush(self) -> bytes:
        """The frame of all that waits, nothing where nothing does."""
        done = self.frame(self.waiting) if self.waiting else b""
        self.waiting.clear()
        return done


@dataclass
class ChunkedSink(Sink):
    """A sink that cuts content into frames and lists them, entry by entry, in the table of contents."""

    compressor: Frames
    split: TarSplit = field(default_factory=TarSplit)
    lines: list[bytes] = field(default_factory=list)
    chunk: bytearray = field(default_factory=bytearray)
    entry: dict[str, Any] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)
    file: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    done: int = 0

    def write(self, data: bytes) -> None:
        """Take bytes of the tar that are no content."""
        super().write(data)
        self.split.raw(data)

    def header(self, info: tarfile.TarInfo) -> None:
        """Begin a member; one without content is complete with it."""
        super().header(info)
        self.split.cut()
        linked = {"linkName": info.linkname} if info.linkname else {}
        owner = {key: number for key, number in (("uid", info.uid), ("gid", info.gid)) if number}
        self.entry = {"type": KINDS[info.type], "name": info.name, **linked, "mode": info.mode}
        self.entry |= {**({"size": info.size} if info.size else {}), **owner, "modtime": EPOCH}
        self.parts, self.file, self.done = [], hashlib.sha256(), 0
        if info.type != tarfile.REGTYPE:
            self.end_member()

    def content(self, data: bytes) -> None:
        """Take bytes of a file, and write the chunks that are full."""
        self.length += len(data)
        self.tar.update(data)
        self.file.update(data)
        self.split.content(data)
        self.chunk += data
        whole = len(self.chunk) // CHUNK_SIZE * CHUNK_SIZE
        for start in range(0, whole, CHUNK_SIZE):
            self.write_chunk(bytes(self.chunk[start : start + CHUNK_SIZE]))
        del self.chunk[:whole]

    def write_chunk(self, data: bytes) -> None:
        """One frame, and its part of the entry."""
        self.emit(self.compressor.flush())
        start = self.size
        self.emit(self.compressor.frame(data))
        part: dict[str, Any] = {"offset": start, "endOffset": self.size, "chunkSize": len(data)}
        part |= {"chunkOffset": self.done} if self.done else {}
        if self.entry["size"] > CHUNK_SIZE:
            part["chunkDigest"] = digests.of_bytes(data)
        self.done += len(data)
        self.parts.append(part)

    def end_content(self) -> None:
        """End a file: its last chunk, its entries, then its padding."""
        if self.chunk:
            self.write_chunk(bytes(self.chunk))
            self.chunk.clear()
        if self.done:
            self.entry["digest"] = f"sha256:{self.file.hexdigest()}"
        self.end_member()
        super().end_content()

    def end_member(self) -> None:
        """Put the member into the tar-split and the table; chunks after the first are entries of their own."""
        self.split.member(self.entry["name"], self.done)
        if len(self.parts) == 1:
            del self.parts[0]["chunkSize"]
        first, *rest = self.parts or [{}]
        name, whole = self.entry["name"], {"endOffset": self.size} if self.parts else {}
        for line in (self.entry | first | whole, *({"type": "chunk", "name": name} | part for part in rest)):
            self.lines.append(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode())

    def tables(self) -> dict[str, str]:
        """Write the tables and the footer after the tar's end; the annotations for the layer's descriptor."""
        self.split.cut()
        lines = self.split.encoded()
        split = self.compressor.frame(lines)
        named = digests.of_bytes(split)
        text = b'{"version":1,"entries":[' + b",".join(self.lines) + b'],"tarSplitDigest":"' + named.encode() + b'"}'
        table = self.compressor.frame(text)
        table_span = Span(self.size + form.HEAD.size, len(table), len(text))
        split_span = Span(table_span.end + form.HEAD.size, len(split), len(lines))
        self.emit(form.skippable(table) + form.skippable(split) + form.footer(table_span, split_span))
        return form.annotations(table_span, digests.of_bytes(table), split_span, named)


def write_layer(entries: Iterable[Entry], path: Path, title: str) -> Layer:
    """Write the zstd:chunked layer of `entries` to the file `path`, as `layers.write_layer` writes a plain one.

    The same entries give the same bytes. Memory grows with the number of files and chunks (about 0.3 kB each), not
    with their sizes. Raises InputError where a file changed while it was read, and for two entries of one name.
    """
    with path.open("wb") as out:
        sink = ChunkedSink(out, Frames())
        for entry in ordered(entries):
            write_entry(sink, entry)
        sink.close()
        named = sink.tables()
    descriptor = oci.Descriptor(oci.LAYER_ZSTD, f"sha256:{sink.blob.hexdigest()}", sink.size, named)
    return Layer(descriptor, f"sha256:{sink.tar.hexdigest()}", path, title)
