"""Bodies that are too large, too slow, too many or in pieces."""

import asyncio
from collections.abc import Iterable

import pytest

from serving_image.body import Bodies, DisconnectedError
from serving_image.faults import RequestError, SlowBodyError, TooLargeError, UnavailableError, WrongEncodingError


def piece(content: bytes, more: bool = True) -> dict:
    return {"type": "http.request", "body": content, "more_body": more}


def read(messages: Iterable[dict], headers: dict[bytes, bytes] | None = None, bodies: Bodies | None = None) -> bytes:
    """Read a body of at most 10 bytes that comes as `messages`; then nothing comes any more."""
    left = list(messages)

    async def receive() -> dict:
        if not left:
            await asyncio.sleep(60)
        return left.pop(0)

    return asyncio.run((bodies or Bodies(100, 0.05)).read(receive, headers or {}, 10, "send less"))


def test_whole_bodies() -> None:
    assert read([piece(b"abc", more=False)]) == b"abc"
    assert read([piece(b"abc"), piece(b""), piece(b"defg", more=False)]) == b"abcdefg"
    assert read([{"type": "http.request"}]) == b""


@pytest.mark.parametrize(
    ("messages", "headers", "fault"),
    [
        ([], {b"content-length": b"11"}, TooLargeError),
        ([piece(b"123456"), piece(b"12345")], {}, TooLargeError),
        ([piece(b"12345678901", more=False)], {}, TooLargeError),
        ([piece(b"1")], {}, SlowBodyError),
        ([], {}, SlowBodyError),
        ([piece(b"1")], {b"content-encoding": b"br"}, WrongEncodingError),
    ],
)
def test_refused_bodies(messages: list[dict], headers: dict[bytes, bytes], fault: type[RequestError]) -> None:
    with pytest.raises(fault):
        read(messages, headers)


def test_a_client_that_leaves() -> None:
    with pytest.raises(DisconnectedError):
        read([piece(b"1"), {"type": "http.disconnect"}])


def test_all_bodies_together_are_bounded_and_given_back() -> None:
    bodies = Bodies(8, 0.05)
    with pytest.raises(UnavailableError, match="large requests"):
        read([piece(b"123456"), piece(b"789", more=False)], {}, bodies)
    assert bodies.held == 0
    assert read([piece(b"1234"), piece(b"5678", more=False)], {}, bodies) == b"12345678"
    assert bodies.held == 0
