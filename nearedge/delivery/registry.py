"""A registry's HTTP API: one conversation with one host (OCI distribution specification 1.1).

Credentials go to the registry itself and to the token server it names, never to another host that it redirects to.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from urllib.parse import urljoin, urlsplit

import requests

from nearedge.delivery import transport
from nearedge.delivery.access import Access
from nearedge.delivery.authentication import Authenticator
from nearedge.errors import OutsideError

Body = Callable[[], Iterator[bytes]]
"""Begins a request's body anew each time it is called, so that a request can be sent again."""

DOCKER_HUB = "registry-1.docker.io"
ANSWER_LIMIT = 1 << 16
PASSING_REASONS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
ADVICE = {
    401: "it wants a login; give dockerconfig (config.json) with an entry for it",
    403: "the login may not do that; check its rights and the name",
    404: "it has no such repository or image; check the name and the tag",
    405: "it does not allow that; is it a read-only mirror?",
    407: transport.PROXY_LOGIN,
    413: "it refuses a blob of that size; raise its limit (a proxy before it may have one, too)",
    429: "too many requests; try again later",
}


class PassingFaultError(OutsideError):
    """A failure that may be gone later: the network, or a registry that is overloaded or restarts."""

    wait_s = 0.0
    """Seconds that the registry asked us to wait (Retry-After), 0 where it did not."""


class Sized:
    """A body whose length is known, sent piece by piece."""

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        """`size` in bytes; `pieces` must come to it."""
        self.pieces, self.size = pieces, size

    def __iter__(self) -> Iterator[bytes]:
        """The pieces, once. Raises OutsideError where they are not `size` bytes: the other end would wait for ever."""
        left = self.size
        for piece in self.pieces:
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            raise OutsideError(f"what is sent has not the {self.size} bytes it should have; let nothing change it")

    def __len__(self) -> int:
        """The size, which `requests` makes the Content-Length of."""
        return self.size


class Registry:
    """One registry. Every method raises OutsideError, one line, where it cannot be reached or refuses."""

    def __init__(self, host: str, access: Access) -> None:
        """`host` as a reference has it; nothing is asked yet."""
        self.host, self.access = host, access
        self.takes_chunks = True  # until it refuses one
        self.pace: Callable[[Iterator[bytes]], Iterator[bytes]] = iter  # what bodies go through on their way out
        self.session = transport.new_session(host, access.ca_bundle)
        self.authenticator = Authenticator(self.session, host, access.dockerconfig)

    @cached_property
    def base(self) -> str:
        """Scheme and host. A loopback registry may speak either, so it is asked once, without credentials."""
        if self.host == "docker.io":
            return f"https://{DOCKER_HUB}"
        if self.access.plain_http or (transport.is_loopback(self.host) and self.speaks_plain_http()):
            return f"http://{self.host}"
        return f"https://{self.host}"

    def speaks_plain_http(self) -> bool:
        """Whether the registry's API answers on plain http; a TLS server says 400 to that or hangs up."""
        try:
            once = transport.new_session(self.host, None, retries=0, tls=False)
            with once, once.get(f"http://{self.host}/v2/", allow_redirects=False, stream=True) as response:
                return response.status_code in (200, 401)
        except requests.RequestException:
            return False

    def request(
        self,
        method: str,
        address: str,
        scope: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        size: int = 0,
    ) -> requests.Response:
        """Send one request, log in where the answer asks for it, and return the answer, unread.

        `address` is a path or what an earlier answer gave as Location. Raises requests' exceptions too: those that
        send bodies judge which of them are worth another attempt.
        """
        url = self.absolute(address)
        ours = transport.origin(url) == transport.origin(self.base)
        for last in (False, True):
            login = self.authenticator.header(scope) if ours else ""
            response = self.session.request(
                method,
                url,
                headers={**(headers or {}), **({"Authorization": login} if login else {})},
                data=Sized(self.pace(body()), size) if body else None,
                stream=True,
                allow_redirects=method in ("GET", "HEAD"),
            )
            if response.status_code != 401 or last or not ours:
                return response
            transport.finish(response)
            asked = response.headers.get("WWW-Authenticate", "")
            if not self.authenticator.answer(asked, scope, self.base):
                return response
        raise AssertionError("the loop returns")

    def absolute(self, address: str) -> str:
        """The full address; one on this host keeps our scheme, since proxies that end TLS hide it from a registry."""
        url = urljoin(self.base, address)
        parts, base = urlsplit(url), urlsplit(self.base)
        if parts.netloc == base.netloc and parts.scheme == "http":
            return parts._replace(scheme=base.scheme).geturl()
        return url

    def ask(self, method: str, address: str, scope: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        """As `request` without a body; every failure on the way is an OutsideError."""
        try:
            return self.request(method, address, scope, headers)
        except requests.RequestException as error:
            raise self.unreachable(error) from error

    def content(self, response: requests.Response, limit: int) -> bytes | None:
        """The answer's body, None where it is larger than `limit` bytes. OutsideError where the connection breaks."""
        with response:
            try:
                return transport.body_of(response, limit)
            except requests.RequestException as error:
                raise self.unreachable(error) from error

    def unreachable(self, error: requests.RequestException) -> OutsideError:
        """The error for a failure on the way; a PassingFaultError unless the certificate or the address is at fault."""
        passing = isinstance(error, PASSING_REASONS) and not isinstance(error, requests.exceptions.SSLError)
        kind = PassingFaultError if passing else OutsideError
        return kind(f"{self.host}: {transport.reason(error)}; check the registry and the network, then retry")

    def refused(self, response: requests.Response, what: str) -> OutsideError:
        """The error for an answer that is no success; `what` was asked for. PassingFaultError: it may be one later."""
        with response:
            status = response.status_code
            said = code_of(response)
        advice = ADVICE.get(status, "try again later" if status >= 500 else "check the reference")
        text = f"{self.host}: {what}: status {status}{said}; {advice}"
        if status not in transport.PASSING:
            return OutsideError(text)
        fault = PassingFaultError(text)
        fault.wait_s = transport.asked_wait_s(response.headers.get("Retry-After", ""))
        return fault


def code_of(response: requests.Response) -> str:
    """The error code of the registry's JSON answer, in brackets; empty where there is none."""
    try:
        body = transport.body_of(response, ANSWER_LIMIT)
        code = json.loads(body or b"")["errors"][0]["code"]
    except (ValueError, LookupError, TypeError, requests.RequestException):
        return ""
    return f" ({code[:40]})" if isinstance(code, str) and code.isprintable() else ""
