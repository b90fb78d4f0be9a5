"""Runs while they go on: their changes as server-sent events, their logs as text or as events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, TypeVar

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from nearedge.api import streams
from nearedge.api.application import PREFIX, RESPONSES, Reader, Token
from nearedge.api.core.engine import Change, Engine, LogQuery
from nearedge.api.core.models import ENDED, LogLine, Run, RunName
from nearedge.api.problems import ProblemError
from nearedge.api.streams import ServerEvent
from nearedge.errors import NearedgeError

Item = TypeVar("Item")
EVENTS = "text/event-stream"
MOST_LINES = 10_000
SOON_S = 1.0
"""Seconds that a stream waits with its answer for its first item, or for why there will be none."""
EVENT = {
    "type": "object",
    "description": "one of the events (WHATWG HTML, 9.2); data is JSON",
    "properties": {name: {"type": "string"} for name in ("event", "data", "id")},
    "required": ["event", "data"],
}
STREAM: dict[int | str, dict[str, object]] = {
    **RESPONSES,
    200: {"description": "events as they come", "content": {EVENTS: {"schema": EVENT}}},
}
LOGS: dict[int | str, dict[str, object]] = {
    **RESPONSES,
    200: {
        "description": "the lines; as events where Accept asks for text/event-stream",
        "content": {"text/plain": {"schema": {"type": "string"}}, EVENTS: {"schema": EVENT}},
    },
}
Seen = Annotated[str | None, Header(alias="Last-Event-ID", max_length=64, description="the last event you have")]
Filter = Annotated[str | None, Query(max_length=253)]


class Events(StreamingResponse):
    """Named in the document."""

    media_type = EVENTS


class Text(StreamingResponse):
    """Named in the document."""

    media_type = "text/plain"


class End:
    """Of a source."""


END = End()


def router(engine: Engine) -> APIRouter:
    """The routes; they come before those of single runs."""
    routes = APIRouter(prefix=f"{PREFIX}/runs", tags=["runs"], responses=RESPONSES)

    @routes.get("/events", responses=STREAM, response_class=Events)
    async def all_events(_: Reader, token: Token, last_event_id: Seen = None) -> StreamingResponse:
        """Changes of all runs from now on, or since the event you name: events `changed`, `deleted`, `problem`."""
        source = engine.changes(last_event_id or "", token)
        await engine.runs(token)  # who may not see them, or cannot just now, is answered with a status
        return streams.stream(told(of_changes(source)))

    @routes.get("/{name}/events", responses=STREAM, response_class=Events)
    async def events(_: Reader, token: Token, name: RunName) -> StreamingResponse:
        """One run: `run` with the whole run now and whenever it changed; `end` where it has ended, `problem`."""
        source = engine.changes("", token, name)
        return streams.stream(told(of_run(engine, await engine.run(name, token), source, token)))

    @routes.get("/{name}/logs", responses=LOGS, response_class=Text)
    async def logs(
        request: Request,
        _: Reader,
        token: Token,
        name: RunName,
        task: Filter = None,
        step: Filter = None,
        tail: Annotated[int | None, Query(ge=0, le=MOST_LINES, description="only so many lines of the end")] = None,
        follow: Annotated[bool, Query(description="go on until the run ends")] = False,
    ) -> StreamingResponse:
        """What the steps printed: text, or events `line` and at last `end`, or `problem` where they break off."""
        await engine.run(name, token)
        query = LogQuery(task=task, step=step, tail=tail, follow=follow)
        lines = await begun(engine.logs(name, query, token), SOON_S if follow else None)
        if EVENTS in request.headers.get("accept", ""):
            return streams.stream(told(of_lines(lines)))
        return StreamingResponse(
            whole(text(lines, titles=step is None)), media_type="text/plain; charset=utf-8", headers=streams.HEADERS
        )

    return routes


async def begun(source: AsyncIterator[Item], patience_s: float | None) -> AsyncIterator[Item]:
    """The items of `source`, which is asked for the first one now: what it raises within `patience_s` is raised here.

    So who may not have them, or is one too many, is answered with a status and not with a stream that breaks off.
    """
    first = asyncio.ensure_future(anext(source, END))
    await asyncio.wait({first}, timeout=patience_s)
    if first.done():
        first.result()

    async def items() -> AsyncIterator[Item]:
        try:
            found = await first
            while not isinstance(found, End):
                yield found
                found = await anext(source, END)
        finally:
            first.cancel()

    return items()


async def told(events: AsyncIterator[ServerEvent]) -> AsyncIterator[ServerEvent]:
    """The events, and `problem` at the end of those that break off: there is no status left to say it by."""
    try:
        async for event in events:
            yield event
    except (ProblemError, NearedgeError) as error:
        yield ServerEvent("problem", {"detail": str(error)})


async def of_changes(source: AsyncIterator[Change]) -> AsyncIterator[ServerEvent]:
    """The engine's changes as events."""
    async for change in source:
        yield ServerEvent(change.kind, change.run.model_dump(mode="json"), change.number)


async def of_run(engine: Engine, run: Run, source: AsyncIterator[Change], token: str) -> AsyncIterator[ServerEvent]:
    """The run, and again whenever it changed, until it has ended or is gone."""
    yield ServerEvent("run", run.model_dump(mode="json"))
    while run.state not in ENDED:
        change = await anext(source)
        if change.run.name != run.name:
            continue
        if change.kind == "deleted":
            break
        now = await engine.run(run.name, token)
        if now != run:
            run = now
            yield ServerEvent("run", run.model_dump(mode="json"), change.number)
    yield ServerEvent("end", {"state": run.state})


async def of_lines(lines: AsyncIterator[LogLine]) -> AsyncIterator[ServerEvent]:
    """Lines as events, and one that says that no more will come: an EventSource would ask again otherwise."""
    async for line in lines:
        yield ServerEvent("line", line.model_dump())
    yield ServerEvent("end", {})


async def text(lines: AsyncIterator[LogLine], *, titles: bool) -> AsyncIterator[str]:
    """Lines as text, under a title wherever another step's begin, as `nearedge logs` shows them."""
    last = ("", "")
    async for line in lines:
        here = (line.task, line.step)
        if titles and here != last:
            yield f"[{line.task} : {line.step}]\n"
        last = here
        yield f"{line.text}\n"


async def whole(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The lines, and one that says why where they break off."""
    try:
        async for line in lines:
            yield line
    except (ProblemError, NearedgeError) as error:
        yield f"nearedge: the log breaks off: {error}\n"
