"""The process: limits under load, time-outs, and an end that drops nobody."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from serving_image.server import listen

DIGITS = "/v2/models/digits"
BODY = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}]}
SLOW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [0.001]}]}


def post_slow(server) -> requests.Response:
    """One request on a connection of its own."""
    session = requests.Session()
    session.trust_env = False
    with session:
        return session.post(server.url("/v2/models/slow/infer"), json=SLOW, timeout=60)


def test_over_the_bound_clients_are_told_to_come_back(slow: Path, start) -> None:
    server = start(slow, "--queue=1").wait_ready()
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda _: post_slow(server), range(12)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "1" and "wait for this model" in refused.json()["error"]
    assert max(answer.elapsed.total_seconds() for answer in answers if answer.status_code == 503) < max(
        answer.elapsed.total_seconds() for answer in answers if answer.status_code == 200
    )
    assert post_slow(server).status_code == 200


def test_a_request_that_takes_too_long_is_stopped(slow: Path, start) -> None:
    server = start(slow, "--request-timeout-seconds=0.05").wait_ready()
    for _ in range(3):
        answer = post_slow(server)
        assert answer.status_code == 504 and "within 0.05 s" in answer.json()["error"]
    assert server.get("/v2/health/ready").status_code == 200


def test_bodies_over_the_limit_are_413(released, start) -> None:
    server = start(released.models, "--max-body-mib=0.01", "--max-json-mib=0.001").wait_ready()
    answer = server.post(f"{DIGITS}/infer", data=b" " * 2000)
    assert answer.status_code == 413 and "--max-json-mib" in answer.json()["error"]
    headers = {"Inference-Header-Content-Length": "2"}
    answer = server.post(f"{DIGITS}/infer", data=b"{}" + b" " * 20_000, headers=headers)
    assert answer.status_code == 413 and "--max-body-mib" in answer.json()["error"]
    answer = server.post(f"{DIGITS}/infer", data=iter([b" " * 600] * 10))
    assert answer.status_code == 413
    answer = server.post(f"{DIGITS}/infer", data=b"{}", headers={"Content-Encoding": "br"})
    assert answer.status_code == 415
    assert server.post(f"{DIGITS}/infer", json=BODY).status_code == 200


def test_a_body_that_never_comes_is_408(released, start) -> None:
    server = start(released.models, "--request-timeout-seconds=0.2").wait_ready()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"POST {DIGITS}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")


class Load(threading.Thread):
    """Sends requests until it is told to stop or the server is gone; counts what came back, and when."""

    def __init__(self, server, keep_alive: bool) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.keep_alive = keep_alive
        self.stopping = threading.Event()
        self.answers: list[tuple[float, int]] = []
        self.failures: list[tuple[float, str]] = []

    def run(self) -> None:
        session = requests.Session()
        session.trust_env = False
        headers = {} if self.keep_alive else {"Connection": "close"}
        while not self.stopping.is_set():
            begun = time.monotonic()
            try:
                answer = session.post(self.server.url(f"{DIGITS}/infer"), json=BODY, headers=headers, timeout=30)
                self.answers.append((begun, answer.status_code))
            except requests.RequestException as error:
                self.failures.append((begun, repr(error)))
        session.close()


def test_nobody_is_dropped_while_it_drains(released, start) -> None:
    server = start(released.models, "--drain-seconds=3").wait_ready()
    clients = [Load(server, keep_alive) for keep_alive in (True, True, False, False)]
    for client in clients:
        client.start()
    time.sleep(0.5)
    signalled = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    while (ready := requests.get(server.url("/v2/health/ready"), timeout=30, proxies={"http": ""})).status_code == 200:
        assert time.monotonic() - signalled < 30
    assert ready.status_code == 503
    assert ready.json() == {**ready.json(), "ready": False, "state": "draining", "error": "shutting down"}
    assert ready.headers["connection"] == "close"
    time.sleep(0.5)
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(60)
    assert [client.failures for client in clients] == [[], [], [], []]
    assert all(status == 200 for client in clients for _, status in client.answers)
    assert all(any(begun > signalled for begun, _ in client.answers) for client in clients)
    assert server.process.wait(60) == 0
    assert time.monotonic() - signalled > 2.9


def test_what_was_begun_is_finished(slow: Path, start) -> None:
    server = start(slow).wait_ready()
    post_slow(server)
    with ThreadPoolExecutor(2) as clients:
        pending = [clients.submit(post_slow, server) for _ in range(2)]
        server.wait_in_flight("slow", 2)
        server.process.send_signal(signal.SIGTERM)
        assert [one.result(60).status_code for one in pending] == [200, 200]
    assert server.process.wait(30) == 0


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])
def test_an_interrupt_or_a_second_signal_ends_it_without_draining(released, start, signals: list[int]) -> None:
    server = start(released.models, "--drain-seconds=60").wait_ready()
    for sig in signals:
        server.process.send_signal(sig)
        time.sleep(1)  # two that come together are one
    assert server.process.wait(30) == 0  # less than the drain


def test_a_signal_while_loading_ends_it_too(released, start) -> None:
    server = start(released.models)
    assert server.stop() == 0


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program to its end."""
    command = [sys.executable, "-m", "serving_image", *arguments]
    root = Path(__file__).parents[3]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=root, env={**os.environ, **environment}, check=False
    )


def test_an_address_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(f"--models={tmp_path}", f"--port={taken.getsockname()[1]}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot listen on 127.0.0.1 port" in json.loads(line)["message"]


def test_a_host_that_does_not_exist(tmp_path: Path) -> None:
    done = run(f"--models={tmp_path}", "--host=nowhere.invalid")
    assert done.returncode == 1
    assert "cannot listen on nowhere.invalid" in json.loads(done.stderr)["message"]


def test_help_and_wrong_usage() -> None:
    assert "curl" in run("--help").stdout
    done = run(NEAREDGE_PORT="x")
    assert done.returncode == 2 and "'x' is no number" in done.stderr


def test_it_needs_no_folder_that_it_may_write(released, start, tmp_path: Path) -> None:
    import shutil

    models = shutil.copytree(released.models, tmp_path / "models")
    for path in models.rglob("*"):
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | (stat.S_IXUSR if path.is_dir() else 0))
    before = sorted(models.rglob("*"))
    server = start(models, HOME="/nonexistent", TMPDIR="/nonexistent").wait_ready()
    assert server.post(f"{DIGITS}/infer", json=BODY).status_code == 200
    assert sorted(models.rglob("*")) == before
    opened = {str(path.readlink()) for path in Path(f"/proc/{server.process.pid}/fd").iterdir()}
    assert not [path for path in opened if path.startswith("/") and not path.startswith(("/dev/", str(tmp_path)))]


def test_connections_do_not_wait_for_delayed_acknowledgements() -> None:
    with (
        listen("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_it_listens_on_version_6_of_the_protocol() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with listen("::", 0) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=30).close()


def test_body_and_computing_have_one_time_together(slow: Path, start) -> None:
    server = start(slow, "--request-timeout-seconds=2").wait_ready()
    content = json.dumps(SLOW).encode()
    head = f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head + content[:9])
        time.sleep(1.9)
        with contextlib.suppress(ConnectionError):  # it is late already where this process was held up
            connection.sendall(content[9:])
        assert connection.recv(1000).startswith((b"HTTP/1.1 504", b"HTTP/1.1 408"))  # in 2 s anew it would be computed


def test_a_share_of_the_requests_is_logged(released, start) -> None:
    server = start(released.models, "--access-log=0.1").wait_ready()
    for at in range(50):
        assert server.post(f"{DIGITS}/infer", json=BODY, headers={"x-request-id": f"good-{at}"}).status_code == 200
    for at in range(7):
        assert server.post(f"{DIGITS}/infer", data=b"x", headers={"x-request-id": f"bad-{at}"}).status_code == 400
    ids = [line["request_id"] for line in server.lines() if line["message"] == "request"]
    assert len([one for one in ids if one.startswith("bad-")]) == 7
    assert 4 <= len([one for one in ids if one.startswith("good-")]) <= 5
