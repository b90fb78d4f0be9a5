"""Bytes of requests and answers, as ASGI hands them over."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from tests.cluster_api import routes, statuses
from tests.cluster_api.api import Answer

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

JSON = "application/json"


def parsed(target: routes.Target, body: bytes, media_type: str) -> Any:
    """A request's body; 400, 415."""
    if target.verb in ("get", "list", "watch") or (target.verb.startswith("delete") and not body):
        return None
    if target.combined == "pods/log" and media_type != JSON:
        return {"text": body.decode()}
    if target.verb != "patch" and media_type != JSON:
        raise statuses.unsupported([JSON])
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise statuses.bad_request(f"couldn't get version/kind; json parse error: {error}") from error


async def whole(receive: Receive) -> bytes:
    """A request's body."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def disconnected(receive: Receive) -> None:
    """Ends when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def begin(send: Send, code: int, media_type: str, more: Headers = ()) -> None:
    """The head of an answer."""
    headers = [
        (b"audit-id", str(uuid.uuid4()).encode()), (b"cache-control", b"no-cache, private"),
        (b"content-type", media_type.encode()), *more,
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": code, "headers": headers})


async def plain(send: Send, found: Answer, more: Headers = ()) -> None:
    """A whole answer."""
    text = isinstance(found.content, str)
    body = found.content.encode() if isinstance(found.content, str) else orjson.dumps(found.content)
    length = (b"content-length", str(len(body)).encode())
    await begin(send, found.code, "text/plain; charset=utf-8" if text else JSON, (length, *more))
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, error: statuses.ApiError | statuses.PlainError) -> None:
    """The answer that an error is."""
    if isinstance(error, statuses.PlainError):
        await plain(send, Answer(error.code, error.text))
        return
    after = error.details.get("retryAfterSeconds")
    headers: Headers = () if after is None else ((b"retry-after", str(after).encode()),)
    await plain(send, Answer(error.code, error.document), headers)
