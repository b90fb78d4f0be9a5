"""TLS handshakes that are bounded in number and time.

asyncio's own server makes the protocol of a client before the handshake and never tells it where that fails, so
neither can the protocol count its client nor can it be forgotten again.
"""

import asyncio
import ssl
from collections.abc import Callable

Factory = Callable[[], asyncio.Protocol]

HANDSHAKE_S = 10.0
"""Longest time for a handshake."""
POLL_S = 0.02


class Handshakes:
    """The handshakes of one port that are under way."""

    def __init__(self, context: ssl.SSLContext, limit: int, connections: Callable[[], int], seconds: float) -> None:
        """At most `limit` clients, `connections` of them with theirs behind them; each has `seconds` or HANDSHAKE_S."""
        self.context = context
        self.limit = limit
        self.connections = connections
        self.seconds = min(HANDSHAKE_S, seconds)
        self.pending: dict[Handshake, None] = {}

    def begin(self, handshake: "Handshake") -> None:
        """Count one more. Where they are too many the oldest is ended: nothing has been asked on it."""
        if self.pending and len(self.pending) + self.connections() >= self.limit:
            next(iter(self.pending)).abort()
        self.pending[handshake] = None

    async def finish(self, seconds: float) -> None:
        """Wait for those under way, `seconds` at the most, and end what is left."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self.pending and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(POLL_S)
        for handshake in list(self.pending):
            handshake.abort()


class Handshake(asyncio.Protocol):
    """One of them; afterwards the transport is handed to the protocol that `factory` makes, with what came early."""

    def __init__(self, owner: Handshakes, factory: Factory) -> None:
        """Nothing is made before there is a client to speak with."""
        self.owner = owner
        self.factory = factory
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None
        self.early: list[bytes] = []
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; not a byte is read before TLS is there to read it."""
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self.transport = transport
        self.owner.begin(self)
        self.task = asyncio.get_running_loop().create_task(self.shake(transport))

    async def shake(self, transport: asyncio.Transport) -> None:
        """Make the handshake and hand over. Raises nothing: a client that fails is closed and forgotten."""
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, self, self.owner.context, server_side=True, ssl_handshake_timeout=self.owner.seconds
            )
        except OSError:  # TLS errors are; so is a handshake that took too long
            transport.abort()
            return
        finally:
            self.owner.pending.pop(self, None)
        if self.lost or secured is None:
            return
        protocol = self.factory()
        secured.set_protocol(protocol)
        protocol.connection_made(secured)
        if self.early:
            protocol.data_received(b"".join(self.early))

    def abort(self) -> None:
        """End it."""
        self.owner.pending.pop(self, None)
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """The first request came with the end of the handshake."""
        self.early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone at once."""
        del exc
        self.lost = True
