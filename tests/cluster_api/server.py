"""HTTP: the application that uvicorn serves, one request at a time from its bytes to the bytes of the answer."""

import asyncio
import traceback
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from tests.cluster_api import impersonation, routes, statuses, watching
from tests.cluster_api.api import Answer, Api, Followed, Request
from tests.cluster_api.bell import Bell, rung
from tests.cluster_api.collecting import Collector
from tests.cluster_api.faults import Fault, Faults
from tests.cluster_api.pod_logs import ended
from tests.cluster_api.store import Key
from tests.cluster_api.watching import Clock, CutError, Watch
from tests.cluster_api.wire import JSON, Receive, Send, begin, disconnected, parsed, plain, refuse, whole

Object = dict[str, Any]
OF_WATCH = ("cut", "reset", "silence", "expire")


@dataclass
class Seen:
    """A request in the audit; `status` is 0 until the answer begins."""

    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    path: str
    query: dict[str, str]
    status: int = 0


class Server:
    """The ASGI application."""

    def __init__(self, api: Api, faults: Faults, most: int = 100_000) -> None:
        self.api, self.faults = api, faults
        self.seen: deque[Seen] = deque(maxlen=most)
        self.clock = Clock()
        self.bell: Bell | None = None
        self.stopping = False
        self.broken: list[str] = []
        """Tracebacks of what the fake itself did wrong."""
        self.collector = Collector(api.operations)
        self.background: set[asyncio.Task[None]] = set()
        api.store.listeners.append(self.ring)
        api.logs.changed = faults.changed = self.ring

    def ring(self) -> None:
        """Something has changed."""
        if (bell := self.bell) is not None:
            bell.ring()

    def stopped(self) -> bool:
        """Whether all answers are to end now."""
        return self.stopping

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        self.bell = self.bell or Bell()
        query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        body = await whole(receive)
        watcher = asyncio.ensure_future(disconnected(receive))
        work = asyncio.ensure_future(self.answered(scope, query, body, send))
        try:
            await asyncio.wait((watcher, work), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        except CutError:
            return  # uvicorn ends the connection of an answer that is not complete
        except Exception:
            self.broken.append(traceback.format_exc())
            raise
        finally:
            watcher.cancel()
            work.cancel()
            await asyncio.gather(watcher, work, return_exceptions=True)

    async def lifespan(self, receive: Receive, send: Send) -> None:
        """The collector works as long as the server does."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.bell, self.stopping = Bell(), False
                self.background = {asyncio.ensure_future(self.collect(self.bell))}
                await send({"type": "lifespan.startup.complete"})
            else:
                for task in self.background:
                    task.cancel()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def collect(self, bell: Bell) -> None:
        """Collect garbage after each change."""
        while True:
            event = bell.take()
            try:
                self.collector.step()
            except Exception:
                self.broken.append(traceback.format_exc())
            await rung(event, None)

    async def answered(self, scope: Any, query: dict[str, str], body: bytes, send: Send) -> None:
        """Answer one request."""
        rows = [(name.decode().lower(), value.decode()) for name, value in scope["headers"]]
        headers = dict(rows)
        target = routes.Target(scope["method"].lower(), scope["path"])
        entry = None
        try:
            target = routes.target(scope["method"], scope["path"], query)
            user = self.api.users.of_header(headers.get("authorization", ""))
            user = impersonation.acting(self.api.rbac, user, rows)
            entry = seen(user.name, target, query)
            self.seen.append(entry)
            await self.harm(target, send)
            media_type = headers.get("content-type", JSON).split(";")[0].strip().lower()
            request = Request(user, target, query, partial(parsed, target, body, media_type), media_type)
            found = self.api.handle(request)
        except (statuses.ApiError, statuses.PlainError) as error:
            if entry is None:
                self.seen.append(entry := seen("", target, query))
            entry.status = error.code
            await refuse(send, error)
            return
        entry.status = found.code if isinstance(found, Answer) else 200
        if isinstance(found, Answer):
            await plain(send, found)
        else:
            await self.streamed(send, target, found, follow=query.get("follow", "") in ("1", "true", "True"))

    async def harm(self, target: routes.Target, send: Send) -> None:
        """Do what faults say before a request is looked at."""
        slow = self.faults.next(target.verb, target.combined, ("delay",))
        if slow is not None:
            await asyncio.sleep(slow.seconds)
        hanging = self.faults.next(target.verb, target.combined, ("hang",))
        while hanging is not None and hanging in self.faults.on:
            if self.stopped() or self.bell is None:
                await begin(send, 503, JSON, ((b"content-length", b"1"),))  # uvicorn cuts only what has begun
                raise CutError
            await rung(self.bell.take(), 60)
        fault = self.faults.next(target.verb, target.combined, ("answer", "text"))
        if fault is not None and fault.what == "text":
            raise statuses.PlainError(fault.code, fault.message)
        if fault is not None:
            raise statuses.of_code(fault.code, fault.message, fault.retry_after)

    async def streamed(self, send: Send, target: routes.Target, found: Watch | Followed, *, follow: bool) -> None:
        """Send a watch or a log."""
        assert self.bell is not None
        if isinstance(found, Watch):
            fault = self.faults.next("watch", target.combined, OF_WATCH)
            pieces, media_type = watching.stream(found, self.bell, self.clock, fault, self.stopped), JSON
        else:
            fault = self.faults.next("watch", "pods/log", OF_WATCH) if follow else None
            pieces, media_type = self.log(found, fault, self.clock.cut, follow=follow), "text/plain"
        await begin(send, 200, media_type)
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def log(self, found: Followed, fault: Fault | None, cut: int, *, follow: bool) -> AsyncIterator[bytes]:
        """A log's text, until its container has ended; a fault counts pieces, `cut` is the clock's."""
        assert self.bell is not None
        metadata, said = found.pod["metadata"], 0
        key = Key("", "pods", metadata["namespace"], metadata["name"])
        while True:
            event = self.bell.take()
            last = not follow or ended(self.api.store.get(key), metadata["uid"], found.container)
            if piece := found.reader.more():
                said += 1
                yield piece
            if fault is not None and said >= fault.after and fault.what != "silence":
                if fault.what == "reset":
                    raise CutError
                return
            if last or found.reader.full():
                return
            if self.stopped() or cut != self.clock.cut:
                raise CutError
            await rung(event, 60)


def seen(user: str, target: routes.Target, query: dict[str, str]) -> Seen:
    """A request for the audit."""
    named = (target.group, target.resource, target.subresource, target.namespace, target.name)
    return Seen(user, target.verb, *named, target.path, query)
