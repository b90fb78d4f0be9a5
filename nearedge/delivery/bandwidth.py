"""A limit on how fast bytes go over a link that others need too."""

import time
from collections.abc import Iterable, Iterator

PIECE = 1 << 16
"""Bytes that go at once; what a limit is even to."""


class Bandwidth:
    """One direction of one link. Many transfers, one after the other, share it."""

    def __init__(self, mbit_s: float = 0.0) -> None:
        """`mbit_s` in 10^6 bits a second; 0 for no limit."""
        self.bytes_s = mbit_s * 1e6 / 8
        self.free_at = 0.0

    def take(self, size: int) -> None:
        """Wait until `size` more bytes may have passed."""
        if not self.bytes_s:
            return
        now = time.monotonic()
        self.free_at = max(self.free_at, now) + size / self.bytes_s
        time.sleep(self.free_at - now)

    def paced(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the bytes of `chunks` no faster than the limit, in small pieces where there is one."""
        if not self.bytes_s:
            yield from chunks
            return
        for chunk in chunks:
            for start in range(0, len(chunk), PIECE):
                piece = chunk[start : start + PIECE]
                self.take(len(piece))
                yield piece
