"""What an API says of itself: a request id, a line of JSON for each request, and metrics in Prometheus' text format."""

import json
import re
import secrets
import sys
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nearedge.api.problems import ProblemError
from nearedge.errors import NearedgeError

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the histogram in seconds."""
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""Others are counted as one: whoever asks must not be able to make us remember more and more."""
QUIET = ("/healthz", "/readyz", "/metrics")
"""Paths that nobody wants to read of every ten seconds."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECURE = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
]


JUDGED_S = 30.0
"""Seconds after which who follows a stream is judged anew: tokens and rights may be taken back meanwhile."""
REFUSED = (401, 403)


class OverError(Exception):
    """A stream was ended, since its caller may no longer have it."""


@dataclass
class Observed:
    """An ASGI application that is watched; `name` begins the metrics' names."""

    app: ASGIApp
    name: str
    log: TextIO = field(default_factory=lambda: sys.stderr)
    counts: dict[tuple[str, str, int], int] = field(default_factory=dict)
    times: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500
        asked = dict(scope["headers"]).get(b"x-request-id", b"")
        own = asked if REQUEST_ID.fullmatch(asked) else secrets.token_hex(8).encode()
        scope.setdefault("state", {})["request_id"] = own

        judged = time.monotonic()

        async def sending(message: Message) -> None:
            nonlocal status, judged
            if message["type"] == "http.response.body" and time.monotonic() - judged > JUDGED_S:
                judged = time.monotonic()
                if not await still_may(scope):
                    await send({"type": "http.response.body", "body": b""})
                    raise OverError
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name.lower() for name, _ in message["headers"]}
                more = [(name, value) for name, value in SECURE if name not in given]
                message["headers"] = [*message["headers"], (b"x-request-id", own), *more]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except OverError:
            return
        finally:
            self.observe(scope, status, time.perf_counter() - start, own.decode())

    def observe(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        """Count the request, and log it."""
        route = getattr(scope.get("route"), "path", "")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.counts[method, route, status] = self.counts.get((method, route, status), 0) + 1
        times = self.times.setdefault((method, route), [0.0] * (len(BOUNDS) + 2))
        times[bisect_left(BOUNDS, seconds)] += 1
        times[-1] += seconds
        if scope["path"] in QUIET and status < 400:
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": "info" if status < 500 else "error",
            "message": "request", "method": method, "path": scope["path"], "status": status,
            "duration_ms": round(seconds * 1000, 3), "request_id": request_id,
            "caller": scope["state"].get("caller", ""),
        }  # fmt: skip
        print(json.dumps(line), file=self.log, flush=True)

    def metrics(self) -> str:
        """What `GET /metrics` gives back."""
        lines = [f"# TYPE {self.name}_requests_total counter"]
        for (method, route, status), count in sorted(self.counts.items()):
            lines.append(f'{self.name}_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
        lines.append(f"# TYPE {self.name}_request_duration_seconds histogram")
        for (method, route), times in sorted(self.times.items()):
            labels, total = f'method="{method}",route="{route}"', 0
            for bound, observed in zip((*map(str, BOUNDS), "+Inf"), times, strict=False):
                total += int(observed)
                lines.append(f'{self.name}_request_duration_seconds_bucket{{{labels},le="{bound}"}} {total}')
            lines.append(f"{self.name}_request_duration_seconds_sum{{{labels}}} {times[-1]}")
            lines.append(f"{self.name}_request_duration_seconds_count{{{labels}}} {total}")
        return "\n".join(lines) + "\n"


async def still_may(scope: Scope) -> bool:
    """Whether the caller of a request may still ask it; a judge that is away is asked again later."""
    judge = scope["state"].get("judge")
    try:
        if judge is not None:
            await judge()
    except ProblemError as error:
        return error.status not in REFUSED
    except NearedgeError:
        return True
    return True
