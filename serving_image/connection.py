"""One HTTP connection: uvicorn's, but an answer leaves in one piece, and a silent client is not kept for ever."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

JOINED_BYTES = 1 << 16
"""Pieces larger than this are sent by themselves rather than copied."""

HEAD_BYTES = 1 << 19
"""Largest head of a request that comes in pieces; well above one read of 256 KiB, which may hold a body as well."""

HEAD_S = 30.0
"""Longest time for a head that comes in pieces."""


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


class Connection(HttpToolsProtocol):
    """What `uvicorn.Config(http=...)` takes. uvicorn bounds neither size nor time of a head."""

    head_bytes = 0
    in_head = False
    head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn's own
        """A client has connected; it has as long to say something as an idle connection is kept."""
        super().connection_made(Corked(transport, self.loop))  # type: ignore[arg-type]  # it has all that is used
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """Some bytes have come; a head that is not complete with them is counted and timed."""
        super().data_received(data)
        if not self.in_head or self.transport.is_closing():
            return
        self.head_bytes += len(data)
        if self.head_bytes > HEAD_BYTES:
            self.send_400_response("Request head too large.")
        elif self.head_timer is None:
            self.head_timer = self.loop.call_later(HEAD_S, self.transport.close)

    def on_message_begin(self) -> None:
        """A request begins."""
        self.in_head, self.head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is here."""
        self.in_head = False
        self.stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.stop_timer()
        super().connection_lost(exc)

    def stop_timer(self) -> None:
        """The head need not be waited for any more."""
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None
