"""The gRPC port: listens, keeps its connections in sight, and ends without dropping a call."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable

from serving_image.auth import Token
from serving_image.dataplane import DataPlane
from serving_image.grpc.connection import Connection
from serving_image.grpc.service import Calls
from serving_image.grpc.stream import Held
from serving_image.handshake import Handshake, Handshakes

SWEEP_S = 1.0
"""How often connections are looked at for what takes too long."""
DEAF_S = 2.0
"""How long a client without a call has to hear that we end."""


class GrpcServer:
    """Serves gRPC on one listening socket."""

    def __init__(self, dataplane: DataPlane, token: Token, connections: int, tls: ssl.SSLContext | None = None) -> None:
        """At most `connections` clients, by TLS where a context is given; those above are turned away at once."""
        self.calls = Calls(dataplane, token)
        self.held = Held(dataplane.settings.max_body)
        self.timeout = dataplane.settings.timeout
        self.most = connections
        self.connections: set[Connection] = set()
        self.handshakes: Handshakes | None = None
        if tls is not None:
            self.handshakes = Handshakes(tls, connections, lambda: len(self.connections), self.timeout)
        self.server: asyncio.Server | None = None
        self.sweeping: asyncio.Task[None] | None = None

    async def start(self, listener: socket.socket) -> None:
        """Take clients."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self.client, sock=listener, backlog=2048)
        self.sweeping = loop.create_task(self.sweep())

    def client(self) -> asyncio.Protocol:
        """What speaks first with a new client."""
        return self.connection() if self.handshakes is None else Handshake(self.handshakes, self.connection)

    def connection(self) -> asyncio.Protocol:
        """What speaks with it then."""
        if len(self.connections) >= self.most:
            return Full()
        made = Connection(self.calls, self.held, self.timeout, self.connections.discard)
        self.connections.add(made)
        return made

    async def sweep(self) -> None:
        """Look at all connections again and again."""
        while True:
            await asyncio.sleep(min(SWEEP_S, self.timeout / 4))
            now = time.monotonic()
            for connection in list(self.connections):
                connection.sweep(now)

    async def stop(self, timeout: float, forced: Callable[[], bool]) -> None:
        """Take no new clients and calls, answer those there are; leave what is left after `timeout` s, or if `forced`.

        Clients that have no call and do not say that they have heard are waited for for a moment only.
        """
        if self.server is None:
            return
        self.server.close()
        if self.handshakes is not None:
            await self.handshakes.finish(DEAF_S)
        for connection in list(self.connections):
            self.calls.end_long(connection.streams)
            connection.shut()
        begun = time.monotonic()
        while self.connections and not forced() and (waited := time.monotonic() - begun) < timeout:
            await asyncio.sleep(0.02)
            for connection in [one for one in self.connections if waited > DEAF_S and not one.streams]:
                connection.transport.close()
        for connection in list(self.connections):
            connection.transport.abort()
        if self.sweeping is not None:
            self.sweeping.cancel()


class Full(asyncio.Protocol):
    """A client too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close at once."""
        transport.close()
