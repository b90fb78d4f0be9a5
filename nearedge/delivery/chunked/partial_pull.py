"""What a partial pull of one layer moves, byte by byte as containers/storage does it.

An engine reads the table of contents and the tar-split, copies files whose digest it finds in its layers, then chunks,
and asks for the rest by one request of many ranges. Ranges with little between them are merged, which pulls what lies
between; the answer puts a few lines of text around each range. Source: containers/storage, pkg/chunked/storage_linux.go
(ApplyDiff, mergeMissingChunks), and for the text the multipart/byteranges of Go's net/http.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from nearedge.delivery.chunked.contents import Contents, File

MOST_RANGES = 1024
BOUNDARY, TYPE = 60, "application/octet-stream"


@dataclass(frozen=True)
class Engine:
    """How an engine pulls: whether it reads the tar-split, and the gap in bytes across which it merges ranges."""

    reads_split: bool = True
    merged_gap: int = 1024


CURRENT = Engine()
"""containers/storage 1.57 and later: podman 5.4, CRI-O 1.33."""
PODMAN_4 = Engine(reads_split=False, merged_gap=-1)
"""Podman 4.3, Debian 12's: it knows no tar-split and merges only where ranges would become too many."""


@dataclass
class Range:
    """Bytes of the blob, `end` not included."""

    start: int
    end: int


def needed(new: Contents, have: Iterable[Contents], engine: Engine = CURRENT) -> int:
    """Bytes that a partial pull of `new` moves to an engine that has the layers `have`, partially pulled as well."""
    known = frozenset[str]().union(*(contents.known for contents in have))
    tables = [Range(new.table.start, new.table.end)]
    if engine.reads_split and new.split is not None:
        tables.append(Range(new.split.start, new.split.end))
    missing = merged(ranges(new.files, known), engine.merged_gap)
    return answer(tables, new.blob_size) + answer(missing, new.blob_size)


def ranges(files: Iterable[File], known: frozenset[str]) -> list[Range]:
    """Where the missing chunks lie, in the table's order; those of one file that touch are one range."""
    found: list[Range] = []
    for file in files:
        if file.digest in known:
            continue
        mine = len(found)
        for chunk in file.chunks:
            if chunk.zeros or chunk.digest in known:
                continue
            if len(found) > mine and found[-1].end == chunk.start:
                found[-1].end = chunk.end
            else:
                found.append(Range(chunk.start, chunk.end))
    return found


def merged(wanted: list[Range], gap: int) -> list[Range]:
    """The ranges asked for: merged across gaps of at most `gap`, and the narrowest gaps where they are too many."""
    if not wanted:
        return []
    gaps = [after.start - before.end for before, after in pairwise(wanted)]
    order = sorted(range(len(gaps)), key=gaps.__getitem__)
    closed = {at for place, at in enumerate(order) if gaps[at] <= gap or place <= len(wanted) - MOST_RANGES}
    done = [Range(wanted[0].start, wanted[0].end)]
    for at, part in enumerate(wanted[1:]):
        if at in closed:
            done[-1].end = part.end
        else:
            done.append(Range(part.start, part.end))
    return done


def answer(wanted: list[Range], blob_size: int) -> int:
    """Bytes of a registry's answer to one request of these ranges."""
    content = sum(part.end - part.start for part in wanted)
    if len(wanted) < 2:
        return content
    if content > blob_size:
        return blob_size  # the whole blob: what servers answer where ranges overlap that much
    heads = sum(
        len(f"\r\n--\r\nContent-Range: bytes {part.start}-{part.end - 1}/{blob_size}\r\nContent-Type: {TYPE}\r\n\r\n")
        for part in wanted
    )
    return content + heads - len("\r\n") + len("\r\n----\r\n") + (len(wanted) + 1) * BOUNDARY
