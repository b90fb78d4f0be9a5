"""The body of a large request, read from the socket straight into its place.

uvicorn copies a body four times before the application has it, which for a picture of 600 kB costs as much as a tenth
of a small network. Here the kernel writes it where it stays; what the model's input gets is the only copy.
"""

import asyncio
from typing import Any

import numpy as np
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

LARGE_BYTES = 1 << 16
"""Bodies below this come with their head in one read; uvicorn's way is as good for them."""


class LargeBody(asyncio.BufferedProtocol):
    """The connection's protocol while the application waits for the rest of one body of known length.

    What is left of the body in the read that brought the head is kept by `feed`. Memory for all of it is taken when
    the application asks, that is, once it has decided to take a body of that length.
    """

    def __init__(self, connection: Any, cycle: RequestResponseCycle, length: int) -> None:
        """`connection` is the HTTP protocol to which the transport is given back."""
        self.connection = connection
        self.cycle = cycle
        self.length = length
        self.at = 0
        self.pieces: list[bytes] = []
        self.content = memoryview(b"")
        self.keep_alive = cycle.keep_alive
        self.delivered = False

    @property
    def complete(self) -> bool:
        """Whether all of it is here."""
        return self.at == self.length

    def feed(self, piece: bytes) -> None:
        """Bytes that the HTTP parser found behind the head; none of them is read on until the application asks."""
        self.pieces.append(piece)
        self.at += len(piece)
        if not self.complete:
            self.connection.flow.pause_reading()

    async def receive(self) -> dict[str, Any]:
        """The whole body in one ASGI message, a memoryview in place of bytes; then that the client is gone."""
        cycle = self.cycle
        if self.delivered:
            await cycle.message_event.wait()
        elif not cycle.disconnected:
            if cycle.waiting_for_100_continue:
                cycle.waiting_for_100_continue = False
                cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await self.read()
        if cycle.disconnected or self.delivered or not self.complete:
            return {"type": "http.disconnect"}
        self.delivered = True
        content, self.content = self.content, memoryview(b"")
        return {"type": "http.request", "body": content, "more_body": False}

    async def read(self) -> None:
        """Read until the body is complete or the client is gone; an answer before that closes the connection."""
        self.content = np.empty(self.length, np.uint8).data  # without writing zeros first
        start = 0
        for piece in self.pieces:
            self.content[start : start + len(piece)] = piece
            start += len(piece)
        self.pieces = []
        if self.complete:
            return
        self.cycle.keep_alive = False
        self.cycle.message_event.clear()
        self.cycle.transport.set_protocol(self)
        self.connection.flow.resume_reading()
        await self.cycle.message_event.wait()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the next bytes go: never past the end, so that the next request's are left to the parser."""
        return self.content[self.at :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        self.at += nbytes
        if self.complete:
            self.cycle.keep_alive = self.keep_alive
            self.connection.body_complete()
            self.cycle.transport.set_protocol(self.connection)
            self.cycle.message_event.set()

    def eof_received(self) -> None:
        """The client has ended before its body: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take what we send."""
        self.connection.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self.connection.resume_writing()
