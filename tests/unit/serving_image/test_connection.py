"""Connections: answers in one piece, and clients that never come to the point."""

import asyncio
import json
import socket
import threading
import time

import pytest

from serving_image import connection
from serving_image.corked import Corked
from tests.service import closed


class Transport:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("pieces", "written"),
    [
        ([b"head", b"body"], [b"headbody"]),
        ([b"head", b"x" * 70_000], [b"head", b"x" * 70_000]),
        ([b"x" * 70_000, b"tail"], [b"x" * 70_000, b"tail"]),
    ],
)
def test_what_is_written_in_one_turn_is_sent_once(pieces: list[bytes], written: list[bytes]) -> None:
    async def body() -> list[bytes]:
        transport = Transport()
        corked = Corked(transport, asyncio.get_running_loop())
        for piece in pieces:
            corked.write(piece)
        await asyncio.sleep(0)
        return transport.written

    assert asyncio.run(body()) == written


def test_close_sends_first() -> None:
    async def body() -> Transport:
        transport = Transport()
        corked = Corked(transport, asyncio.get_running_loop())
        corked.write(b"last words")
        corked.close()
        await asyncio.sleep(0)
        return transport

    transport = asyncio.run(body())
    assert (transport.written, transport.closed) == ([b"last words"], True)


def test_a_head_without_end_is_refused(server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:

        def flood() -> None:
            """Send one header for as long as the server takes it."""
            try:
                client.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\nA: ")
                for _ in range(2000):
                    client.sendall(b"a" * 1000)
            except OSError:
                pass

        sender = threading.Thread(target=flood)
        sender.start()
        try:
            answer = client.recv(1000)
        except ConnectionError:  # the server closed while we were sending, which is as good
            answer = b"HTTP/1.1 400"
        sender.join(10)
    assert answer.startswith(b"HTTP/1.1 400")
    assert server.get("/v2/health/ready").status_code == 200


def test_a_head_in_pieces_is_read(server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        for piece in (b"GET /v2/health", b"/live HTTP/1.1\r\nHo", b"st: x\r\n", b"\r\n"):
            client.sendall(piece)
            time.sleep(0.05)
        assert client.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_head_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, released) -> None:
    from serving_image.dataplane import DataPlane
    from serving_image.repository import Repository
    from serving_image.server import Server, listen
    from serving_image.settings import parse
    from serving_image.telemetry import Telemetry

    monkeypatch.setattr(connection, "HEAD_S", 0.1)

    async def body() -> bytes:
        settings = parse([f"--models={released.models}", "--port=0"], {})
        listener = listen(settings.host, settings.port)
        server = Server(DataPlane(Repository(settings.models), settings, Telemetry()))
        serving = asyncio.create_task(server._serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET /v2 HTTP/1.1\r\nHost")
        answer = await asyncio.wait_for(reader.read(), 60)
        await closed(writer)
        server.should_exit = True
        await serving
        return answer

    head, _, content = asyncio.run(body()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408") and b"connection: close" in head
    assert json.loads(content) == {"error": "the request's head did not come in time"}
