"""HTTP for registries: time-outs on every call, retries with backoff, private CAs, proxies from the environment.

Messages built here name hosts and reasons, never headers, queries or credentials.
"""

import contextlib
import ipaddress
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, ProxyManager
from urllib3.connectionpool import ConnectionPool
from urllib3.util import Retry

from nearedge.errors import InputError

CONNECT_S, READ_S = 10.0, 60.0
"""Seconds to connect, and between two pieces of an answer."""
REPEATED = ("GET", "HEAD")
NO_TRUST = ssl.SSLCertVerificationError
PASSING = (408, 425, 429, 500, 502, 503, 504)
CA_FILE = "ca-bundle.crt"
NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""OpenSSL's words, by version, for an answer in plain http."""
PROXY_LOGIN = "the proxy wants another user and password in its address"
SHORT = 1 << 16
LONGEST_ASKED_S, LONGEST_RETRY_S = 3600.0, 30.0
"""What a Retry-After may ask for at most; and between two attempts at one GET, which nobody can see waiting."""


class Retries(Retry):
    """Retries that wait as long as the registry asks, within reason; a header that says nothing is not heard.

    What has a body is never sent twice from here, since the body is used up, and a certificate that is not trusted
    once is not asked for again. urllib3 would do both: it counts what breaks behind a proxy as no reading error.
    """

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """One attempt less. Raises `error` where another one makes no sense."""
        if error is not None and (method not in REPEATED or any(isinstance(c, NO_TRUST) for c in causes(error))):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds to wait. urllib3's own raises for a header that is neither a number nor a date."""
        return min(asked_wait_s(retry_after), LONGEST_RETRY_S)


class NoNetrc(requests.auth.AuthBase):
    """Keeps `requests` from putting ~/.netrc's credentials in the place of ours."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Change nothing."""
        return request


class Adapter(HTTPAdapter):
    """Adds a default time-out and the trusted CAs to every call."""

    def __init__(self, trust: ssl.SSLContext | None, retries: Retry) -> None:
        """`trust` (None: only plain http is spoken) is handed to every pool of connections, through proxies as well."""
        self.trust = trust
        super().__init__(max_retries=retries)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: object) -> None:
        """Pools for direct connections."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self.trust, **options)

    def proxy_manager_for(self, proxy: str, **options: object) -> ProxyManager:
        """Pools for connections through a proxy."""
        manager: ProxyManager = super().proxy_manager_for(proxy, ssl_context=self.trust, **options)
        return manager

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: object = None,
        verify: bool | str = True,
        cert: object = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send with our time-outs; the other arguments are those of `requests`."""
        limits = timeout or (CONNECT_S, READ_S)
        # The stubs keep the types of time-out and certificate to themselves.
        return super().send(request, stream, limits, verify, cert, proxies)  # type: ignore[arg-type]


def new_session(host: str, ca_bundle: Path | None, retries: int | None = None, *, tls: bool = True) -> requests.Session:
    """A session to talk to `host` with. GET and HEAD are tried again after passing faults; Retry-After is obeyed.

    Loopback hosts are never asked through a proxy, and a refusal of theirs is believed sooner. Without `tls`, for
    plain http only, no certificates are loaded. Raises InputError where the CA bundle cannot be read.
    """
    times = retries if retries is not None else 2 if is_loopback(host) else 5
    retry = Retries(
        total=times, redirect=5, backoff_factor=0.4, backoff_jitter=0.2, status_forcelist=PASSING,
        allowed_methods=REPEATED, raise_on_status=False, respect_retry_after_header=True,
    )  # fmt: skip
    session = requests.Session()
    adapter = Adapter(trusted(ca_bundle) if tls else None, retry)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.auth = NoNetrc()
    session.headers.update({"User-Agent": "nearedge", "Accept-Encoding": "identity"})
    session.trust_env = not is_loopback(host)
    return session


def trusted(ca_bundle: Path | None) -> ssl.SSLContext:
    """The CAs that this machine trusts (SSL_CERT_FILE and the like are heard) and those of the bundle."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    if ca_bundle is not None:
        path = ca_bundle / CA_FILE if ca_bundle.is_dir() else ca_bundle
        try:
            context.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"{path}: cannot be read as CA certificates in PEM; check the ca-bundle") from error
    return context


def asked_wait_s(text: str) -> float:
    """Seconds that a Retry-After header asks for (a number or an HTTP date, RFC 9110, 10.2.3), 0 for nonsense."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_ASKED_S)
    try:
        wait_s = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), LONGEST_ASKED_S)


def is_loopback(host: str) -> bool:
    """Whether `host` (with or without a port) is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def reason(error: BaseException) -> str:
    """A few words for what went wrong on the way; the text of the exceptions may hold addresses with credentials."""
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached or refuses"
    if any(isinstance(cause, ssl.SSLError) and cause.reason in NO_TLS for cause in causes(error)):
        return "it speaks no TLS; if it is a registry that speaks plain http, set plain-http to true"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; give its CA in ca-bundle"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {CONNECT_S:.0f} s"
    if isinstance(error, requests.exceptions.ReadTimeout):
        return f"no answer within {READ_S:.0f} s"
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
            return cause.strerror[:80].lower()
        if type(cause).__name__ == "NameResolutionError":
            return "its name is not known"
    return "the connection broke off"


def causes(error: BaseException | None) -> list[BaseException]:
    """`error` and what led to it, as urllib3 nests it in arguments and in `reason`."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue and len(found) < 20:
        current = queue.pop(0)
        if not isinstance(current, BaseException) or current in found:  # the reason of an ssl.SSLError is a text
            continue
        found.append(current)
        queue += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
    return found


def body_of(response: requests.Response, limit: int) -> bytes | None:
    """The answer's body, None where it is larger than `limit` bytes."""
    content = bytearray()
    for chunk in response.iter_content(1 << 16):
        content += chunk
        if len(content) > limit:
            return None
    return bytes(content)


def finish(response: requests.Response) -> None:
    """Be done with an answer whose body does not matter; a short one is read, so that the connection stays of use."""
    with response, contextlib.suppress(requests.RequestException):
        body_of(response, SHORT)


def origin(url: str) -> tuple[str, str]:
    """Host and port of an address, lower case, so that credentials go nowhere else."""
    parts = urlsplit(url)
    return (parts.hostname or "").lower(), str(parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0))
