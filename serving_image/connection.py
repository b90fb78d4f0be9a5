"""One HTTP connection: uvicorn's, but an answer leaves in one piece, and a silent client is not kept for ever."""

import asyncio
import resource
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving_image.app import Answer
from serving_image.corked import Corked
from serving_image.large_body import LARGE_BYTES, LargeBody

HEAD_BYTES = 1 << 19
"""Largest head of a request that comes in pieces; well above one read of 256 KiB, which may hold a body as well."""

HEAD_S = 30.0
"""Longest time for a head that comes in pieces; less where a whole request has less."""

TAKEN_BYTES = 1 << 16
"""A client takes so much of an answer within the time of a request, or what is left of it."""

OTHER_FILES = 100
"""Files that are open beside the connections of clients: listeners, models, OpenVINO's own, what a scrape reads."""

Headers = list[tuple[bytes, bytes]]
Unparsed = Callable[[int, str, tuple[str, str], Headers], Answer]
"""`App.unparsed`."""

FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 46\r\n"
    b'retry-after: 1\r\nconnection: close\r\n\r\n{"error":"too many connections; try it again"}'
)


def connection_limit(wanted: int) -> int:
    """How many connections may be open: `wanted`, or fewer where the process may not open as many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft < needed and (hard == resource.RLIM_INFINITY or hard > soft):
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - OTHER_FILES))


class Connection(HttpToolsProtocol):
    """What `uvicorn.Config(http=...)` takes. uvicorn bounds neither size nor time of a head, nor how long it takes a
    client to read an answer, and leaves over its limit all connections open.
    """

    head_bytes = 0
    in_head = False
    head_timer: asyncio.TimerHandle | None = None
    length = 0
    large: LargeBody | None = None
    unread = -1
    write_timer: asyncio.TimerHandle | None = None

    def __init__(
        self, *arguments: Any, unparsed: Unparsed, limit: int = 1 << 30, patience: float = HEAD_S, **named: Any
    ) -> None:  # uvicorn's own arguments
        """At most `limit` connections are open at a time. `patience` is the time of a request in seconds."""
        super().__init__(*arguments, **named)
        self.unparsed = unparsed
        self.limit = limit
        self.patience = patience

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn's own
        """A client has connected; it has as long to say something as an idle connection is kept."""
        super().connection_made(Corked(transport, self.loop))  # type: ignore[arg-type]  # it has all that is used
        if len(self.connections) > self.limit and not self.make_room():
            self.transport.write(FULL)
            self.transport.close()
            return
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def make_room(self) -> bool:
        """Close one connection that waits for its next request; whether there was one."""
        for other in self.connections:
            if isinstance(other, Connection) and other is not self and other.idle():
                other.transport.close()
                return True
        return False

    def idle(self) -> bool:
        """Whether nothing is asked on this connection now. One that has sent part of a head counts as idle, too."""
        return not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete)

    def timeout_keep_alive_handler(self) -> None:
        """The client has asked nothing for long. It may still be reading its answer, and has time while it does."""
        waiting = self.transport.get_write_buffer_size()
        if waiting == 0:
            super().timeout_keep_alive_handler()
        elif 0 <= self.unread <= waiting:
            self.transport.abort()
        else:
            self.unread = waiting
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def data_received(self, data: bytes) -> None:
        """Some bytes have come; a head that is not complete with them is counted and timed."""
        super().data_received(data)
        if not self.in_head or self.transport.is_closing():
            return
        self.head_bytes += len(data)
        if self.head_bytes > HEAD_BYTES:
            self.refuse(400, "the request's head is too large")
        elif self.head_timer is None:
            self.head_timer = self.loop.call_later(min(HEAD_S, self.patience), self.head_timed_out)

    def send_400_response(self, msg: str) -> None:
        """What has come is no HTTP."""
        del msg  # uvicorn's words
        self.refuse(400, "this is no HTTP request")

    def head_timed_out(self) -> None:
        """The head is not complete. Where it waits behind another request, an answer would be taken for that one's."""
        if self.idle():
            self.refuse(408, "the request's head did not come in time")
        else:
            self.transport.close()

    def refuse(self, status: int, reason: str) -> None:
        """Answer what never became a request, and close."""
        in_body = not self.in_head and not self.idle()
        headers = self.headers if self.in_head or in_body else []  # else they are those of the request before
        asked = (self.scope["method"], self.scope["path"]) if in_body else ("", "")
        self.transport.write(self.whole(*self.unparsed(status, reason, asked, headers)))
        self.transport.close()

    def whole(self, status: int, headers: Headers, body: bytes) -> bytes:
        """An answer on the wire. Names and values of headers are ours, or were checked before they got into them."""
        parts = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        return b"".join((*parts, b"\r\n", body))

    def pause_writing(self) -> None:
        """The client does not take what we send as fast as we do; it is timed, whatever else it has asked."""
        super().pause_writing()
        self.unread = self.transport.get_write_buffer_size()
        self.write_timer = self.loop.call_later(self.patience, self.check_taken)

    def resume_writing(self) -> None:
        """It has taken it."""
        self.stop_write_timer()
        super().resume_writing()

    def check_taken(self) -> None:
        """End the connection of a client that has taken next to nothing; look again later at another."""
        waiting = self.transport.get_write_buffer_size()
        if waiting > self.unread - TAKEN_BYTES:
            self.transport.abort()
        else:
            self.unread = waiting
            self.write_timer = self.loop.call_later(self.patience, self.check_taken)

    def stop_write_timer(self) -> None:
        """Nothing waits to be taken."""
        self.unread = -1
        if self.write_timer is not None:
            self.write_timer.cancel()
            self.write_timer = None

    def on_message_begin(self) -> None:
        """A request begins."""
        self.in_head, self.head_bytes, self.length, self.large = True, 0, 0, None
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; the parser refuses a Content-Length that is no number, or beside a chunked body."""
        name = name.lower()
        if name == b"expect":
            super().on_header(name, value)
            return
        if name == b"content-length":
            self.length = int(value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head of a request is here. One that waits behind another (pipelined) is left to uvicorn."""
        self.in_head = False
        self.stop_timer()
        super().on_headers_complete()
        if self.length >= LARGE_BYTES and not self.pipeline:
            self.large = LargeBody(self, self.cycle, self.length)
            self.cycle.receive = self.large.receive  # type: ignore[assignment,method-assign]  # its task starts later

    def on_body(self, body: bytes) -> None:
        """A piece of a body; after the answer nobody wants it."""
        if self.large is None or self.cycle.response_complete:
            super().on_body(body)
        else:
            self.large.feed(body)

    def body_complete(self) -> None:
        """A large body was read past the parser, which still waits for it: the next request gets a new one."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it

    def shutdown(self) -> None:
        """Finish what was begun, then close."""
        if self.large is not None:
            self.large.keep_alive = False
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.stop_timer()
        self.stop_write_timer()
        super().connection_lost(exc)

    def stop_timer(self) -> None:
        """The head need not be waited for any more."""
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None
