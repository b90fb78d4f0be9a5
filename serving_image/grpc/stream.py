"""One call: its messages out of the DATA that comes in, and what of its answer is still to be sent."""

import asyncio
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from serving_image.grpc import status
from serving_image.grpc.headers import Head
from serving_image.grpc.status import StatusError

if TYPE_CHECKING:
    from serving_image.grpc.receiving import Receiving

PREFIX = 5
"""Bytes before a message: whether it is compressed, and its length (gRPC's PROTOCOL-HTTP2, Length-Prefixed-Message)."""
MAX_WAITING = 64
"""Messages of one call that may wait to be answered, where a call has many."""


class Service(Protocol):
    """What calls mean."""

    def begin(self, stream: "Stream") -> None:
        """Headers have come. Raises StatusError."""

    def came(self, stream: "Stream") -> None:
        """DATA has come, or the client has said that no more will. Raises StatusError."""

    def failed(self, stream: "Stream", error: StatusError) -> None:
        """The call ends for what it was or sent."""

    def lost(self, stream: "Stream") -> None:
        """The client has given up."""


class Held:
    """Bytes of messages that are not complete yet, of all connections: twice the largest one at the most."""

    def __init__(self, limit: int) -> None:
        """`limit` is the largest message."""
        self.limit = limit
        self.budget = 2 * limit
        self.bytes = 0


class Stream:
    """A call. `messages` have come and were not read, each with whether it is compressed; `out` is to be sent."""

    __slots__ = (
        "body", "closed", "compressed", "connection", "head", "held", "id", "messages", "out", "prefix",
        "read", "remote_done", "request_id", "sent_head", "since", "size", "start", "task", "titles", "trailers",
        "waiter", "window_in", "window_out",
    )  # fmt: skip

    def __init__(self, connection: "Receiving", identifier: int, head: Head, held: Held) -> None:
        """A call that has just begun."""
        self.connection = connection
        self.id = identifier
        self.head = head
        self.held = held
        self.start = time.perf_counter()
        self.request_id = head.request_id or os.urandom(8).hex()
        self.titles = ("", "")
        self.task: asyncio.Task[None] | None = None
        self.messages: deque[tuple[memoryview, bool]] = deque()
        self.waiter: asyncio.Future[None] | None = None
        self.prefix = b""
        self.body: bytearray | None = None
        self.read = self.size = 0
        self.compressed = self.remote_done = self.sent_head = self.closed = False
        self.out = memoryview(b"")
        self.trailers: bytes | None = None
        self.since = 0.0
        self.window_in = connection.own_window
        self.window_out = connection.peer_window

    def feed(self, piece: memoryview) -> None:
        """Take in DATA. Raises StatusError."""
        while piece:
            if self.body is None:
                piece = self.open(piece)
                if self.body is None:
                    continue
            count = min(len(piece), self.size - self.read)
            self.hold(count)
            self.body[self.read : self.read + count] = piece[:count]
            self.read += count
            piece = piece[count:]
            if self.read == self.size:
                self.complete(memoryview(self.body))

    def open(self, piece: memoryview) -> memoryview:
        """Begin a message at the start of `piece`, whole where it is all there; what is left. Raises StatusError."""
        if self.prefix or len(piece) < PREFIX:
            needed = PREFIX - len(self.prefix)
            self.prefix += piece[:needed]
            piece = piece[needed:]
            if len(self.prefix) < PREFIX:
                return piece
            head, self.prefix = self.prefix, b""
        else:
            head, piece = bytes(piece[:PREFIX]), piece[PREFIX:]
        if head[0] > 1:
            raise StatusError(status.INTERNAL, "a message begins with a byte other than 0 and 1")
        self.compressed = head[0] == 1
        self.size = int.from_bytes(head[1:], "big")
        if self.size > self.held.limit:
            raise StatusError(
                status.RESOURCE_EXHAUSTED,
                f"the message has {self.size} bytes, at most {self.held.limit} are read; "
                "send less at once, or raise --max-body-mib",
            )
        if len(piece) >= self.size:
            self.complete(piece[: self.size])
            return piece[self.size :]
        self.body, self.read = bytearray(self.size), 0
        return piece

    def hold(self, count: int) -> None:
        """Count bytes of a message that is not complete. Raises StatusError where all connections hold too many."""
        if self.held.bytes + count > self.held.budget:
            raise StatusError(status.UNAVAILABLE, "too many large messages are being read; try again later", 1000)
        self.held.bytes += count

    def let_go(self) -> None:
        """No longer count what was held."""
        if self.body is not None:
            self.held.bytes -= self.read
            self.body = None

    def complete(self, message: memoryview) -> None:
        """A message is here. Raises StatusError where too many wait."""
        self.let_go()
        if len(self.messages) >= MAX_WAITING:
            raise StatusError(status.RESOURCE_EXHAUSTED, f"{MAX_WAITING} messages of this call wait already")
        self.messages.append((message, self.compressed))

    def wake(self) -> None:
        """Tell who waits for a message that something has come."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def wait(self) -> bool:
        """Whether there is a message, once there is one or the client has said that no more will come."""
        while not self.messages and not self.remote_done:
            self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
        return bool(self.messages)

    def close(self) -> None:
        """The call is over, whoever ended it."""
        self.closed = True
        self.out = memoryview(b"")
        self.let_go()
        self.messages.clear()
        if self.task is not None:
            self.task.cancel()
