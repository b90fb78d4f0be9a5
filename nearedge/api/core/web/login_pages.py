"""Logging in with a token, where there are tokens, and out again."""

from urllib.parse import urlsplit

from fastapi import Request, Response

from nearedge.api.access import address_of
from nearedge.api.core.web.gate import Sent, new_router, see
from nearedge.api.core.web.sessions import cookie_of, give
from nearedge.api.core.web.site import of, page

router = new_router()


@router.get("/login")
async def login(request: Request, next: str = "/", over: bool = False) -> Response:  # noqa: A002 (what the address says)
    """The form."""
    if of(request).access.open:
        return see("/")
    return login_page(request, next, over=over)


@router.post("/login")
async def log_in(request: Request, form: Sent) -> Response:
    """A session for who knows a token; a new id, so that nobody can have known it before."""
    site = of(request)
    if site.access.open:
        return see("/")
    token = form.one("token").strip()
    caller = await site.access.known(token, address_of(request))
    if caller is None:
        return login_page(request, form.one("next"), "That token is not known here.", 401)
    response = see(inside(form.one("next")))
    site.sessions.close(cookie_of(request))
    give(request, response, site.sessions.open(caller, token))
    return response


@router.post("/logout")
async def log_out(request: Request, form: Sent) -> Response:
    """End the session."""
    del form  # what it had to show is that it is one of ours
    of(request).sessions.close(cookie_of(request))
    return see("/login")


def login_page(request: Request, wanted: str, error: str = "", status: int = 200, *, over: bool = False) -> Response:
    """The form, with what was wrong; `over`: the token of an earlier login is not good any more."""
    return page(request, None, "login.html", {"next": inside(wanted), "error": error, "over": over}, status)


def inside(wanted: str) -> str:
    """Where to go after the login: a path of this server, or its first page."""
    parts = urlsplit(wanted)
    mine = not parts.scheme and not parts.netloc and wanted.startswith("/") and "\\" not in wanted
    return wanted if mine and not wanted.startswith("//") and wanted.isprintable() else "/"
