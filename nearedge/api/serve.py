"""Serving an application with uvicorn: on loopback unless there are tokens, with TLS where it is given.

A certificate that is renewed while we serve, as a cluster's are, is taken for the connections that come after.
"""

import ipaddress
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from nearedge.errors import UsageError
from nearedge.progress import say

RENEW_TICKS = 600
"""uvicorn's ticks, of a tenth of a second, between two looks at the certificate's files."""


@dataclass(frozen=True)
class Listening:
    """Where to listen; TLS where both files are given.

    `behind_proxy`: everybody comes by a proxy that adds where they come from.
    """

    host: str
    port: int
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False


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
        Forwarded(app) if listening.behind_proxy else app, proxy_headers=not listening.behind_proxy,
        access_log=False, log_level="warning", server_header=False, lifespan="on", timeout_graceful_shutdown=2,
        ssl_certfile=listening.tls_cert, ssl_keyfile=listening.tls_key,
    )  # fmt: skip
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"--tls-cert, --tls-key: {error}") from error
    with suppress(KeyboardInterrupt):  # uvicorn hands the signal on when everything has ended
        Renewing(config).run(sockets=[listener])


class Forwarded:
    """An application whose callers' addresses are those that the proxy before it saw.

    That is the last one in X-Forwarded-For, to which proxies append; what stands before it anybody may have written.
    """

    def __init__(self, app: ASGIApp) -> None:
        """`app` is what answers."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] == "http":
            said = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            last = said[-1].decode("latin-1").rpartition(",")[2].strip() if said else ""
            with suppress(ValueError):
                scope = {**scope, "client": (str(ipaddress.ip_address(last)), 0)}
        await self.app(scope, receive, send)


class Renewing(uvicorn.Server):
    """Sees when certificate and key are new ones."""

    def __init__(self, config: uvicorn.Config) -> None:
        """`config` is loaded."""
        super().__init__(config)
        self.loaded = self.times()

    def times(self) -> tuple[int, ...]:
        """When the files were written, in nanoseconds; empty without TLS. Raises OSError."""
        files = [self.config.ssl_certfile, self.config.ssl_keyfile]
        return tuple(Path(file).stat().st_mtime_ns for file in files if file)

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second."""
        if self.config.ssl is not None and counter % RENEW_TICKS == 0:
            self.renew(self.config.ssl)
        return await super().on_tick(counter)

    def renew(self, context: ssl.SSLContext) -> None:
        """Take what is new. What cannot be used is said and left: the old one serves until it is over."""
        try:
            times = self.times()
            if times != self.loaded:
                self.loaded = times
                context.load_cert_chain(str(self.config.ssl_certfile), self.config.ssl_keyfile)
                say("a new certificate is used from now on")
        except (OSError, ssl.SSLError) as error:
            say(f"the new certificate or its key cannot be used, the old one stays: {error}")
