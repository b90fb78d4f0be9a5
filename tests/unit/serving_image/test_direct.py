"""Requests that are answered in the turn that read them: no client can tell them from the others."""

import asyncio
import gzip
import json
import re
import struct
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serving_image.at_once import AtOnce
from serving_image.dataplane import DataPlane
from serving_image.repository import Repository
from serving_image.server import Server, listen
from serving_image.settings import parse
from serving_image.telemetry import Telemetry

IMAGE: dict[str, Any] = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8]}
DATA = [at / 64 for at in range(64)]
JSON = json.dumps({"id": "7", "inputs": [{**IMAGE, "data": DATA}]}).encode()
HEAD = json.dumps({"inputs": [{**IMAGE, "parameters": {"binary_data_size": 256}}]}).encode()
BINARY = HEAD + struct.pack("<64f", *DATA)
LENGTH = {"Inference-Header-Content-Length": str(len(HEAD))}
PATH = "/v2/models/digits/infer"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def post(body: bytes, path: str = PATH, version: str = "1.1", method: str = "POST", **headers: str) -> bytes:
    """A whole request."""
    given = {"Host": "x", "X-Request-Id": "me", "Content-Length": str(len(body)), **headers}
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


CHUNKED = (
    f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{len(JSON):x}\r\n".encode()
    + JSON
    + b"\r\n0\r\n\r\n"
)
NAN = json.dumps({"inputs": [{**IMAGE, "data": [1e999, *DATA[1:]]}]}).encode()
CASES: dict[str, tuple[bool, list[bytes]]] = {
    "json": (True, [post(JSON)]),
    "a version": (True, [post(JSON, "/v2/models/digits/versions/1/infer")]),
    "binary": (True, [post(BINARY, **LENGTH)]),
    "two at once": (True, [post(JSON) + post(BINARY, **LENGTH)]),
    "one after the other": (True, [post(JSON), post(JSON)]),
    "no JSON": (True, [post(b"{")]),
    "wrong shape": (True, [post(JSON.replace(b"[1, 1, 8, 8]", b"[1, 1, 4, 16]"))]),
    "not finite": (True, [post(NAN)]),
    "wrong header length": (True, [post(BINARY, **{"Inference-Header-Content-Length": "99999"})]),
    "in pieces": (False, [post(JSON)[:200], post(JSON)[200:]]),
    "head, then body": (False, [post(JSON)[: -len(JSON)], JSON]),
    "chunked": (False, [CHUNKED]),
    "gzip": (False, [post(gzip.compress(JSON), **{"Content-Encoding": "gzip"})]),
    "continue": (False, [post(JSON, Expect="100-continue")]),
    "upgrade": (False, [post(JSON, Connection="upgrade", Upgrade="h2c")]),
    "close": (False, [post(JSON, Connection="close")]),
    "http 1.0": (False, [post(JSON, version="1.0")]),
    "a query": (False, [post(JSON, f"{PATH}?a=1")]),
    "another method": (False, [post(JSON, method="PUT")]),
    "no such model": (False, [post(JSON, "/v2/models/none/infer")]),
    "no body": (False, [post(b"")]),
    "behind one that waits": (False, [b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n" + post(JSON)]),
}


@asynccontextmanager
async def serving(released: Any, *arguments: str) -> Any:
    """The real server in this process, with its model ready; its port and the data plane."""
    settings = parse([f"--models={released.models}", "--port=0", *arguments], {})
    listener = listen("127.0.0.1", 0)
    plane = DataPlane(Repository(settings.models), settings, Telemetry())
    await plane.load()
    server = Server(plane)
    task = asyncio.create_task(server._serve([listener]))
    try:
        yield listener.getsockname()[1], plane
    finally:
        server.should_exit = True
        await task


async def told(port: int, pieces: list[bytes], *, closes: bool = False) -> bytes:
    """What the server says to the pieces, and to a last request on the same connection where that stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    closes = closes or b"HTTP/1.0" in pieces[0] or b"Connection: close" in pieces[0]
    for piece in pieces if closes else [*pieces, LIVE]:
        writer.write(piece)
        await asyncio.sleep(0.01)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    answer = re.sub(rb"\r\nx-request-id: [0-9a-f]{16}\b", b"\r\nx-request-id: any", answer)
    return re.sub(rb"date: [^\r]*\r\n", b"", answer)


def trust(plane: DataPlane, *, quick: bool) -> None:
    """Make every pool sure that its model is quick, or that it is not."""
    for entry in plane.repository.entries():
        assert entry.loaded is not None
        entry.loaded.pool.mean, entry.loaded.pool.quick_bytes = (0.0, 1 << 20) if quick else (1.0, 0)


@pytest.fixture(scope="module")
def answers(released) -> Iterator[dict[str, tuple[bytes, bytes, int]]]:
    """For each case what is said where nothing is quick and where all is, and how many were then answered at once."""
    counted: list[bool] = []
    ordinary = AtOnce.__call__

    def count(self: AtOnce, *given: Any) -> Any:
        reply = ordinary(self, *given)
        counted.append(reply is not None)
        return reply

    async def body() -> dict[str, tuple[bytes, bytes, int]]:
        found = {}
        async with serving(released) as (port, plane):
            for name, (_, pieces) in CASES.items():
                trust(plane, quick=False)
                slow = await told(port, pieces)
                trust(plane, quick=True)
                counted.clear()
                found[name] = slow, await told(port, pieces), sum(counted)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AtOnce, "__call__", count)
        yield asyncio.run(body())


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_the_same_either_way(answers, name: str) -> None:
    slow, quick, at_once = answers[name]
    assert quick == slow
    assert quick.startswith(b"HTTP/1.1 ") and b"HTTP/1.1 500" not in quick
    assert (at_once > 0) == CASES[name][0]


def test_the_answers_are_right(answers) -> None:
    for name in ("json", "a version", "in pieces", "gzip"):
        head, _, rest = answers[name][1].partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK") and b"x-request-id: me" in head
        assert rest.startswith(b'{"model_name":"digits"') and b'"id":"7"' in rest
    assert answers["two at once"][1].count(b"HTTP/1.1 200 OK") == 3 and answers["two at once"][2] == 2
    assert answers["no JSON"][1].startswith(b"HTTP/1.1 400") and b"HTTP/1.1 200" in answers["no JSON"][1]


def test_what_is_over_a_limit_secret_or_to_be_compressed_is_as_before(released, tmp_path) -> None:
    (tmp_path / "token").write_text("sesame")

    async def body() -> None:
        async with serving(released, "--max-json-mib=0.001", f"--token-file={tmp_path / 'token'}") as (port, plane):
            trust(plane, quick=True)
            assert (await told(port, [post(b"{}")])).startswith(b"HTTP/1.1 401")
            allowed = {"Authorization": "Bearer sesame"}
            assert (await told(port, [post(JSON + b" " * 1024, **allowed)])).startswith(b"HTTP/1.1 413")
        async with serving(released, "--gzip-min-kib=0.1") as (port, plane):
            for _ in range(2):
                trust(plane, quick=True)
                answer = await told(port, [post(JSON, **{"Accept-Encoding": "gzip"})])
                assert answer.startswith(b"HTTP/1.1 200 OK") and b"vary: Accept-Encoding" in answer
            assert b"content-encoding: gzip" in answer

    asyncio.run(body())


def test_requests_are_counted_once_and_the_last_one_closes_while_we_drain(released) -> None:
    async def body() -> None:
        async with serving(released) as (port, plane):
            trust(plane, quick=True)
            await told(port, [post(JSON), post(b"{")])
            text = plane.telemetry.text(ready=True).decode()
            for code in (200, 400):
                assert f'version="1",protocol="rest",code="{code}"}} 1\n' in text
            assert 'nearedge_requests_in_flight{model="digits",version="1"} 0' in text
            plane.draining = True
            answer = await told(port, [post(JSON)], closes=True)
            assert answer.startswith(b"HTTP/1.1 200 OK") and b"\r\nconnection: close\r\n" in answer

    asyncio.run(body())


def test_what_nobody_foresaw_is_500_and_the_connection_lives(released, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> bytes:
        async with serving(released) as (port, plane):
            trust(plane, quick=True)
            monkeypatch.setattr(plane, "infer_at_once", lambda _: 1 / 0)
            return await told(port, [post(JSON)])

    answer = asyncio.run(body())
    assert answer.startswith(b"HTTP/1.1 500") and answer.count(b"HTTP/1.1 200 OK") == 1
