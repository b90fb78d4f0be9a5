"""What a model's server says right now: its log, and its figures."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import PlainTextResponse, StreamingResponse

from nearedge.api import streams
from nearedge.api.application import PREFIX, RESPONSES, Reader
from nearedge.api.edge.documents import Log, Metrics
from nearedge.api.edge.followers import Followers
from nearedge.api.edge.held import seconds
from nearedge.api.edge.routes import Name
from nearedge.api.edge.site import LogQuery, Site
from nearedge.api.observed import CONTENT_TYPE
from nearedge.api.problems import ProblemError

MOST_LINES = 1000
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
Container = Annotated[
    str | None,
    Query(
        max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", description="of the pod; default: the model server"
    ),
]
STREAM: dict[int | str, dict[str, object]] = {
    **RESPONSES,
    200: {"description": "events as they come", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
}


class Events(StreamingResponse):
    """Named in the document."""

    media_type = "text/event-stream"


def router(site: Site, followers: Followers) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix=f"{PREFIX}/models", tags=["models"], responses=RESPONSES)

    @routes.get("/{name}/logs")
    async def log(
        _: Reader,
        name: Name,
        tail: Annotated[int, Query(ge=1, le=MOST_LINES, description="most lines, of the end")] = 100,
        since: Annotated[
            str | None, Query(pattern=TIME, description="no line from before this time (RFC 3339)")
        ] = None,
        previous: Annotated[bool, Query(description="of the container before the last restart")] = False,
        container: Container = None,
    ) -> Log:
        """The end of its server's log, without what is about other models."""
        return await site.log(name, LogQuery(tail, None if since is None else from_time(since), previous, container))

    @routes.get("/{name}/logs/follow", responses=STREAM, response_class=Events)
    async def follow(
        _: Reader,
        name: Name,
        last_event_id: Annotated[
            str | None, Header(alias="Last-Event-ID", max_length=64, description="the last event you have")
        ] = None,
        previous: Annotated[bool, Query(description="must be false: to it nothing is added any more")] = False,
        container: Container = None,
    ) -> StreamingResponse:
        """What is added to the log, as events `line`; `gone` where it cannot be read any more."""
        if previous:
            raise ProblemError(422, "previous: nothing is added to it any more; GET .../logs?previous=true reads it")
        lines = await site.follow(name, last_event_id or "", container)
        return streams.stream(followers.counted(lines))

    @routes.get("/{name}/metrics")
    async def metrics(_: Reader, name: Name) -> Metrics:
        """The model server's figures about it, since the server's start."""
        return await site.metrics(name)

    @routes.get("/{name}/metrics/text", response_class=PlainTextResponse)
    async def metrics_text(_: Reader, name: Name) -> PlainTextResponse:
        """The model server's own `/metrics` as they are, in Prometheus' text format."""
        return PlainTextResponse(await site.metrics_text(name), media_type=CONTENT_TYPE)

    return routes


def from_time(text: str) -> float:
    """Seconds since 1970. Raises ProblemError 422 for a day or an hour that there is not."""
    found = seconds(text)
    if found is None:
        raise ProblemError(422, f"since: there is no time {text}")
    return found
