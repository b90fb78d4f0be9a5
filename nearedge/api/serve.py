"""Serving an application with uvicorn: on loopback unless there are tokens, with TLS where it is given."""

import ipaddress
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


def serve(app: ASGIApp, listening: Listening) -> None:
    """Serve until SIGTERM or Ctrl-C. Streams that go on are ended after two seconds."""
    uvicorn.run(
        app, host=listening.host, port=listening.port, access_log=False, log_level="warning", server_header=False,
        ssl_certfile=listening.tls_cert, ssl_keyfile=listening.tls_key, timeout_graceful_shutdown=2, lifespan="on",
    )  # fmt: skip
