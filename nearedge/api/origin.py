"""Pages of other sites may not use this API through a browser: no cross-site requests, no DNS rebinding.

A browser says in Origin and Sec-Fetch-Site where a request comes from; programs say neither and are not concerned.
Where there are no tokens, whoever reaches the port may do all: then the Host has to be a name of this machine, so that
a foreign name that was made to point here gets nothing.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from nearedge.api import problems

SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass
class SameOrigin:
    """An ASGI application that refuses such requests with 403; `loopback` is set where there are no tokens."""

    app: ASGIApp
    loopback: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            fault = self.fault(scope["method"], headers)
            if fault:
                await problems.document(403, fault)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def fault(self, method: str, headers: Mapping[str, str]) -> str:
        """Why the request is refused; empty: it is not."""
        host = headers.get("host", "")
        if self.loopback and not is_this_machine(host):
            return f"Host: {host or 'none'} is no name of this machine; without tokens ask localhost"
        return "" if method in SAFE else foreign(host, headers)


def foreign(host: str, headers: Mapping[str, str]) -> str:
    """Why a request that changes something is refused; empty: it comes from our own page or from no page."""
    site = headers.get("sec-fetch-site", "none")
    if site not in ("none", "same-origin"):
        return f"Sec-Fetch-Site: {site}: only a page of this server may do that"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return f"Origin: {origin}: only a page of this server may do that"
    return ""


def is_this_machine(host: str) -> bool:
    """Whether a Host header, port or not, is localhost or a loopback address."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
