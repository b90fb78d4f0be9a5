"""Downloads from a real server that breaks off, refuses, changes its mind or sends too much."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nearedge.delivery.sources.download import Client
from nearedge.errors import InputError, OutsideError

CONTENT = bytes(range(256)) * 4000
QUICK = Client(attempts=4, first_wait_s=0.001)


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `plan` says what each request in turn does."""

    plan: list[dict[str, Any]]
    asked: list[dict[str, str]]
    etag = '"one"'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/model"


class Handler(BaseHTTPRequestHandler):
    """Answers as planned: status, cut (bytes after which the connection breaks), headers, ranges."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        step = self.server.plan.pop(0) if self.server.plan else {}
        begin = self.begin(step)
        body = step.get("content", CONTENT)[begin:]
        self.send_response(step.get("status", 206 if begin else 200))
        for name, value in step.get("headers", {}).items():
            self.send_header(name, value)
        if not step.get("no_etag"):
            self.send_header("ETag", step.get("etag", self.server.etag))
        if begin:
            self.send_header("Content-Range", f"bytes {begin + step.get('shift', 0)}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if not step.get("no_length"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: step.get("cut", len(body))])
        self.close_connection = True

    def begin(self, step: dict[str, Any]) -> int:
        """Where the answer begins: RFC 9110's If-Range."""
        if "Range" not in self.headers or step.get("no_range"):
            return 0
        if self.headers["If-Range"] != step.get("etag", self.server.etag):
            return 0
        return int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(*plan: dict[str, Any]) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.plan, server.asked = list(plan), []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("plan", "ranges"),
    [
        ([], [None]),
        ([{"cut": 500_000}], [None, 458_752]),
        ([{"cut": 500_000}, {"cut": 100_000}, {"cut": 70_000}], [None, 458_752, 524_288, 589_824]),
        ([{"status": 503, "headers": {"Retry-After": "0"}}, {"status": 429}], [None, None, None]),
        ([{"cut": 500_000}, {"etag": '"two"'}], [None, 458_752]),
        ([{"cut": 500_000}, {"no_range": True}], [None, 458_752]),
        ([{"cut": 500_000}, {"shift": 5}], [None, 458_752, None]),
        ([{"cut": 500_000}, {"status": 416}], [None, 458_752, None]),
        ([{"cut": 500_000, "no_etag": True}], [None, None]),
        ([{"cut": 500_000, "etag": 'W/"weak"'}], [None, None]),
    ],
)
def test_it_arrives_whole(tmp_path: Path, plan: list[dict[str, Any]], ranges: list[int | None]) -> None:
    path = tmp_path / "model"
    with serving(*plan) as server:
        QUICK.download(server.url, path, len(CONTENT))
        begun = [asked.get("Range") for asked in server.asked]
    assert path.read_bytes() == CONTENT
    assert begun == [f"bytes={at}-" if at else None for at in ranges]


def test_what_a_server_packed_by_itself_is_unpacked(tmp_path: Path) -> None:
    packed = {"content": gzip.compress(CONTENT), "headers": {"Content-Encoding": "gzip"}}
    with serving({**packed, "cut": 1000}, packed) as server:
        QUICK.download(server.url, tmp_path / "model", len(CONTENT))
    assert (tmp_path / "model").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("plan", "kind", "words"),
    [
        ([{"status": 404}], OutsideError, "status 404"),
        ([{"status": 401}], OutsideError, "is it private"),
        ([{"status": 503}] * 4, OutsideError, "status 503, 4 times"),
        ([{"cut": 0}] * 4, OutsideError, "4 times"),
        ([{"status": 302, "headers": {"Location": "file:///etc/passwd"}}], InputError, "cannot be asked for"),
        ([{"content": CONTENT + b"1"}], InputError, "1024001 bytes, more than max-bytes"),
        ([{"content": CONTENT + b"1", "no_length": True}], InputError, "more than max-bytes 1024000"),
    ],
)
def test_it_gives_up_with_a_line(tmp_path: Path, plan: list[dict[str, Any]], kind: type[Exception], words: str) -> None:
    with serving(*plan) as server, pytest.raises(kind, match=words):
        QUICK.download(server.url, tmp_path / "model", len(CONTENT))
    assert not list(tmp_path.iterdir())


def test_credentials_are_used_and_not_told(tmp_path: Path) -> None:
    with serving({"status": 403}) as server:
        url = server.url.replace("http://", "http://me:s3cret@") + "?token=t0ken"
        with pytest.raises(OutsideError) as raised:
            QUICK.download(url, tmp_path / "model", 10)
        assert server.asked[0]["Authorization"] == "Basic bWU6czNjcmV0"
    assert "s3cret" not in str(raised.value)
    assert "t0ken" not in str(raised.value)


def test_nobody_there(tmp_path: Path) -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(OutsideError, match="refused"):
        Client(attempts=1).download(url, tmp_path / "model", 10)


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:99999/x"])
def test_a_bad_url_is_the_inputs_fault(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError):
        QUICK.download(url, tmp_path / "model", 10)
