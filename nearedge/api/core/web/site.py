"""What the pages are made of and from: the engine, the templates, the sessions. Pages get it by `of(request)`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from secrets import token_urlsafe

import jinja2
from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from nearedge import __version__
from nearedge.api.access import Access
from nearedge.api.core.engine import Engine
from nearedge.api.core.fleet_source import FleetSource
from nearedge.api.core.moving import Doing
from nearedge.api.core.web import refusals, wording
from nearedge.api.core.web.assets import Assets
from nearedge.api.core.web.sessions import Sessions, Visitor, cookie_of, give

TEMPLATES = Path(__file__).parent / "templates"
NEVER_KEPT = {"Cache-Control": "no-store", "Vary": "Cookie"}
HEADERS = {**NEVER_KEPT, "Referrer-Policy": "same-origin"}
"""With no-referrer a browser says `Origin: null` of our own forms (Fetch, 3.2), as foreign pages can."""


def environment(assets: Assets) -> jinja2.Environment:
    """The templates; everything that is filled in is escaped, and a name that is not there is an error."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.globals |= {"asset": assets.url, "version": __version__, "mark": wording.MARKS}
    found.filters |= wording.FILTERS
    return found


@dataclass
class Site:
    """One for each process."""

    engine: Engine
    access: Access
    moves: Doing | None = None
    assets: Assets = field(default_factory=Assets)
    sessions: Sessions = field(default_factory=Sessions)
    templates: jinja2.Environment = field(init=False)

    def __post_init__(self) -> None:
        """Read the templates."""
        self.templates = environment(self.assets)

    @property
    def fleet(self) -> FleetSource | None:
        """Where releases and sites are known from."""
        return self.moves.source if self.moves else None

    def fragment(self, template: str, **values: object) -> str:
        """A piece of a page."""
        return self.templates.get_template(template).render(values)


def of(request: Request) -> Site:
    """The site that the request is for."""
    site: Site = request.app.state.site
    return site


def page(
    request: Request, visitor: Visitor | None, template: str, values: Mapping[str, object], status: int = 200
) -> Response:
    """A whole page; a browser that has no cookie yet is given one, so that its forms are believed."""
    site, name = of(request), cookie_of(request)
    fresh = "" if name else token_urlsafe(32)
    given: dict[str, object] = {
        "form_token": site.sessions.form_token(name or fresh), "visitor": visitor, "path": request.url.path,
        "with_login": not site.access.open,
    }  # fmt: skip
    response = HTMLResponse(site.fragment(template, **given, **values), status, HEADERS)
    if fresh:
        give(request, response, fresh)
    return response


def failure(request: Request, visitor: Visitor | None, status: int, detail: str) -> Response:
    """The page that says what went wrong."""
    title = HTTPStatus(status).phrase
    values = {
        "status": status, "title": title, "detail": detail,
        "lacking": refusals.lacking(detail) if status == HTTPStatus.FORBIDDEN else None,
    }  # fmt: skip
    return page(request, visitor, "failure.html", values, status)
