"""Who looks at the page: a cookie with an id that says nothing by itself, and in memory whom it stands for."""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field

from fastapi import Request, Response

from nearedge.api.access import Caller

COOKIE, SECURE_COOKIE = "nearedge", "__Host-nearedge"
LONGEST_S = 12 * 3600.0
"""Seconds after which who logged in has to do so again."""
MOST = 1000
"""Sessions at a time; the oldest ends."""


@dataclass(frozen=True)
class Session:
    """Who logged in, with the token that a cluster is asked by; it ends at `until` on the monotonic clock."""

    caller: Caller
    token: str
    until: float


@dataclass(frozen=True)
class Visitor:
    """Who asks for a page: who it is, the token to hand on, and what a form of theirs has to bring back."""

    caller: Caller
    token: str
    form: str

    @property
    def may_manage(self) -> bool:
        """Whether to offer what changes something."""
        return self.caller.role == "manage"


@dataclass
class Sessions:
    """The sessions there are, by the hash of their id, so that memory holds no id that a browser would be believed."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    found: dict[bytes, Session] = field(default_factory=dict)

    def open(self, caller: Caller, token: str) -> str:
        """A new session; its id."""
        self.sweep()
        if len(self.found) >= MOST:
            del self.found[next(iter(self.found))]
        name = secrets.token_urlsafe(32)
        self.found[digest(name)] = Session(caller, token, time.monotonic() + LONGEST_S)
        return name

    def sweep(self) -> None:
        """Forget those that are over, and their tokens; they lie in the order of their ends."""
        now = time.monotonic()
        while self.found and next(iter(self.found.values())).until <= now:
            del self.found[next(iter(self.found))]

    def get(self, name: str) -> Session | None:
        """The session with that id, None where there is none or it is over."""
        self.sweep()
        return self.found.get(digest(name))

    def close(self, name: str) -> None:
        """End it."""
        self.found.pop(digest(name), None)

    def form_token(self, name: str) -> str:
        """What the forms of the browser with that cookie carry; of this process alone."""
        return hmac.new(self.key, name.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, name: str, given: str) -> bool:
        """Whether a form came from a page that this browser was given."""
        return bool(name) and hmac.compare_digest(self.form_token(name).encode(), given.encode())


def digest(name: str) -> bytes:
    """What is kept of an id."""
    return hashlib.sha256(name.encode()).digest()


def cookie_of(request: Request) -> str:
    """The id that the browser brings; empty where it brings none."""
    return request.cookies.get(cookie_name(request), "")


def cookie_name(request: Request) -> str:
    """With TLS a name that no plain page of the same host can set."""
    return SECURE_COOKIE if request.url.scheme == "https" else COOKIE


def give(request: Request, response: Response, name: str) -> None:
    """Let the browser keep the id until it is closed."""
    response.set_cookie(
        cookie_name(request), name, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
