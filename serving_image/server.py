"""uvicorn around the application: the listening socket, and an end that drops nobody."""

import asyncio
import logging
import signal
import socket
import ssl
import sys
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from serving_image.app import App
from serving_image.at_once import AtOnce
from serving_image.auth import Token
from serving_image.connection import connection_limit
from serving_image.dataplane import DataPlane
from serving_image.direct import DirectConnection
from serving_image.faults import ListenError, StartError, one_line
from serving_image.grpc.server import GrpcServer
from serving_image.handshake import Handshake, Handshakes
from serving_image.logs import event
from serving_image.settings import Settings

KEEP_ALIVE_S = 75
"""Longer than the usual proxy keeps an idle connection, so that it is not we who close one it is about to use."""

LAST_HANDSHAKES_S = 1.0
"""How long handshakes that are under way at the end may take."""

SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep Python's lock from one that waits. 5 ms, the default, would be added to an inference."""


class Server(uvicorn.Server):
    """On SIGTERM: not ready at once, answer for the drain period, finish what was begun. On SIGINT: no drain period."""

    def __init__(self, dataplane: DataPlane) -> None:
        """The application is made here; loading is started by `run_on`. Raises StartError."""
        settings = dataplane.settings
        limit = connection_limit(settings.max_connections)
        app = App(dataplane, token(settings.token_file))
        http = partial(DirectConnection, limit=limit, patience=settings.timeout, at_once=AtOnce(app))
        super().__init__(
            uvicorn.Config(
                app,
                http=http,  # type: ignore[arg-type]  # a class that is called
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
                loop="asyncio",
                ws="none",
                lifespan="off",
                interface="asgi3",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(settings.timeout) + 1,
            )
        )
        try:
            self.config.load()
        except OSError as error:  # that of ssl is one
            raise StartError(
                f"--tls-cert {settings.tls_cert} and --tls-key {settings.tls_key} cannot be used: {one_line(error)}"
            ) from None
        self.dataplane = dataplane
        self.drain_until: float | None = None
        self.handshakes: Handshakes | None = None
        if self.config.ssl is not None:
            self.shake_hands(self.config.ssl, limit)
        self.grpc = GrpcServer(dataplane, token(settings.token_file), limit, tls(settings))

    def shake_hands(self, context: ssl.SSLContext, limit: int) -> None:
        """Have handshakes made by us and not by asyncio."""
        connections, make = self.server_state.connections, self.config.http_protocol_class
        shaking = Handshakes(context, limit, lambda: len(connections), self.dataplane.settings.timeout)

        def begin(**named: Any) -> asyncio.Protocol:  # uvicorn's own arguments
            return Handshake(shaking, partial(make, **named))

        self.handshakes = shaking
        self.config.ssl = None
        self.config.http_protocol_class = begin  # type: ignore[assignment]  # a class that is called

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """A signal has arrived; the second one ends the drain period, the third what is in flight."""
        self.dataplane.draining = True
        if self.should_exit:
            self.force_exit = True
        elif sig == signal.SIGINT or self.drain_until is not None:
            self.should_exit = True
        else:
            self.drain_until = time.monotonic() + self.dataplane.settings.drain

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end now."""
        if self.drain_until is not None and time.monotonic() >= self.drain_until:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was begun, by either protocol."""
        longest = self.dataplane.settings.timeout + 1
        if self.handshakes is not None:  # whoever connected in time is a connection to be finished
            for server in self.servers:
                server.close()
            await self.handshakes.finish(LAST_HANDSHAKES_S)
        await asyncio.gather(super().shutdown(sockets), self.grpc.stop(longest, lambda: self.force_exit))

    async def run_on(self, listener: socket.socket, grpc_listener: socket.socket | None = None) -> None:
        """Serve on the listeners until a signal ends it; models are loaded meanwhile."""
        loading = asyncio.create_task(self.dataplane.load())
        try:
            if grpc_listener is not None:
                await self.grpc.start(grpc_listener)
            await self.serve(sockets=[listener])
        finally:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)


def token(path: Path | None) -> Token:
    """The token that clients must send. Raises StartError."""
    try:
        return Token(path)
    except (OSError, ValueError) as error:
        raise StartError(f"--token-file cannot be used: {one_line(error)}") from None


def tls(settings: Settings) -> ssl.SSLContext | None:
    """TLS for gRPC, with the certificate that REST has: clients demand that HTTP/2 is agreed on. None without one."""
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    context.set_alpn_protocols(["h2"])
    return context


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """A listening socket. Raises ListenError where the address is taken or not ours."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.create_server(address[:2], family=family, backlog=2048, dualstack_ipv6=host == "::")
    except OSError as error:
        reason = error.strerror or error
        raise ListenError(f"cannot listen on {host} port {port}: {reason}; set --host and {option}") from None
    # Connections inherit it. asyncio sets it itself only on sockets that name their protocol, which these do not;
    # without it each kept-alive answer waits 40 ms for the client's delayed acknowledgement.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def serve(dataplane: DataPlane) -> bool:
    """Serve until a signal ends it; whether all threads ended. Raises StartError."""
    settings = dataplane.settings
    listener, grpc_listener, grpc_port = listen(settings.host, settings.port), None, None
    if settings.grpc_port is not None:
        grpc_listener = listen(settings.host, settings.grpc_port, "--grpc-port")
        grpc_port = grpc_listener.getsockname()[1]
    host, port = listener.getsockname()[:2]
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    server = Server(dataplane)
    for sig in (signal.SIGTERM, signal.SIGINT):  # uvicorn would do so a moment later, and undo it a moment too early
        signal.signal(sig, server.handle_exit)
    models = len(dataplane.repository.entries())
    event(logging.INFO, "listening", host=host, port=port, grpc_port=grpc_port, models=models)
    asyncio.run(server.run_on(listener, grpc_listener))
    event(logging.INFO, "ended")
    return dataplane.close()
