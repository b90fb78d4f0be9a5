"""The list of runs at `/`."""

from typing import get_args

from fastapi import Request, Response

from nearedge.api import streams
from nearedge.api.core.models import State
from nearedge.api.core.web import live
from nearedge.api.core.web.gate import Looking, new_router
from nearedge.api.core.web.listing import Filter, part
from nearedge.api.core.web.sessions import Visitor
from nearedge.api.core.web.site import Site, of, page

router = new_router()
STATES = get_args(State)


@router.get("/")
async def runs(
    request: Request, visitor: Looking, state: str = "", pipeline: str = "", words: str = "", after: str = ""
) -> Response:
    """The runs that the filter holds."""
    wanted = Filter(state, pipeline, words)
    values = await listed(of(request), visitor, wanted, after)
    names = [one.name for one in await of(request).engine.declared(visitor.token) if one.kind == "Pipeline"]
    return page(
        request,
        visitor,
        "runs.html",
        {**values, "states": STATES, "pipelines": names, "place": of(request).engine.place},
    )


async def listed(site: Site, visitor: Visitor, wanted: Filter, after: str) -> dict[str, object]:
    """What the list is made of."""
    found = part(await site.engine.runs(visitor.token), wanted, after)
    return {"part": found, "filter": wanted, "after": after}


@router.get("/live")
async def changing(
    request: Request, visitor: Looking, state: str = "", pipeline: str = "", words: str = ""
) -> Response:
    """The first page of the list whenever a run changes."""
    site, wanted = of(request), Filter(state, pipeline, words)

    async def shown() -> live.Picture:
        values = await listed(site, visitor, wanted, "")
        return live.Picture(site.fragment("runs_list.html", **values), "")

    return streams.stream(live.pictures(site.engine, visitor.token, "", shown))
