"""Large bodies, read straight into their place: in any pieces, with what follows them, and from clients that leave."""

import json
import socket
import ssl
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

ROWS = 1000
VALUES = np.random.default_rng(1).random((ROWS, 1, 8, 8), dtype=np.float32)


def head(length: int, header: int, more: str = "", path: str = "/v2/models/digits/infer") -> bytes:
    lines = f"Host: x\r\nContent-Length: {length}\r\nInference-Header-Content-Length: {header}\r\n{more}"
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode()


def body() -> tuple[bytes, int]:
    """A binary request of 256 kB, and the length of its JSON part."""
    tensor = {"name": "image", "datatype": "FP32", "shape": [ROWS, 1, 8, 8]}
    asked = [{"name": "logits", "parameters": {"binary_data": True}}]
    text = {"inputs": [{**tensor, "parameters": {"binary_data_size": VALUES.nbytes}}], "outputs": asked}
    encoded = json.dumps(text).encode()
    return encoded + VALUES.tobytes(), len(encoded)


def connect(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the next answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(1)
    lines = received.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    content = b""
    while len(content) < int(headers["content-length"]):
        content += client.recv(int(headers["content-length"]) - len(content))
    return int(lines[0].split()[1]), headers, content


@pytest.mark.parametrize("piece", [1 << 30, 200_000, 65_536, 50_001])
def test_in_pieces_of_any_size_and_again_on_the_same_connection(server, piece: int) -> None:
    content, header = body()
    whole = head(len(content), header) + content
    found = []
    with connect(server) as client:
        for _ in range(2):
            for at in range(0, len(whole), piece):
                client.sendall(whole[at : at + piece])
                if piece < len(whole):
                    time.sleep(0.01)
            found.append(answer(client))
    assert [(status, "connection" in headers) for status, headers, _ in found] == [(200, False)] * 2
    logits = [np.frombuffer(content[-ROWS * 10 * 4 :], np.float32) for _, _, content in found]
    assert (logits[0] == logits[1]).all() and np.unique(logits[0]).size > ROWS


def test_what_follows_a_body_is_the_next_request(server) -> None:
    content, header = body()
    with connect(server) as client:
        client.sendall(head(len(content), header) + content[:1000])
        time.sleep(0.05)
        live = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        client.sendall(content[1000:] + live + head(len(content), header) + content + live)
        found = [answer(client) for _ in range(4)]
    assert [status for status, _, _ in found] == [200, 200, 200, 200]
    assert json.loads(found[1][2]) == json.loads(found[3][2]) == {"live": True}
    assert found[0][2][-1000:] == found[2][2][-1000:]


def test_a_body_that_is_not_read_is_passed_over(server) -> None:
    content, header = body()
    with connect(server) as client:
        client.sendall(head(len(content), header, path="/v2/models/unknown/infer") + content)
        client.sendall(head(len(content), header) + content)
        assert [answer(client)[0] for _ in range(2)] == [404, 200]


def test_a_client_that_waits_to_be_told(server) -> None:
    content, header = body()
    with connect(server) as client:
        client.sendall(head(len(content), header, "Expect: 100-continue\r\n"))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(content)
        assert answer(client)[0] == 200


def test_clients_that_leave_or_stop_in_the_middle(released, start) -> None:
    server = start(released.models, "--request-timeout-seconds=1.5", "--max-body-mib=0.3").wait_ready()
    content, header = body()
    for _ in range(3):  # what they were given is given back: three of them together are over the bound
        with connect(server) as client:
            client.sendall(head(len(content), header) + content[:100_000])
    until, status = time.monotonic() + 30, 503
    while status == 503:  # until the server has seen them go
        assert time.monotonic() < until
        with connect(server) as client:
            client.sendall(head(len(content), header) + content[:100_000])
            status, headers, said = answer(client)
            closed = status == 408 and client.recv(1) == b""
    assert (status, headers["connection"], closed) == (408, "close", True) and b"did not arrive within" in said
    content, header = body()
    clients = [connect(server) for _ in range(3)]
    for client in clients:
        client.sendall(head(len(content), header) + content[:100_000])
    assert sorted(answer(client)[0] for client in clients) == [408, 408, 503]
    for client in clients:
        client.close()
    assert server.get("/v2/health/ready").status_code == 200


def test_over_tls_and_again_on_the_same_connection(released, start, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = start(released.models, f"--tls-cert={certificate}", f"--tls-key={key}").wait_ready()
    context = ssl.create_default_context(cafile=certificate)
    content, header = body()
    whole = head(len(content), header) + content
    with connect(server) as plain, context.wrap_socket(plain, server_hostname="localhost") as client:
        for piece in (1 << 30, 100_000):
            for at in range(
                0, 2 * len(whole), piece
            ):  # two requests, the second in the same records as the first's end
                client.sendall((whole + whole)[at : at + piece])
            assert [answer(client)[0] for _ in range(2)] == [200, 200]
