"""Registries to test against: docker-registry on a free loopback port, and one in this process that misbehaves."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

USER, PASSWORD = "edge", "seal-horn-7"
HTPASSWD = "edge:$2b$04$ig8HvYOYbIW4.cYEXLdypunhnvKnliMPzM08gQvq.98Pj2bggmmce\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "docker-registry ended"
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("docker-registry does not listen")


@pytest.fixture(scope="session")
def start_registry(tmp_path_factory):
    """A function that starts a docker-registry, given more lines of configuration; its host:port.

    Its `logs` has the path of each one's log, by host:port; level `info` logs every request with the bytes written.
    """
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed (apt-get install docker-registry)")
    running = []

    def start(http: str = "", more: str = "", storage: str = "", level: str = "error") -> str:
        folder, port = tmp_path_factory.mktemp("registry"), free_port()
        storage = storage or f"filesystem: {{rootdirectory: {folder}/data}}"
        (folder / "config.yml").write_text(
            f"version: 0.1\nlog: {{level: {level}}}\nhttp:\n  addr: 127.0.0.1:{port}\n{http}"
            f"storage: {{{storage}, delete: {{enabled: true}}}}\n{more}"
        )
        command = ["docker-registry", "serve", str(folder / "config.yml")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        running.append(process)
        wait_for(port, process)
        start.logs[f"127.0.0.1:{port}"] = folder / "log"
        return f"127.0.0.1:{port}"

    start.logs = {}
    yield start
    for process in running:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def plain_registry(start_registry):
    """A registry on plain http without logins."""
    return start_registry()


@pytest.fixture(scope="session")
def private_registry(start_registry, tmp_path_factory):
    """A registry that wants basic authentication."""
    path = tmp_path_factory.mktemp("htpasswd") / "htpasswd"
    path.write_text(HTPASSWD)
    return start_registry(more=f"auth: {{htpasswd: {{realm: test, path: {path}}}}}\n")


@dataclass
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What to send back; `cut` bytes of the body are kept back and the connection is closed."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


@dataclass
class Server:
    """A web server in this process that answers as its function says."""

    host: str
    requests: list[Request]
    respond: Callable[[Request], Answer]
    hang_up: Callable[[str], bool] = lambda _method: False  # asked before the body is read

    def asked(self, method: str) -> list[Request]:
        """The requests of one method."""
        return [request for request in self.requests if request.method == method]


@pytest.fixture
def serve():
    """A function that starts a server on loopback, given what it answers to a Request; a Server."""
    running = []

    def start(respond: Callable[[Request], Answer]) -> Server:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                if server.hang_up(self.command):
                    self.rfile.read(1000)
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, self.path, dict(self.headers.items()), body)
                server.requests.append(request)
                answer = server.respond(request)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[: len(answer.body) - answer.cut])
                if answer.cut:
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any  # noqa: N815  http.server's names

            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        listener.daemon_threads = True
        server = Server(f"127.0.0.1:{listener.server_address[1]}", [], respond)
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        running.append(listener)
        return server

    yield start
    for listener in running:
        listener.shutdown()
        listener.server_close()


@pytest.fixture
def answer():
    """The class of answers."""
    return Answer


@pytest.fixture
def login():
    """The user and password that the private registry knows."""
    return USER, PASSWORD
