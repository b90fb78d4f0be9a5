"""The REST front end: which path means what, and how faults become answers. It only translates to the data plane."""

import contextlib
import logging
import random
import re
import time
from collections.abc import Iterable
from typing import Any

from serving_image import compression, protocol_rest
from serving_image.auth import OPEN_PATHS, Token
from serving_image.body import Bodies, DisconnectedError, Headers, Message, Receive, Send
from serving_image.dataplane import DataPlane
from serving_image.faults import NotFoundError, RequestError, WrongMethodError
from serving_image.log_control import MOST_BYTES, LogControl
from serving_image.log_control import PATH as LOGGING_PATH
from serving_image.logs import Sampled, event
from serving_image.metrics import CONTENT_TYPE
from serving_image.protocol_binary import HEADER_BYTES
from serving_image.protocol_json import dumped
from serving_image.tensors import quoted

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers but for the length, body."""

MODEL_PATH = re.compile(
    r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<action>ready|infer|release|self-test))?"
)
SERVER_PATHS = frozenset(
    {"/v2", "/v2/", "/v2/health/live", "/v2/health/ready", LOGGING_PATH, "/metrics", "/openapi.json"}
)
REQUEST_ID = re.compile(rb"[!-~]{1,128}")
READING = ("GET", "HEAD")
JSON_HEADERS = [(b"content-type", protocol_rest.JSON)]


class Request:
    """What one request is about; filled in as it becomes known, for the log and the metrics."""

    __slots__ = ("headers", "id", "infers", "method", "model", "path", "protocol", "start", "version")

    def __init__(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Names of headers are in small letters, as ASGI has them."""
        self.start = time.perf_counter()
        self.method = method
        self.path = path
        self.headers: Headers = dict(headers)
        given = self.headers.get(b"x-request-id", b"")
        self.id = given if given and REQUEST_ID.fullmatch(given) else b"%016x" % random.getrandbits(64)
        self.protocol = "rest-binary" if HEADER_BYTES in self.headers else "rest"
        self.infers = False
        self.model = ""
        self.version = ""


class App:
    """The ASGI application."""

    def __init__(self, dataplane: DataPlane, token: Token | None = None) -> None:
        """`dataplane` holds the models, the settings and the metrics; clients must send `token` where one is given."""
        self.dataplane = dataplane
        self.settings = dataplane.settings
        self.telemetry = dataplane.telemetry
        self.bodies = Bodies(2 * self.settings.max_body, self.settings.timeout)
        self.token = token or Token(None)
        self.sampled = Sampled(self.settings.access_log)
        self.log_control = LogControl(self.settings, self.token)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request. Never raises: what is not foreseen becomes 500 and a line in the log."""
        if scope["type"] != "http":
            return
        request = Request(scope["method"], scope["path"], scope["headers"])
        try:
            answer = await self.answer(request, receive)
        except DisconnectedError:
            return
        except Exception as error:  # the one place for what nobody foresaw, beside `at_once`
            answer = self.refusal(request, error)
        await self.respond(request, answer, send)

    def refusal(self, request: Request, error: Exception) -> Answer:
        """The answer that tells the client of a fault; of one that is ours the log says where it came from."""
        if isinstance(error, RequestError):
            return error.status, [*JSON_HEADERS, *error.headers()], dumped({"error": str(error)})
        logging.getLogger("serving_image").error(
            "internal error", exc_info=error, extra={"fields": self.fields(request)}
        )
        return 500, JSON_HEADERS, dumped({"error": "internal error; the server's log says more"})

    def unparsed(self, status: int, reason: str, asked: tuple[str, str], headers: list[tuple[bytes, bytes]]) -> Answer:
        """The answer to what is no request, or none in time, behind which the connection is closed; counted and logged.

        `asked` is the method and the path where it is the body that is at fault; `headers` are those read.
        """
        request = Request(*asked, headers)
        with contextlib.suppress(NotFoundError):
            self.identify(request)
        body = dumped({"error": reason})
        done = self.finished(request, (status, JSON_HEADERS, body))
        return status, done if self.dataplane.draining else [*done, (b"connection", b"close")], body

    async def respond(self, request: Request, answer: Answer, send: Send) -> None:
        """Send the answer."""
        status, headers, body = answer
        if 0 < self.settings.gzip_min <= len(body):
            headers, body = await self.compressed(request, headers, body)
        headers = self.finished(request, (status, headers, body))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def finished(self, request: Request, answer: Answer) -> list[tuple[bytes, bytes]]:
        """All headers of an answer, which is counted and logged. While we drain, connections are closed behind it."""
        status, headers, body = answer
        headers = [*headers, (b"content-length", str(len(body)).encode()), (b"x-request-id", request.id)]
        if self.dataplane.draining:
            headers.append((b"connection", b"close"))
        if request.infers:
            seconds = time.perf_counter() - request.start
            self.telemetry.answered(request.model, request.version, request.protocol, status, seconds)
        if self.sampled(fault=status >= 400):
            level = logging.INFO if status < 500 else logging.WARNING
            event(level, "request", status=status, **self.fields(request))
        return headers

    async def compressed(
        self, request: Request, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Headers and body of a large answer, compressed where the client accepts that and it pays."""
        headers = [*headers, (b"vary", b"Accept-Encoding")]
        if compression.accepts_gzip(request.headers.get(b"accept-encoding", b"")):
            small = await compression.shrunk(body)
            if small is not None:
                return [*headers, (b"content-encoding", b"gzip")], small
        return headers, body

    def fields(self, request: Request) -> dict[str, Any]:
        """What the log says of a request; no header but its id, no body."""
        return {
            "request_id": request.id.decode(),
            "method": request.method,
            "path": request.path[:200],
            "model": request.model,
            "version": request.version,
            "duration_ms": round((time.perf_counter() - request.start) * 1000, 3),
        }

    async def answer(self, request: Request, receive: Receive) -> Answer:
        """The answer to a request. Raises RequestError."""
        if request.path not in OPEN_PATHS and not self.log_control.judges(request.method, request.path):
            self.token.check(request.headers.get(b"authorization"))
        found = self.identify(request)
        if request.path == LOGGING_PATH and request.method not in READING:
            return await self.set_log_level(request, receive)
        if found is None:
            return self.server_answer(request)
        name, version, action = found["model"], found["version"], found["action"]
        if request.infers:
            allow(request, "POST")
            return await self.infer(request, receive, name, version)
        allow(request, "GET")
        if action == "ready":
            document = self.dataplane.model_readiness(name, version)
            return as_json(document, 200 if document["ready"] else 503)
        if action == "release":
            return as_json(self.dataplane.release(name, version))
        if action == "self-test":
            document = await self.dataplane.self_test(name, version)
            return as_json(document, 503 if document["passed"] is False else 200)
        return as_json(self.dataplane.model_metadata(name, version))

    def identify(self, request: Request) -> re.Match[str] | None:
        """What a path about a model names, noted in the request; None for another path. Raises NotFoundError."""
        found = MODEL_PATH.fullmatch(request.path)
        if found is None:
            return None
        request.infers = found["action"] == "infer"
        if found["model"] in self.dataplane.repository.models:  # only names that exist become labels of metrics
            known = self.dataplane.repository.entry(found["model"], found["version"])
            request.model, request.version = known.name, known.version
        return found

    def server_answer(self, request: Request) -> Answer:
        """The answer to a path that is about no model."""
        path = request.path
        if path not in SERVER_PATHS:
            raise NotFoundError(f"no such path {quoted(path)}; start at /v2")
        allow(request, "GET")
        if path == LOGGING_PATH:
            return as_json(self.log_control.document())
        if path == "/metrics":
            return 200, [(b"content-type", CONTENT_TYPE)], self.telemetry.text(ready=self.dataplane.ready())
        if path == "/openapi.json":
            from serving_image import openapi  # few ask for it: its memory is taken when somebody does

            return 200, JSON_HEADERS, openapi.text()
        if path == "/v2/health/live":
            return as_json({"live": True})
        if path == "/v2/health/ready":
            document = self.dataplane.readiness()
            return as_json(document, 200 if document["ready"] else 503)
        return as_json(self.dataplane.server_metadata())

    async def set_log_level(self, request: Request, receive: Receive) -> Answer:
        """Change the log level. Raises RequestError."""
        if request.method != "POST":
            raise WrongMethodError(request.method, request.path, ", ".join((*READING, "POST")))
        self.log_control.check(request.headers)
        body = await self.bodies.read(receive, request.headers, MOST_BYTES, "send the settings alone")
        return as_json(self.log_control.change(body))

    async def infer(self, request: Request, receive: Receive, name: str, version: str | None) -> Answer:
        """One inference. Raises RequestError."""
        self.dataplane.repository.entry(name, version)
        header = request.headers.get(HEADER_BYTES)
        if header is None:
            limit, hint = self.settings.max_json, "send binary tensor data, or raise --max-json-mib"
        else:
            limit, hint = self.settings.max_body, "send less at once, or raise --max-body-mib"
        body = await self.bodies.read(receive, request.headers, limit, hint)
        decoded, wanted = protocol_rest.decode(name, version, body, header, self.settings.max_json)
        left = self.settings.timeout - (time.perf_counter() - request.start)
        response = await self.dataplane.infer(decoded, max(0.0, left))
        encoded, headers = protocol_rest.encode(response, wanted)
        return 200, headers, encoded


def as_json(document: dict[str, Any], status: int = 200) -> Answer:
    """An answer of JSON."""
    return status, JSON_HEADERS, dumped(document)


def allow(request: Request, method: str) -> None:
    """Raise WrongMethodError unless the request has that method; whoever takes GET takes HEAD."""
    methods = READING if method == "GET" else (method,)
    if request.method not in methods:
        raise WrongMethodError(request.method, request.path[:200], ", ".join(methods))
