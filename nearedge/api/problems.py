"""Errors as problem+json (RFC 9457): one line for a person in `detail`, the kind in `type` and `status`."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from nearedge import errors
from nearedge.api.models import Problem

MEDIA_TYPE = "application/problem+json"
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
STATUS: dict[type[errors.NearedgeError], int] = {
    errors.InputError: 422, errors.UsageError: 400, errors.GateError: 409, errors.OutsideError: 502,
    errors.UnsupportedError: 501, errors.MachineError: 507,
}  # fmt: skip
"""HTTP's status for each kind of error that the programs end with."""


class ProblemError(Exception):
    """An answer that is no success, raised anywhere below a route."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        """`more` are further members of the document."""
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, headers or {}, more


def missing(what: str) -> ProblemError:
    """There is none of that name."""
    return ProblemError(HTTPStatus.NOT_FOUND, what)


def conflict(what: str) -> ProblemError:
    """It is in a state that does not allow that."""
    return ProblemError(HTTPStatus.CONFLICT, what)


def status_of(error: errors.NearedgeError) -> int:
    """HTTP's status for one of our errors, by the nearest of its kinds that has one."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), HTTPStatus.INTERNAL_SERVER_ERROR)


def document(status: int, detail: str, **more: Any) -> JSONResponse:
    """The answer."""
    body = Problem(type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse({**body.model_dump(), **more}, status, media_type=MEDIA_TYPE)


def methods(request: Request) -> list[str]:
    """What may be asked of the path (RFC 9110, 15.5.6): Starlette's own answer knows the methods of one route only."""
    asked = {method: {**request.scope, "method": method} for method in METHODS}
    routes = request.app.routes
    return [method for method, scope in asked.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def install(app: FastAPI) -> None:
    """Make every error of the application one of these documents."""

    @app.exception_handler(ProblemError)
    async def of_ours(_: Request, error: ProblemError) -> JSONResponse:
        answer = document(error.status, error.detail, **error.more)
        answer.headers.update(error.headers)
        return answer

    @app.exception_handler(errors.NearedgeError)
    async def of_programs(_: Request, error: errors.NearedgeError) -> JSONResponse:
        return document(status_of(error), str(error))

    @app.exception_handler(RequestValidationError)
    async def of_requests(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [{"where": ".".join(map(str, one["loc"])), "detail": one["msg"]} for one in error.errors()]
        return document(422, f"{faults[0]['where']}: {faults[0]['detail']}", errors=faults)

    @app.exception_handler(HTTPException)
    async def of_routing(request: Request, error: HTTPException) -> JSONResponse:
        answer = document(error.status_code, str(error.detail))
        answer.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            answer.headers["Allow"] = ", ".join(methods(request))
        return answer
