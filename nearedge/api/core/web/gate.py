"""What each page passes: who asks, whether a form is one of ours, and errors that come out as pages."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from nearedge.api.access import LOCAL, address_of, allowed
from nearedge.api.core.web import site
from nearedge.api.core.web.sessions import Visitor, cookie_of
from nearedge.api.problems import ProblemError, status_of
from nearedge.errors import NearedgeError

LARGEST_FORM = 1 << 20
"""Bytes of a form."""
MOST_FIELDS = 1000
FORM_TYPE = "application/x-www-form-urlencoded"
TOKEN_FIELD = "form-token"  # noqa: S105 (the field's name, no secret)


class LoginNeededError(Exception):
    """Nobody is logged in, and there are tokens. `over`: somebody was, whose token is good for nothing by now."""

    def __init__(self, *, over: bool = False) -> None:
        """Why there is nobody."""
        super().__init__()
        self.over = over


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler, with that around it."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except LoginNeededError as error:
                return to_login(request, over=error.over)
            except ProblemError as error:
                if error.status == 401 and not site.of(request).access.open:  # an engine refused the session's token
                    site.of(request).sessions.close(cookie_of(request))
                    return to_login(request, over=True)
                answer = failed(request, error.status, error.detail)
                answer.headers.update(error.headers)
                return answer
            except NearedgeError as error:
                return failed(request, status_of(error), str(error))
            except RequestValidationError as error:
                fault = error.errors()[0]
                return failed(request, 422, f"{fault['loc'][-1]}: {fault['msg']}")

        return handle


def new_router() -> APIRouter:
    """A router for pages; they are not part of the OpenAPI document."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def failed(request: Request, status: int, detail: str) -> Response:
    """The page of an error, with the menu where we know who asks."""
    try:
        visitor = identified(request)
    except LoginNeededError:
        visitor = None
    return site.failure(request, visitor, status, detail)


def to_login(request: Request, *, over: bool) -> Response:
    """The login, which says why it is needed again and leads back to where one wanted to go."""
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = request.url.path + query if request.method == "GET" else "/"
    return RedirectResponse(f"/login?next={quote(wanted, safe='')}{'&over=true' if over else ''}", 303)


def identified(request: Request) -> Visitor:
    """Who asks. Raises LoginNeededError."""
    found, name = site.of(request), cookie_of(request)
    form = found.sessions.form_token(name)
    if found.access.open:
        return Visitor(LOCAL, "", form)
    session = found.sessions.get(name)
    if session is None:
        raise LoginNeededError
    return Visitor(session.caller, session.token, form)


async def visitor(request: Request) -> Visitor:
    """Who may look."""
    found, known = identified(request), site.of(request)
    if not known.access.open:
        caller = await known.access.known(found.token, address_of(request))
        if caller is None:  # the token was taken back since the login
            known.sessions.close(cookie_of(request))
            raise LoginNeededError(over=True)
        found = replace(found, caller=caller)
        request.scope["state"]["judge"] = partial(still, request)
    request.scope["state"]["caller"] = found.caller.name
    return found


async def still(request: Request) -> None:
    """Whether who follows a page may go on. Raises ProblemError 401 where the login is over, 403."""
    try:
        await visitor(request)
    except LoginNeededError as error:
        raise ProblemError(401, "the login is over") from error


async def managing(found: Annotated[Visitor, Depends(visitor)]) -> Visitor:
    """Who may change things. Raises ProblemError 403."""
    allowed(found.caller, "manage")
    return found


class Form(dict[str, list[str]]):
    """What a form brings: values by field."""

    def one(self, field: str) -> str:
        """The field's value with plain line ends, empty where there is none."""
        return self.get(field, [""])[0].replace("\r\n", "\n")


async def form(request: Request) -> Form:
    """The form, which has to come from a page of ours. Raises ProblemError 403, 413, 415."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise ProblemError(415, f"send the form as {FORM_TYPE}")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_FORM:
            raise ProblemError(413, f"a form has {LARGEST_FORM} bytes at the most")
    found = Form()
    try:
        for name, value in parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS):
            found.setdefault(name, []).append(value)
    except (UnicodeDecodeError, ValueError) as error:
        raise ProblemError(400, "the form is damaged") from error
    if not site.of(request).sessions.is_form_token(cookie_of(request), found.one(TOKEN_FIELD)):
        raise ProblemError(
            403, "the form is not from a page of this server, or it is too old; go back and read it again"
        )
    return found


Looking = Annotated[Visitor, Depends(visitor)]
Managing = Annotated[Visitor, Depends(managing)]
Sent = Annotated[Form, Depends(form)]


def see(path: str) -> Response:
    """Go there with GET: what follows a form that was accepted (post, redirect, get)."""
    return RedirectResponse(path, 303)
