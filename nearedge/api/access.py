"""Who may do what: bearer tokens that a file or a cluster judges, or anybody on this machine where neither does.

A tokens file has a line `NAME ROLE TOKEN` for each; `#` begins a comment. Tokens are compared in constant time, and who
guesses is made to wait.
"""

import hmac
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fastapi import Request

from nearedge.api.problems import ProblemError
from nearedge.errors import InputError

Role = Literal["read", "manage"]
ROLES: tuple[Role, ...] = ("read", "manage")
"""From less to more; each may do what those before it may."""
SHORTEST = 16
"""Characters of a token."""
MOST_FAILURES, WITHIN_S = 10, 60.0
"""So many wrong tokens from one address within so many seconds; further ones get 429."""
ADDRESSES = 10_000
"""Addresses that are remembered; the oldest is forgotten."""


@dataclass(frozen=True)
class Caller:
    """Who asks, for the audit log."""

    name: str
    role: Role


LOCAL = Caller("local", "manage")
"""Whoever asks on this machine."""
Judge = Callable[[str], Awaitable[Caller | None]]
"""Whose token it is, None where it is nobody's."""


@dataclass(frozen=True)
class Tokens:
    """A judge by tokens that are known beforehand."""

    known: Mapping[Caller, bytes]

    async def __call__(self, token: str) -> Caller | None:
        """Whose token it is; all are compared, so that the time tells nothing."""
        given = token.encode()
        same = [caller for caller, own in self.known.items() if hmac.compare_digest(own, given)]
        return same[0] if same else None


@dataclass
class Access:
    """Decides about requests. No `judge`: everybody is the local user, who may do all."""

    judge: Judge | None = None
    failures: dict[str, deque[float]] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether nobody is asked for a token."""
        return self.judge is None

    async def caller(self, request: Request) -> Caller:
        """Who sent the request. Raises ProblemError 401, or 429 after too many wrong tokens."""
        if self.judge is None:
            return LOCAL
        found = await self.known(bearer(request), address_of(request))
        if found is None:
            raise ProblemError(401, "it wants a token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        return found

    async def known(self, token: str, address: str) -> Caller | None:
        """Whose token it is, that came from there. Raises ProblemError 429, and what the judge raises."""
        if self.judge is None:
            return LOCAL
        self.refuse_guessing(address)
        found = await self.judge(token) if token else None
        if found is not None:
            self.refuse_guessing(address)  # it may have been sent at once with many wrong ones
        elif token:
            self.failed(address)
        return found

    def refuse_guessing(self, address: str) -> None:
        """Raise ProblemError 429 where the address gave too many wrong tokens lately."""
        recent = self.failures.get(address, deque())
        while recent and recent[0] < time.monotonic() - WITHIN_S:
            recent.popleft()
        if len(recent) >= MOST_FAILURES:
            wait = max(1, round(recent[0] + WITHIN_S - time.monotonic()))
            raise ProblemError(429, f"too many wrong tokens; try again in {wait} s", {"Retry-After": str(wait)})

    def failed(self, address: str) -> None:
        """Remember a wrong token."""
        self.failures.setdefault(address, deque(maxlen=MOST_FAILURES)).append(time.monotonic())
        if len(self.failures) > ADDRESSES:
            del self.failures[next(iter(self.failures))]


def read(path: Path | None) -> Access:
    """The access that a tokens file gives. Raises InputError where it is damaged; no message shows a token."""
    if path is None:
        return Access()
    tokens: dict[Caller, bytes] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        name, role, token = words if len(words) == 3 else ("", "", "")
        if role not in ROLES or len(token) < SHORTEST:
            raise InputError(f"{path}:{number}: write NAME ROLE TOKEN, ROLE read or manage, TOKEN {SHORTEST} or longer")
        tokens[Caller(name, "read" if role == "read" else "manage")] = token.encode()
    if not tokens:
        raise InputError(f"{path}: holds no token; nobody could do anything")
    return Access(Tokens(tokens))


def allowed(caller: Caller, role: Role) -> Caller:
    """`caller`, where the role is enough. Raises ProblemError 403."""
    if ROLES.index(caller.role) < ROLES.index(role):
        raise ProblemError(403, f"{caller.name} may only {caller.role}; this needs the role {role}")
    return caller


def bearer(request: Request) -> str:
    """The caller's token as it came, empty where there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def address_of(request: Request) -> str:
    """Where a request came from."""
    return request.client.host if request.client else ""
