"""Pages that follow what happens: the same pieces of HTML as the page has, sent again whenever they would differ."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from nearedge.api.core.engine import Change, Engine
from nearedge.api.problems import ProblemError
from nearedge.api.streams import ServerEvent
from nearedge.errors import NearedgeError

SETTLE_S = 0.2
"""Seconds after a change in which further ones make one picture with it."""
STANDS = "The page stands still now; read it again."


@dataclass(frozen=True)
class Picture:
    """A piece of a page, one sentence for who does not see it, and whether it is the last one."""

    html: str
    said: str
    last: bool = False


async def pictures(
    engine: Engine, token: str, run: str, shown: Callable[[], Awaitable[Picture]]
) -> AsyncIterator[ServerEvent]:
    """An event `picture` now and after changes of `run` (empty: of any); `end` where nothing more will come."""
    changed = asyncio.Event()
    before: Picture | None = None
    watching = asyncio.ensure_future(watch(engine, token, run, changed))
    try:
        await asyncio.sleep(0)  # the watch begins before the first look, so that nothing falls between
        while True:
            changed.clear()
            try:
                now = await shown()
            except (ProblemError, NearedgeError) as error:
                now = without(before, error)
            if now != before:
                yield ServerEvent("picture", {"html": now.html, "said": now.said})
                before = now
            if watching.done() and not now.last:  # what watched broke off: nobody would tell of further changes
                why = watching.exception()
                yield ServerEvent("picture", {"html": now.html, "said": f"{now.said} {STANDS} {why or ''}".strip()})
            if now.last or watching.done():
                yield ServerEvent("end", {})
                return
            await changed.wait()
            await asyncio.sleep(SETTLE_S)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError, ProblemError, NearedgeError):
            await watching


def without(before: Picture | None, error: ProblemError | NearedgeError) -> Picture:
    """What is shown where nothing new is known: what was seen last, and why; for good where it was deleted."""
    html = before.html if before else ""
    if isinstance(error, ProblemError) and error.status == HTTPStatus.NOT_FOUND:
        return Picture(html, "It is not there any more", last=True)
    return Picture(html, f"It cannot be read just now: {error}")


async def watch(engine: Engine, token: str, run: str, changed: asyncio.Event) -> None:
    """Set `changed` for each change that matters, and at the end of them."""
    try:
        async for change in engine.changes("", token, run):
            if matters(change, run):
                changed.set()
    finally:
        changed.set()


def matters(change: Change, run: str) -> bool:
    """Whether the change is of that run; empty: of any."""
    return not run or change.run.name == run
