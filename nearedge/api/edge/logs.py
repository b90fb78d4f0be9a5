"""The log that `nearedge serve` writes: its end, and what is added to it. Lines about other models are left out."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anyio

from nearedge.api.edge.documents import LogLine
from nearedge.api.edge.held import seconds
from nearedge.api.streams import ServerEvent
from nearedge.errors import MachineError

LONGEST = 16 << 10
"""Letters of a line; more are cut."""
BACK = 4 << 20
"""Bytes from the end that are looked at."""
PIECE = 1 << 18
"""Bytes that a follower reads at once."""
POLL_S = 0.5


@dataclass(frozen=True)
class Tail:
    """The lines, and whether there are more before them."""

    lines: list[LogLine]
    cut: bool


@dataclass(frozen=True)
class Place:
    """How far a follower has read: which file (its inode), and bytes."""

    file: int
    offset: int

    def __str__(self) -> str:
        """As the follower that comes back says it."""
        return f"{self.file}-{self.offset}"


def place(text: str) -> Place | None:
    """The place that a follower was at, None where it says none of ours."""
    file, _, offset = text.partition("-")
    known = len(text) < 50 and all(part.isascii() and part.isdigit() for part in (file, offset))
    return Place(int(file), int(offset)) if known else None


def opened(path: Path) -> tuple[int, os.stat_result]:
    """The file, open, and what it is. Raises MachineError where there is none that can be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise MachineError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        raise MachineError(f"{path}: is no file")
    return handle, about


def tail(path: Path, name: str, most: int, since: float | None) -> Tail:
    """The last `most` lines about a model or none, from `since` (seconds since 1970) on. Raises MachineError."""
    handle, about = opened(path)
    with os.fdopen(handle, "rb") as file:
        start = max(0, about.st_size - BACK)
        file.seek(start)
        content = file.read(BACK)
    pieces = content.splitlines()
    if start and pieces:
        del pieces[0]
    lines = read(pieces, name, None)
    if since is not None:
        lines = [line for line in lines if (at := seconds(line.time or "")) is not None and at >= since]
    return Tail(lines[-most:], len(lines) > most or (start > 0 and len(lines) <= most))


def read(pieces: list[bytes], name: str, time: str | None) -> list[LogLine]:
    """The lines of a log that are about the model or about none; those without a time have that of the one before."""
    found = []
    for piece in pieces:
        said = piece[: 4 * LONGEST].decode(errors="replace")[:LONGEST]
        try:
            document = json.loads(said) if said.startswith("{") else {}
        except (ValueError, RecursionError):
            document = {}
        time = document["time"] if isinstance(document.get("time"), str) else time
        level = document.get("level")
        if document.get("model", "") in ("", name) and said.strip():
            found.append(LogLine(time=time, level=level if isinstance(level, str) else None, text=said))
    return found


def added(path: Path, at: Place | None) -> tuple[bytes, Place]:
    """The whole lines behind a place, of a new file from its beginning; with None for it nothing, from the end on.

    Raises MachineError.
    """
    handle, about = opened(path)
    with os.fdopen(handle, "rb") as file:
        if at is None:
            return b"", Place(about.st_ino, about.st_size)
        start = at.offset if at.file == about.st_ino and at.offset <= about.st_size else 0
        file.seek(start)
        content = file.read(PIECE)
    end = content.rfind(b"\n") + 1
    if end == 0 and len(content) == PIECE:
        end = PIECE  # a line longer than anybody reads
    return content[:end], Place(about.st_ino, start + end)


async def beginning(path: Path, after: str) -> Place | None:
    """Where to follow from: behind `after`, else the end as it is now; None where the log cannot be read."""
    try:
        return place(after) or (await anyio.to_thread.run_sync(added, path, None))[1]
    except MachineError:
        return None


async def follow(path: Path, name: str, seen: Place | None) -> AsyncIterator[ServerEvent]:
    """An event `line` for each line behind `seen`, `gone` where the log cannot be read any more, and then the end."""
    last = None
    while True:
        try:
            content, at = await anyio.to_thread.run_sync(added, path, seen)
        except MachineError as error:
            yield ServerEvent("gone", {"detail": str(error)})
            return
        seen, read_to = at, at.offset - len(content)
        for piece in content.splitlines(keepends=True):
            read_to += len(piece)
            for line in read([piece.rstrip(b"\r\n")], name, last):
                last = line.time
                yield ServerEvent("line", line.model_dump(mode="json"), str(Place(at.file, read_to)))
        if len(content) < PIECE // 2:
            await asyncio.sleep(POLL_S)
