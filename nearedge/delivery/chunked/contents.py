"""What a layer's table of contents says of its files: which chunks they have and where those lie in the blob.

Tables are others' too: podman writes them, and whoever may push. Every number is held against the blob's size.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nearedge.delivery import digest as digests
from nearedge.delivery import oci
from nearedge.delivery.chunked.form import Span
from nearedge.errors import OutsideError

MOST_ENTRIES = 200_000
LARGEST_NUMBER = 1 << 50


@dataclass(frozen=True)
class Chunk:
    """One chunk of a file: its compressed bytes from `start` to `end` of the blob; `digest` is of its content.

    A file of one chunk gives its own digest only, then `digest` is empty. Of zeros nothing is pulled.
    """

    digest: str
    start: int
    end: int
    zeros: bool = False


@dataclass(frozen=True)
class File:
    """One regular file with content; `size` in bytes, `digest` of it all."""

    name: str
    digest: str
    size: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class Contents:
    """A layer's files in its table's order, where table and tar-split lie, and the blob's size."""

    files: tuple[File, ...]
    table: Span
    split: Span | None
    blob_size: int

    @cached_property
    def known(self) -> frozenset[str]:
        """Digests of the files and chunks that an engine finds in this layer once it has it."""
        chunks = (chunk.digest for file in self.files for chunk in file.chunks)
        return frozenset({file.digest for file in self.files} | set(chunks)) - {""}


def parsed(text: bytes, where: str) -> list[dict[str, Any]]:
    """The entries of a table of contents. Raises OutsideError for what is none, or holds more than any layer does."""
    if text.count(b"{") + text.count(b"[") > MOST_ENTRIES:
        raise OutsideError(f"{where}: the table of contents has more than {MOST_ENTRIES} entries; it was not read")
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OutsideError(f"{where}: the table of contents is no JSON; push the layer again") from error
    entries = table.get("entries") if isinstance(table, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise OutsideError(f"{where}: the table of contents lists no entries; push the layer again")
    if table.get("version") != 1:
        raise OutsideError(f"{where}: the table of contents has version {oci.shown(table.get('version'))}; we read 1")
    return entries


def files_of(entries: Sequence[dict[str, Any]], end: int, where: str) -> tuple[File, ...]:
    """The files with content; `end` is where the table begins, before which all chunks lie.

    Entries of type `chunk` belong to the file before them. A chunk ends where the next of its file begins; the last
    one where its entry says, else where the next file's content begins, as engines have it.
    """
    groups: list[list[dict[str, Any]]] = []
    for entry in entries:
        if entry.get("type") != "chunk":
            groups.append([entry])
        elif groups and groups[-1][0].get("type") == "reg":
            groups[-1].append(entry)
        else:
            raise OutsideError(f"{where}: the table of contents has a chunk that belongs to no file")
    files: list[File] = []
    following = end
    for group in reversed(groups):
        last = number(group[-1], "endOffset", where) or following
        following = number(group[0], "offset", where) or following
        if group[0].get("type") == "reg" and number(group[0], "size", where):
            files.append(file_of(group, last, end, where))
    return tuple(reversed(files))


def file_of(group: Sequence[dict[str, Any]], last: int, end: int, where: str) -> File:
    """The file of its entries; its last chunk ends at `last`."""
    name = str(group[0].get("name"))
    starts = [number(entry, "offset", where) for entry in group]
    bounds = [*starts, last]
    if bounds != sorted(bounds) or last > end:
        raise OutsideError(f"{where}: {oci.shown(name)} lies outside of the layer; push the layer again")
    chunks = tuple(
        Chunk(digest_of(entry, "chunkDigest", where), start, bounds[place + 1], entry.get("chunkType") == "zeros")
        for place, (entry, start) in enumerate(zip(group, starts, strict=True))
    )
    return File(name, digest_of(group[0], "digest", where), number(group[0], "size", where), chunks)


def number(entry: dict[str, Any], key: str, where: str) -> int:
    """A count in an entry, 0 where it is left out. Raises OutsideError for what is none."""
    value = entry.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST_NUMBER:
        raise OutsideError(f"{where}: {key} of {oci.shown(entry.get('name'))} is no size; push the layer again")
    return value


def digest_of(entry: dict[str, Any], key: str, where: str) -> str:
    """A digest in an entry, empty where it is left out."""
    value = entry.get(key, "")
    return digests.require(value, f"{where}: {key} of {oci.shown(entry.get('name'))}") if value else ""
