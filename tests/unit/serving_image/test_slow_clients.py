"""Clients that hold us up: slow heads and bodies, silence, answers that nobody takes, handshakes that never end."""

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests

from serving_image import server as server_module
from serving_image.dataplane import DataPlane
from serving_image.repository import Repository
from serving_image.server import Server, listen
from serving_image.settings import parse
from serving_image.telemetry import Telemetry
from tests.service import closed

DIGITS = "/v2/models/digits"
ROWS = 120_000


@pytest.fixture(scope="module")
def hasty(released, tools, tmp_path_factory: pytest.TempPathFactory):
    """A server that gives a request a second."""
    log = tmp_path_factory.mktemp("hasty") / "log"
    with tools.started(released.models, log, "--request-timeout-seconds=1") as running:
        yield running.wait_ready()


@pytest.fixture(scope="module")
def patient(released, tools, tmp_path_factory: pytest.TempPathFactory):
    """A server that gives a request 4 s: enough for one of 30 MB on a machine that has more to do."""
    log = tmp_path_factory.mktemp("patient") / "log"
    with tools.started(released.models, log, "--request-timeout-seconds=4") as running:
        yield running.wait_ready()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost; its key lies beside it."""
    folder = tmp_path_factory.mktemp("tls")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*make, *names, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True
    )
    return folder / "cert.pem"


@pytest.fixture(scope="module")
def secured(released, tools, certificate: Path, tmp_path_factory: pytest.TempPathFactory):
    """A server with TLS on both ports for four clients at a time, that gives a request 2 s."""
    options = (f"--tls-cert={certificate}", f"--tls-key={certificate.with_name('key.pem')}")
    log = tmp_path_factory.mktemp("secured") / "log"
    with tools.started(released.models, log, *options, "--max-connections=4", "--request-timeout-seconds=2") as running:
        running.wait_for("server ready", 60)
        yield running


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def works(running) -> bool:
    return requests.get(running.url("/v2/health/live"), timeout=15, proxies={"http": ""}).status_code == 200


def test_a_head_byte_by_byte_has_one_time(hasty) -> None:
    head = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 500
    sent = 0
    with connect(hasty.port) as client:
        try:
            for at in range(len(head)):
                client.sendall(head[at : at + 1])
                sent += 1
                time.sleep(0.05)
        except ConnectionError:
            pass
    assert sent < len(head) and works(hasty)


def test_a_body_byte_by_byte_has_one_time(hasty) -> None:
    with connect(hasty.port) as client:
        client.sendall(f"POST {DIGITS}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode())
        client.setblocking(False)
        answer = b""
        for _ in range(200):
            try:
                answer = client.recv(1000)
                break
            except BlockingIOError:
                client.send(b" ")
                time.sleep(0.05)
    assert answer.startswith(b"HTTP/1.1 408")
    assert works(hasty)


def test_who_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch, released) -> None:
    monkeypatch.setattr(server_module, "KEEP_ALIVE_S", 0.3)

    async def body() -> list[bytes]:
        settings = parse([f"--models={released.models}", "--port=0"], {})
        listener = listen(settings.host, settings.port)
        running = Server(DataPlane(Repository(settings.models), settings, Telemetry()))
        serving = asyncio.create_task(running._serve([listener]))
        said = []
        for request in (b"", b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(request)
            said.append((await asyncio.wait_for(reader.read(), 60))[:12])
            await closed(writer)
        running.should_exit = True
        await serving
        return said

    assert asyncio.run(body()) == [b"", b"HTTP/1.1 200"]


def large() -> bytes:
    """A request whose answer has 9.6 MB: more than the kernel keeps for a client."""
    image = {"name": "image", "datatype": "FP32", "shape": [ROWS, 1, 8, 8]}
    values = np.zeros((ROWS, 1, 8, 8), np.float32).tobytes()
    entry = {**image, "parameters": {"binary_data_size": len(values)}}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    lines = f"Content-Length: {len(head) + len(values)}\r\nInference-Header-Content-Length: {len(head)}\r\n"
    return f"POST {DIGITS}/infer HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + head + values


@pytest.mark.parametrize("count", [1, 4])
def test_who_does_not_take_its_answers_is_let_go(patient, count: int) -> None:
    """One answer, or several that were asked for at once."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(15)
        client.connect(("127.0.0.1", patient.port))
        client.sendall(large())
        client.setblocking(False)
        asked = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 400
        deadline = time.monotonic() + 60
        while open_sockets(patient, client) and time.monotonic() < deadline:
            if count > 1:
                try:
                    client.send(asked)
                except OSError:
                    time.sleep(0.05)
            time.sleep(0.1)
        assert not open_sockets(patient, client)
    assert works(patient)


def open_sockets(running, client: socket.socket) -> int:
    """Sockets that the server has open for this client."""
    port = client.getsockname()[1]
    lines = Path(f"/proc/{running.process.pid}/net/tcp").read_text().splitlines()[1:]
    sides = [line.split()[1:4] for line in lines]
    return sum(local.endswith(f":{running.port:04X}") and far.endswith(f":{port:04X}") and state == "01"
               for local, far, state in sides)  # fmt: skip


@pytest.fixture(params=["port", "grpc_port"])
def port(secured, request: pytest.FixtureRequest) -> Iterator[int]:
    """Each of the two ports."""
    yield getattr(secured, request.param)


def test_handshakes_that_never_end_hold_nobody_up(secured, certificate: Path, port: int) -> None:
    silent = [connect(port) for _ in range(30)]
    try:
        assert tls_works(secured, certificate)
        silent[-1].settimeout(10)
        assert silent[-1].recv(1) == b""
    finally:
        for one in silent:
            one.close()


def test_handshakes_that_fail_are_forgotten(secured, certificate: Path, port: int) -> None:
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xff\x01" + bytes(20)):
        for _ in range(6):
            with connect(port) as client:
                client.sendall(said)
    assert tls_works(secured, certificate)


def test_what_comes_with_the_end_of_the_handshake_is_read(secured, certificate: Path) -> None:
    """The client's last flight and its request in one segment, as by TLS 1.3."""
    context = ssl.create_default_context(cafile=certificate)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with connect(secured.port) as plain:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(1 << 16))
        client.write(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        plain.sendall(outgoing.read())
        answer = b""
        while not answer:
            incoming.write(plain.recv(1 << 16))
            with contextlib.suppress(ssl.SSLWantReadError):  # what came was about the session
                answer = client.read(12)
    assert answer == b"HTTP/1.1 200"


def tls_works(running, certificate: Path) -> bool:
    """Whether both ports answer."""
    url = f"https://localhost:{running.port}/v2/health/live"
    with requests.Session() as session:
        session.trust_env = False
        live = session.get(url, verify=str(certificate), timeout=15).status_code == 200
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{running.grpc_port}", credentials) as channel:
        answer = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=15)
    return live and answer == b"\x08\x01"
