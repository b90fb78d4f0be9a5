"""Read a request's body within its limits: size, time, and what all bodies being read may take together."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serving_image.compression import IDENTITY, Decompressor, known_encoding
from serving_image.faults import SlowBodyError, TooLargeError, UnavailableError
from serving_image.large_body import LARGE_BYTES

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]


class DisconnectedError(Exception):
    """The client is gone; there is nobody to answer."""


class Bodies:
    """Reads bodies. `budget` bytes at the most are held for those that are not complete yet."""

    def __init__(self, budget: int, timeout: float) -> None:
        """`timeout` is in seconds, for one whole body."""
        self.budget = budget
        self.timeout = timeout
        self.held = 0
        self.decompressor = Decompressor()

    async def read(self, receive: Receive, headers: Headers, limit: int, hint: str) -> bytes:
        """The body, decompressed, at most `limit` bytes; `hint` says what to do about a larger one.

        Raises TooLargeError, SlowBodyError, WrongEncodingError, DisconnectedError, BadRequestError where it cannot be
        decompressed, and UnavailableError where too much is being read already.
        """
        encoding = headers.get(b"content-encoding", IDENTITY)
        if encoding != IDENTITY:
            encoding = known_encoding(encoding)
        declared = int(headers.get(b"content-length", b"0"))
        if declared > limit:
            raise too_large(declared, limit, hint)
        reserved = declared if declared >= LARGE_BYTES else 0  # these come in one message, held while they are read
        self.hold(reserved)
        try:
            async with asyncio.timeout(self.timeout):
                body = await self.pieces(receive, limit, hint)
        except TimeoutError:
            raise SlowBodyError(f"the body did not arrive within {self.timeout:g} s") from None
        finally:
            self.held -= reserved
        return body if encoding == IDENTITY else await self.decompressor.expand(body, encoding, limit, hint)

    def hold(self, size: int) -> None:
        """Count `size` bytes as held. Raises UnavailableError where that is too much together."""
        if self.held + size > self.budget:
            raise UnavailableError("too many large requests are being read; try again later")
        self.held += size

    async def pieces(self, receive: Receive, limit: int, hint: str) -> bytes:
        """A body, in one piece or in many."""
        pieces: list[bytes] = []
        size = reserved = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise DisconnectedError
                piece: bytes = message.get("body", b"")
                size += len(piece)
                if size > limit:
                    raise too_large(size, limit, hint)
                if not pieces and not message.get("more_body"):
                    return piece
                self.hold(len(piece))
                reserved += len(piece)
                pieces.append(piece)
                if not message.get("more_body"):
                    return b"".join(pieces)
        finally:
            self.held -= reserved


def too_large(size: int, limit: int, hint: str) -> TooLargeError:
    """The fault of a body over the limit."""
    return TooLargeError(f"the body has {size} bytes or more, at most {limit} are read; {hint}")
