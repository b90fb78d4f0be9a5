"""Availability of each model, minute by minute, in files whose size is fixed: a ring of 31 days for each model.

A slot is 8 bytes: the minute since 1970 (uint32), how often we looked in it, how often the model was ready (uint16
each), little-endian. A minute's slot is written in place, so that a crash loses one look at most.
"""

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

SLOTS = 31 * 24 * 60
SLOT = struct.Struct("<IHH")
MOST = 64
"""Models whose rings are kept; the one looked at longest ago goes first. All of them together take 23 MB."""
FULL = 0xFFFF


@dataclass(frozen=True)
class Observed:
    """What was seen in some minutes: how many of them, looks, looks that found it ready, the first of the minutes."""

    minutes: int
    looks: int
    ready: int
    first: int | None


class Rings:
    """The files in a folder. One process writes."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self.folder = folder

    def path(self, name: str) -> Path:
        """A model's file; names may be longer, or stranger, than those of files."""
        return self.folder / f"{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:32]}.ring"

    def add(self, name: str, at: float, *, ready: bool) -> None:
        """Count one look, `at` seconds since 1970. Raises OSError."""
        path, minute = self.path(name), int(at // 60)
        if not path.exists():
            self.make_room()
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            place = minute % SLOTS * SLOT.size
            there = os.pread(handle, SLOT.size, place)
            known, looks, found = SLOT.unpack(there) if len(there) == SLOT.size else (0, 0, 0)
            if known != minute:
                looks, found = 0, 0
            if looks < FULL:
                os.pwrite(handle, SLOT.pack(minute, looks + 1, found + ready), place)
        finally:
            os.close(handle)

    def make_room(self) -> None:
        """Remove rings until there is room for one more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = sorted(self.folder.glob("*.ring"), key=lambda path: path.stat().st_mtime)
        for path in files[: max(0, len(files) - MOST + 1)]:
            path.unlink(missing_ok=True)

    def observed(self, name: str, now: float, minutes: int) -> Observed:
        """What was seen in the last `minutes` minutes, the one that `now` is in included. Raises OSError."""
        try:
            content = self.path(name).read_bytes()[: SLOTS * SLOT.size]
        except FileNotFoundError:
            content = b""
        last = int(now // 60)
        content = content[: len(content) // SLOT.size * SLOT.size]
        inside = [one for one in SLOT.iter_unpack(content) if last - minutes < one[0] <= last and one[1]]
        return Observed(
            minutes=len(inside),
            looks=sum(looks for _, looks, _ in inside),
            ready=sum(min(ready, looks) for _, looks, ready in inside),
            first=min((minute for minute, _, _ in inside), default=None),
        )
