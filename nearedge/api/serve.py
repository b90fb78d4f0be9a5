"""Serving an application with uvicorn: on loopback unless there are tokens, with TLS where it is given."""

import ipaddress
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from nearedge.errors import UsageError


@dataclass(frozen=True)
class Listening:
    """Where to listen; TLS where both files are given."""

    host: str
    port: int
    tls_cert: Path | None = None
    tls_key: Path | None = None


def check(listening: Listening, *, tokens: bool) -> None:
    """Raise UsageError where everybody on the network could do everything, or half of TLS is given."""
    if not tokens and not is_loopback(listening.host):
        raise UsageError(f"--host {listening.host}: give --tokens as well; without tokens only this machine is served")
    if (listening.tls_cert is None) != (listening.tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(listening: Listening) -> socket.socket:
    """A socket that listens there. Raises UsageError where the address is not ours, or taken."""
    if not 0 <= listening.port < 1 << 16:
        raise UsageError(f"--port {listening.port}: is none; give 0 to 65535")
    try:
        family = socket.getaddrinfo(listening.host, listening.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((listening.host, listening.port), family=family)
    except OSError as error:
        where, said = f"{listening.host} port {listening.port}", (error.strerror or "cannot be used").lower()
        raise UsageError(f"{where}: {said}; give another --host or --port") from error
    # Connections inherit it. asyncio sets it only on sockets that were made with a protocol number; without it each
    # answer waits 40 ms for the client's acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address(listening: Listening, listener: socket.socket) -> str:
    """What a person types into a browser."""
    host = f"[{listening.host}]" if ":" in listening.host else listening.host
    return f"{'https' if listening.tls_cert else 'http'}://{host}:{listener.getsockname()[1]}"


def serve(app: ASGIApp, listening: Listening, listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C. Streams that go on are ended after two seconds.

    Raises UsageError where certificate or key cannot be used.
    """
    config = uvicorn.Config(
        app, access_log=False, log_level="warning", server_header=False, lifespan="on", timeout_graceful_shutdown=2,
        ssl_certfile=listening.tls_cert, ssl_keyfile=listening.tls_key,
    )  # fmt: skip
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"--tls-cert, --tls-key: {error}") from error
    with suppress(KeyboardInterrupt):  # uvicorn hands the signal on when everything has ended
        uvicorn.Server(config).run(sockets=[listener])
