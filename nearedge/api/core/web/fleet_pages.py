"""What each site should run, what it does, and how it is doing."""

from urllib.parse import urlencode

from fastapi import Request, Response

from nearedge.api.core import fleet_view as view
from nearedge.api.core.web import knowledge
from nearedge.api.core.web.gate import Looking, new_router
from nearedge.api.core.web.site import page
from nearedge.api.pages import cursor, read_cursor

router = new_router()
PAGE = 200
"""Models at sites of a page."""
DIFFERS = {"": None, "yes": True, "no": False}


@router.get("/fleet")
async def fleet(
    request: Request, visitor: Looking, site: str = "", model: str = "", differs: str = "", after: str = ""
) -> Response:
    """Each model at each site, by site."""
    now, conditions, fresh = await knowledge.of_both(request)
    wanted = DIFFERS.get(differs)
    keys = sorted(key for key in now.sites if site in ("", key[0]) and model in ("", key[1]))
    states = {key: view.state(now.sites[key], key, conditions) for key in keys}
    keys = [key for key in keys if wanted is None or states[key][0] is wanted]
    last = tuple(read_cursor(after).split("\0")) if after else ("", "")
    left = [key for key in keys if key > last]
    chosen = {key: value for key, value in {"site": site, "model": model, "differs": differs}.items() if value}
    more = urlencode(chosen | {"after": cursor("\0".join(left[PAGE - 1]))}) if len(left) > PAGE else ""
    values = {
        "rows": [view.placement(now, key, now.sites[key], conditions) for key in left[:PAGE]], "more": more,
        "counts": view.counts(states[key] for key in keys), "fresh": fresh, "site": site, "model": model,
        "differs": differs, "models": sorted({key[1] for key in now.sites}), "known": bool(now.sites),
        "first": urlencode(chosen), "after": after,
    }  # fmt: skip
    return page(request, visitor, "fleet.html", values)
