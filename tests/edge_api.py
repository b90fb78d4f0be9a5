"""The edge's API on a port of this machine, and model servers that say what a test wants them to."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from nearedge.api.access import Access
from nearedge.api.edge.cluster.cluster_site import ClusterSite
from nearedge.api.edge.edge_app import edge_app
from nearedge.api.edge.embedded import EmbeddedSite
from nearedge.api.edge.settings import Settings
from nearedge.runner import serving as state
from nearedge.runner.serving import Served
from tests.served import served

PREFIX = "/api/v1"
LOOKS = (
    "",
    "/health",
    "/availability",
    "/versions",
    "/upgrades",
    "/logs",
    "/metrics",
    "/sync",
    "/pre-pull",
    "/log-level",
)
"""What is looked at below a model."""
QUICK_S = 10.0
"""No answer may take longer, whatever the sources do."""


@dataclass
class Edge:
    """A running API."""

    url: str
    site: EmbeddedSite | ClusterSite
    session: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """An answer, which must come soon."""
        return self.session.request(method, f"{self.url}{PREFIX}{path}", timeout=(2, 20), **more)

    def get(self, path: str, **more: Any) -> dict[str, Any]:
        """The document of an answer that must be 200."""
        answer = self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until(self, path: str, fits: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """The document, as soon as it fits."""
        end = time.monotonic() + seconds
        while not fits(document := self.get(path)):
            assert time.monotonic() < end, document
            time.sleep(0.1)
        return document


@contextmanager
def edge(home: Path, access: Access | None = None, **settings: Any) -> Iterator[Edge]:
    """The API of a site that keeps its files in `home`."""
    told = replace(Settings(home, every_s=0.3, git_every_s=0.3, timeout_s=1.0), **settings)
    site = EmbeddedSite(told)
    with served(edge_app(site, access or Access())) as url, requests.Session() as session:
        session.trust_env = False
        yield Edge(url, site, session)


def put(home: Path, url: str, log: Path | str = "", **more: Any) -> Served:
    """Write down a server as `nearedge serve` does."""
    served = Served(url, "", str(log), "a folder", state.now(), **more)
    state.began(served, home / "serving")
    return served


READY = {"ready": True, "state": "ready", "models": [{"name": "m", "version": "1", "state": "ready", "reason": ""}]}
FIGURES = """\
# HELP nearedge_model_info What is served.
nearedge_model_info{model="m",version="1",digest="%s",bin_sha256="b"} 1
nearedge_self_test_passed{model="m",version="1"} 1
nearedge_requests_total{model="m",version="1",protocol="rest",code="200"} 8
nearedge_requests_total{model="m",version="1",protocol="grpc",code="OK"} 1
nearedge_requests_total{model="m",version="1",protocol="rest",code="503"} 1
process_start_time_seconds %s
"""


@dataclass
class Fake:
    """A model server that answers as it is told: `how` is well, slow, drip, garbage, huge or refuse."""

    port: int = 0
    how: str = "well"
    digest: str = "sha256:" + "a" * 64
    began: float = 1000.0
    logging: tuple[int, dict[str, Any]] = (404, {"error": "no such path"})
    sent: bytes = b""
    authorization: str = ""
    """With what the log level was asked for or set."""
    release: dict[str, Any] = field(default_factory=lambda: {"name": "m", "version": "1.a", "ir": {"bin_sha256": "b"}})

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body of what it says well."""
        if path == "/v2/logging":
            return self.logging[0], json.dumps(self.logging[1]).encode()
        return 200, self.body(path)

    def body(self, path: str) -> bytes:
        """What it says well, but for its log level."""
        if path == "/metrics":
            return (FIGURES % (self.digest, self.began)).encode()
        tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
        documents: dict[str, Any] = {
            "/v2/health/ready": READY, "/v2/models/m": {"name": "m", "inputs": [tensor], "outputs": [tensor]},
            "/v2/models/m/release": self.release, "/v2/models/m/self-test": {"passed": False, "samples": 1},
        }  # fmt: skip
        return json.dumps(documents[path]).encode()


GARBAGE = [
    b"\x00\xff{]",
    b"[1, 2]",
    b"{}",
    b'{"models": {"a": 1}}',
    b'{"ready": 1, "state": 2, "models": [{}]}',
    b"null",
]


@contextmanager
def fake() -> Iterator[Fake]:
    """A model server in this process."""
    told, over = Fake(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.sent = self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self) -> None:
            how = told.how
            if self.path == "/v2/logging":
                told.authorization = self.headers.get("Authorization", "")
            if how == "slow":
                over.wait(4)
            elif how == "drip":
                drip(self, over)
            elif how == "refuse":
                self.send_error(500)
            else:
                status, body = 200, GARBAGE[int(how)] if how.isdigit() else b" " * (6 << 20)
                if how == "well":
                    status, body = told.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.handle_error = True, lambda *_: None
    told.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield told
    over.set()
    server.shutdown()
    server.server_close()


def drip(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    """An answer that comes, one byte now and then, and never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not over.wait(0.3):
        handler.wfile.write(b"X")
        handler.wfile.flush()
