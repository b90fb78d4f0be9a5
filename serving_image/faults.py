"""What a request or a model folder can be at fault for; each kind knows its HTTP status."""


class RequestError(Exception):
    """Base of what a client is told. `status` is the HTTP status; a gRPC front end maps the classes."""

    status = 500

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that go with the answer."""
        return []


class BadRequestError(RequestError):
    """The request is malformed or does not fit the model."""

    status = 400


class UnauthorizedError(RequestError):
    """The client sent no token, or a wrong one."""

    status = 401

    def headers(self) -> list[tuple[bytes, bytes]]:
        """How to authenticate (RFC 6750, section 3)."""
        return [(b"www-authenticate", b"Bearer")]


class ForbiddenError(RequestError):
    """That may not be done here, whoever asks."""

    status = 403


class NotFoundError(RequestError):
    """No such model, version or path."""

    status = 404


class WrongMethodError(RequestError):
    """The path exists, for another method."""

    status = 405

    def __init__(self, method: str, path: str, allow: str) -> None:
        """`allow` lists the methods that the path takes, as the header of that name does."""
        super().__init__(f"{path} does not take {method}; use {allow}")
        self.allow = allow

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The methods that are allowed (RFC 9110, section 15.5.6)."""
        return [(b"allow", self.allow.encode())]


class SlowBodyError(RequestError):
    """The client did not send its body in time."""

    status = 408


class TooLargeError(RequestError):
    """The body is over the limit."""

    status = 413


class WrongEncodingError(RequestError):
    """The body is compressed in a way that we do not read."""

    status = 415


class UnavailableError(RequestError):
    """Too much to do, or not ready; worth another try after `retry_after` seconds."""

    status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        """`retry_after` is in seconds."""
        super().__init__(message)
        self.retry_after = retry_after

    def headers(self) -> list[tuple[bytes, bytes]]:
        """When to try again (RFC 9110, section 10.2.3)."""
        return [(b"retry-after", str(self.retry_after).encode())]


class TimedOutError(RequestError):
    """No answer within the request time-out."""

    status = 504


class StartError(Exception):
    """A setting that keeps the server from starting; one line for a person."""


class ListenError(StartError):
    """An address that cannot be listened on."""


class LoadError(Exception):
    """A model folder that cannot be served. `kind` is a short word that a metric can carry."""

    def __init__(self, kind: str, reason: str) -> None:
        """`reason` is one line for a person."""
        super().__init__(one_line(reason))
        self.kind = kind


def one_line(text: object, limit: int = 500) -> str:
    """The text of an exception on one line, cut at `limit` characters."""
    return " ".join(str(text).split())[:limit]
