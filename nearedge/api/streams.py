"""Server-sent events (WHATWG HTML, 9.2): numbered, with a sign of life, taken up where a connection broke off."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from fastapi.responses import StreamingResponse

ALIVE_S = 15.0
"""Seconds after which a comment is sent where nothing happens, so that proxies keep the connection."""
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class ServerEvent:
    """One event; `number` is what a client that comes back says as Last-Event-ID."""

    kind: str
    data: object
    number: str = ""

    def encoded(self) -> bytes:
        """The event's lines."""
        lines = [f"id: {self.number}"] if self.number else []
        lines += [f"event: {self.kind}", f"data: {json.dumps(self.data, ensure_ascii=False)}"]
        return ("\n".join(lines) + "\n\n").encode()


def stream(events: AsyncIterator[ServerEvent], alive_s: float = ALIVE_S) -> StreamingResponse:
    """The answer that sends `events` as they come, and ends with them."""
    return StreamingResponse(kept_alive(events, alive_s), media_type="text/event-stream", headers=HEADERS)


async def kept_alive(events: AsyncIterator[ServerEvent], alive_s: float) -> AsyncIterator[bytes]:
    """The events' bytes, with a comment wherever `alive_s` seconds passed without one."""
    source = aiter(events)
    waiting = asyncio.ensure_future(anext(source, None))
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=alive_s)
            if not done:
                yield b": alive\n\n"
                continue
            event = waiting.result()
            if event is None:
                return
            yield event.encoded()
            waiting = asyncio.ensure_future(anext(source, None))
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await waiting
