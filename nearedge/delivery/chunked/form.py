"""The outer form of zstd:chunked: skippable frames, the footer, the annotations that say where the tables lie.

A layer is a tar in many zstd frames, then three skippable frames: the table of contents, the tar-split, the footer.
Decoders skip those three, so to an engine that knows nothing of it the layer is a plain zstd tar. Source: the format
as containers/storage writes and reads it (pkg/chunked/internal/minimal, man page containers-storage-zstd-chunked).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from nearedge.errors import OutsideError

PREFIX, OLD_PREFIX = "io.github.containers.zstd-chunked.", "io.containers.zstd-chunked."
CHECKSUM, POSITION = PREFIX + "manifest-checksum", PREFIX + "manifest-position"
SPLIT_POSITION, SPLIT_CHECKSUM = PREFIX + "tarsplit-position", PREFIX + "tarsplit-checksum"
OLD_CHECKSUM, OLD_POSITION = OLD_PREFIX + "manifest-checksum", OLD_PREFIX + "manifest-position"
"""What engines up to podman 4.3 look for, and write; they know no tar-split."""
TABLE_KIND = 1
SKIPPABLE = 0x184D2A50
HEAD = struct.Struct("<II")
FOOTER = struct.Struct("<7Q8s")
FOOTER_MAGIC = b"GNUlInUx"
LARGEST_TABLE = 16 << 20
"""Bytes of a table, decompressed: room for some 80 000 files or chunks; engines stop at 150 MiB."""


@dataclass(frozen=True)
class Span:
    """Where a table lies in the blob: `start` and `size` of its compressed bytes; `content` bytes decompressed."""

    start: int
    size: int
    content: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.start + self.size


def skippable(data: bytes) -> bytes:
    """`data` in a frame that decoders skip."""
    return HEAD.pack(SKIPPABLE, len(data)) + data


def footer(table: Span, split: Span) -> bytes:
    """The blob's last frame: where the tables lie, for readers without the annotations."""
    numbers = (table.start, table.size, table.content, TABLE_KIND, split.start, split.size, split.content)
    return skippable(FOOTER.pack(*numbers, FOOTER_MAGIC))


def annotations(table: Span, table_digest: str, split: Span, split_digest: str) -> dict[str, str]:
    """What the layer's descriptor says, to engines of today and, twice, to older ones.

    The tar-split's digest, which the table holds too, is for podman 4.7 to 5.2.
    """
    position = f"{table.start}:{table.size}:{table.content}:{TABLE_KIND}"
    return {
        CHECKSUM: table_digest,
        OLD_CHECKSUM: table_digest,
        POSITION: position,
        OLD_POSITION: position,
        SPLIT_POSITION: f"{split.start}:{split.size}:{split.content}",
        SPLIT_CHECKSUM: split_digest,
    }


def span(texts: Mapping[str, str], key: str, blob_size: int, where: str) -> Span:
    """The span that annotation `key` gives; it lies in the blob. Raises OutsideError where it does not or is none."""
    numbers = texts.get(key, "").split(":")
    expected = 3 if key == SPLIT_POSITION else 4
    if len(numbers) != expected or not all(number.isascii() and number.isdigit() for number in numbers):
        raise OutsideError(f"{where}: annotation {key} gives no position; push the layer again")
    if max(map(len, numbers)) > len(str(1 << 50)) or (expected == 4 and int(numbers[3]) != TABLE_KIND):
        raise OutsideError(f"{where}: annotation {key} names a table of a kind we do not know; push the layer again")
    found = Span(*map(int, numbers[:3]))
    if found.end > blob_size or not 0 < found.size <= LARGEST_TABLE or found.content > LARGEST_TABLE:
        raise OutsideError(
            f"{where}: annotation {key} names {found.size} bytes ({found.content} decompressed) at {found.start}, in a "
            f"blob of {blob_size}; at most {LARGEST_TABLE >> 20} MiB inside the blob are read"
        )
    return found
