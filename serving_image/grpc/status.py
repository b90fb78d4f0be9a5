"""gRPC's status codes, and which one each kind of fault is (grpc/doc/statuscodes.md)."""

from serving_image.faults import RequestError, UnavailableError

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = range(6)
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 8, 12, 13, 14, 16

NAMES = {
    OK: "OK",
    CANCELLED: "CANCELLED",
    UNKNOWN: "UNKNOWN",
    INVALID_ARGUMENT: "INVALID_ARGUMENT",
    DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    NOT_FOUND: "NOT_FOUND",
    RESOURCE_EXHAUSTED: "RESOURCE_EXHAUSTED",
    UNIMPLEMENTED: "UNIMPLEMENTED",
    INTERNAL: "INTERNAL",
    UNAVAILABLE: "UNAVAILABLE",
    UNAUTHENTICATED: "UNAUTHENTICATED",
}
OF_HTTP = {
    400: INVALID_ARGUMENT,
    401: UNAUTHENTICATED,
    404: NOT_FOUND,
    405: UNIMPLEMENTED,
    408: DEADLINE_EXCEEDED,
    413: RESOURCE_EXHAUSTED,
    415: UNIMPLEMENTED,
    503: UNAVAILABLE,
    504: DEADLINE_EXCEEDED,
}
SERVER_FAULTS = frozenset({UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE})
"""Codes that the log writes as warnings."""


class StatusError(Exception):
    """A call ends with a status other than OK. `pushback` is in milliseconds: when another try is worth it."""

    def __init__(self, code: int, message: str, pushback: int | None = None) -> None:
        """`message` is for the client."""
        super().__init__(message)
        self.code = code
        self.pushback = pushback


def of_fault(fault: RequestError) -> StatusError:
    """What REST says with an HTTP status, as gRPC says it."""
    pushback = fault.retry_after * 1000 if isinstance(fault, UnavailableError) else None
    return StatusError(OF_HTTP.get(fault.status, INTERNAL), str(fault), pushback)
