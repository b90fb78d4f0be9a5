"""What the API server says when it does not do as asked: `Status` documents, worded as the real one words them.

The wording is that of k8s.io/apimachinery/pkg/api/errors and of the handlers in k8s.io/apiserver.
"""

from collections.abc import Sequence
from typing import Any

from tests.cluster_api.resources import Resource

Object = dict[str, Any]


class ApiError(Exception):
    """An answer that is no success; `document` is its Status."""

    def __init__(
        self, code: int, reason: str, message: str, details: Object | None = None, more: Object | None = None
    ) -> None:
        """`more` goes into the document's metadata."""
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details or {}
        self.document: Object = {
            "kind": "Status", "apiVersion": "v1", "metadata": more or {}, "status": "Failure", "message": message,
            **({"reason": reason} if reason else {}), **({"details": self.details} if self.details else {}),
            "code": code,
        }  # fmt: skip


class PlainError(Exception):
    """An answer in plain text, as for a path that nothing serves."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def of(resource: Resource, name: str = "", kind: str = "", **more: Any) -> Object:
    """Details that name an object; `kind` is the resource's plural but in 422, where it is the kind."""
    found = {"name": name, "group": resource.group, "kind": kind or resource.plural, **more}
    return {key: value for key, value in found.items() if value}


def nothing_there() -> PlainError:
    """No such path or resource."""
    return PlainError(404, "404 page not found\n")


def not_found(resource: Resource, name: str) -> ApiError:
    """The resource is known, the object is not."""
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', of(resource, name))


def already_exists(resource: Resource, name: str) -> ApiError:
    """A creation under a name that is taken."""
    return ApiError(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', of(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> ApiError:
    """The object is another than the caller knows."""
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, of(resource, name))


def bad_request(message: str) -> ApiError:
    """Not understood."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """Credentials that are nobody's."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(message: str, details: Object | None = None) -> ApiError:
    """Somebody, who may not."""
    return ApiError(403, "Forbidden", message, details)


CAUSES = {"Required value": "FieldValueRequired", "Forbidden": "FieldValueForbidden", "Not found": "FieldValueNotFound"}


def invalid(resource: Resource, name: str, faults: Sequence[tuple[str, str]]) -> ApiError:
    """Understood, and wrong: `faults` are fields and what is wrong there ("Invalid value: ...")."""
    causes = [
        {"reason": CAUSES.get(what.split(":")[0], "FieldValueInvalid"), "message": what, "field": field}
        for field, what in faults
    ]
    text = ", ".join(f"{field}: {what}" for field, what in faults)
    text = f"[{text}]" if len(faults) > 1 else text
    kind = resource.kind + (f".{resource.group}" if resource.group else "")
    details = of(resource, name, resource.kind, causes=causes)
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details)


def expired(message: str, more: Object | None = None) -> ApiError:
    """A version that is no longer known."""
    return ApiError(410, "Expired", message, None, more)


def too_old(revision: int, oldest: int) -> ApiError:
    """A watch from before what is still known."""
    return expired(f"too old resource version: {revision} ({oldest})")


def too_large(revision: int, current: int) -> ApiError:
    """A list not older than a version that has not been."""
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Timeout: Too large resource version: {revision}, current: {current}"
    return ApiError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})


def not_allowed() -> ApiError:
    """A method that the resource has not."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unsupported(accepted: Sequence[str]) -> ApiError:
    """A body in a form that is not taken."""
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return ApiError(415, "UnsupportedMediaType", message)


FAULTS = {
    401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired", 429: "TooManyRequests",
    500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip


def of_code(code: int, message: str, retry_after: int | None = None) -> ApiError:
    """An answer that a test asks for."""
    details = {} if retry_after is None else {"retryAfterSeconds": retry_after}
    return ApiError(code, FAULTS.get(code, ""), message, details)


def success(resource: Resource, name: str, uid: str) -> Object:
    """What a deletion that is done says."""
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": of(resource, name, uid=uid),
    }  # fmt: skip
