"""A transport that sends what is written to it in as few pieces as it can."""

import asyncio
from typing import Any

JOINED_BYTES = 1 << 16
"""Pieces larger than this are sent by themselves rather than copied."""


class Corked:
    """A transport that gathers what is written in one turn of the event loop and sends it once.

    uvicorn writes headers and body apart: two system calls and two packets, which cost more than a small inference.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """`transport` is the real one; what is not overridden here is its own."""
        self.transport = transport
        self.loop = loop
        self.pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # whatever the real transport has
        """Everything else is the real transport's."""
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Keep `data` until the end of this turn."""
        if not self.pieces:
            self.loop.call_soon(self.flush)
        self.pieces.append(data)
        if len(data) > JOINED_BYTES:
            self.flush()

    def write_now(self, data: bytes) -> None:
        """Send `data`, and before it what was kept."""
        if self.pieces:
            self.pieces.append(data)
            self.flush()
        else:
            self.transport.write(data)

    def flush(self) -> None:
        """Send what was kept."""
        pieces, self.pieces = self.pieces, []
        if not pieces:
            return
        if len(pieces[-1]) > JOINED_BYTES:
            for piece in pieces:
                self.transport.write(piece)
        else:
            self.transport.write(b"".join(pieces))

    def close(self) -> None:
        """Send what was kept, then close."""
        self.flush()
        self.transport.close()
