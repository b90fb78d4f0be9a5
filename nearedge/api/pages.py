"""Parts of lists, and entity tags: the same document has the same tag, so that who has it need not get it again."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query, Request, Response
from fastapi.responses import Response as Plain
from pydantic import BaseModel

from nearedge.api.models import Page
from nearedge.api.problems import ProblemError

Item = TypeVar("Item")
LARGEST = 500
LONGEST_CURSOR = 1024

Limit = Annotated[int, Query(ge=1, le=LARGEST, description="most items of the answer")]
After = Annotated[str | None, Query(max_length=LONGEST_CURSOR, description="`next` of the part before")]
UNCHANGED: dict[int | str, dict[str, object]] = {304: {"description": "the client has it already"}}
"""Documented on each route whose answer has an entity tag."""


def part(items: Sequence[Item], key: Callable[[Item], str], limit: int, after: str | None) -> Page[Item]:
    """The items behind `after`, `limit` at the most; `items` are in the order of `key`, which is unique.

    Items that came or went meanwhile neither repeat nor hide others. Raises ProblemError for a cursor that is none.
    """
    start = read_cursor(after) if after is not None else None
    left = [item for item in items if start is None or key(item) > start]
    more = cursor(key(left[limit - 1])) if len(left) > limit else None
    return Page[Item](items=left[:limit], next=more)


def cursor(key: str) -> str:
    """A key as clients hand it back; nothing for them to read."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def read_cursor(text: str) -> str:
    """The key. Raises ProblemError where we never gave out such a one."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise ProblemError(400, "after: is no cursor of ours; take `next` of an answer as it is") from error


def tagged(request: Request, response: Response, document: BaseModel) -> BaseModel | Response:
    """`document` with its entity tag; an empty 304 where the client has it already (RFC 9110, 13.1.2)."""
    tag = entity_tag(document)
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Plain(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return document


def entity_tag(document: BaseModel) -> str:
    """A strong tag: of the document's JSON."""
    return f'"{hashlib.sha256(document.model_dump_json().encode()).hexdigest()[:32]}"'


def unchanged(request: Request, document: BaseModel) -> None:
    """Raise ProblemError 412 where the client says If-Match and means an earlier state (RFC 9110, 13.1.1)."""
    wanted = request.headers.get("if-match")
    if wanted is not None and wanted.strip() != "*":
        tags = [one.strip() for one in wanted.split(",")]
        if entity_tag(document) not in tags:
            raise ProblemError(412, "it has changed since you read it; read it again and decide anew")
