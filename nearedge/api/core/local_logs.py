"""The lines that a run's steps printed, read as the files grow."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from anyio import to_thread

from nearedge.api.core import run_files
from nearedge.api.core.engine import LogQuery
from nearedge.api.core.models import LogLine
from nearedge.runner.store import RunFolder

POLL_S = 0.3
CHUNK = 1 << 18
"""Bytes read at a time."""
LONGEST = 1 << 16
"""Bytes of a line; what is longer becomes several lines."""


@dataclass
class Place:
    """How far a log was read: bytes, lines, the beginning of a line whose end is not there yet."""

    inode: int = 0
    offset: int = 0
    number: int = 0
    begun: bytes = b""


@dataclass
class Reader:
    """Reads a run's logs from where it stopped the last time."""

    folder: RunFolder
    task: str | None
    step: str | None
    places: dict[Path, Place] = field(default_factory=dict)

    def paths(self) -> list[Path]:
        """The logs that are asked for, in the order in which they were begun."""
        found = []
        for path in (self.folder.path / "logs").glob("*/*.log"):
            label, step = path.parent.name, path.stem
            if self.task not in (None, label, label.partition(".")[0]):
                continue
            if self.step not in (None, step, step.partition(".retry-")[0]):
                continue
            try:
                found.append((self.folder.began(label), path.stat().st_mtime_ns, path))
            except OSError:
                continue  # a retried Task's logs are put away
        return [path for _, _, path in sorted(found)]

    def more(self, whole: bool) -> list[LogLine]:
        """Lines that are new, some of them; none: there are no more for now. `whole`: no end of a line will follow."""
        for path in self.paths():
            lines = self.of_file(path, whole)
            if lines:
                return lines
        return []

    def of_file(self, path: Path, whole: bool) -> list[LogLine]:
        """New lines of one log."""
        place = self.places.setdefault(path, Place())
        try:
            with path.open("rb") as file:
                self.begin(place, path)
                file.seek(place.offset)
                data = file.read(CHUNK)
        except OSError:
            return []
        place.offset += len(data)
        *ended, place.begun = (place.begun + data).split(b"\n")
        if len(place.begun) >= LONGEST or (whole and not data and place.begun):
            ended.append(place.begun)
            place.begun = b""
        pieces = [line[at : at + LONGEST] for line in ended for at in range(0, max(1, len(line)), LONGEST)]
        first = place.number + 1
        place.number += len(pieces)
        text = (piece.decode(errors="replace").removesuffix("\r") for piece in pieces)
        found = [
            LogLine(task=path.parent.name, step=path.stem, number=number, text=line)
            for number, line in enumerate(text, first)
        ]
        return found or (self.of_file(path, whole) if data else [])

    def begin(self, place: Place, path: Path) -> None:
        """Start at the beginning again where the Task was run again: it has a new file."""
        state = path.stat()
        if state.st_ino != place.inode or state.st_size < place.offset:
            place.inode, place.offset, place.number, place.begun = state.st_ino, 0, 0, b""


async def lines(folder: RunFolder, query: LogQuery) -> AsyncIterator[LogLine]:
    """The lines that `query` asks for; with `follow` until the run ends."""
    reader = Reader(folder, query.task, query.step)
    if query.tail is not None:
        for line in await to_thread.run_sync(last, reader, query.tail):
            yield line
    while True:
        alive = query.follow and await to_thread.run_sync(run_files.goes_on, folder)
        while found := await to_thread.run_sync(reader.more, not alive):
            for line in found:
                yield line
        if not alive:
            return
        await asyncio.sleep(POLL_S)


def last(reader: Reader, count: int) -> list[LogLine]:
    """The last `count` lines that are there."""
    kept: deque[LogLine] = deque(maxlen=count)
    while found := reader.more(whole=False):
        kept.extend(found)
    return list(kept)
