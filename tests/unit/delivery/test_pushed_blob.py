"""Uploads in chunks, to a registry that keeps what it got of a broken PATCH as the specification has it, and others."""

import os
import re
import signal
import subprocess
import sys
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from nearedge.delivery import digest, oci, pushed_blob, upload
from nearedge.delivery.access import Access
from nearedge.delivery.pushed_blob import Window
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import OutsideError
from tests.faulty_proxy import FaultyProxy

CHUNK = 1000
CONTENT = bytes(n * n % 251 for n in range(4500))
BLOB = oci.Descriptor("x/y", digest.of_bytes(CONTENT), len(CONTENT))

KILLED = """
import sys
from nearedge.delivery import digest, oci, pushed_blob
from nearedge.delivery.access import Access
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
pushed_blob.CHUNK_BYTES = 100_000
content = bytes(400_000)
blob = oci.Descriptor("x/y", digest.of_bytes(content), len(content))
store = Repository(Registry(sys.argv[1], Access(plain_http=True)), "killed/push")

def slow():
    yield content[:300_000]
    print("sent", flush=True)
    sys.stdin.read() if sys.argv[2] == "stop" else None
    yield content[300_000:]

store.add(blob, slow)
document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": blob.to_json(), "layers": []}
store.publish(oci.manifest(oci.encode(document), "x"), "1")
"""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(pushed_blob, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(upload, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(upload, "LONGEST_WAIT_S", 0.01)


def repo(host):
    return Repository(Registry(host, Access(plain_http=True)), "team/model")


class Keeper:
    """Takes uploads; `faults` maps the number of a PATCH to how many of its bytes arrive, and -1 to a lost answer."""

    def __init__(self, answer, faults, least=0):
        self.answer, self.faults, self.least = answer, faults, least
        self.got, self.there, self.patches = b"", set(), 0

    def stands(self, status):
        headers = {"Location": f"/up?at={len(self.got)}", "Range": f"0-{max(0, len(self.got) - 1)}"}
        return self.answer(status, headers=headers)

    def __call__(self, request):
        answer = self.answer
        if request.method == "HEAD":
            return answer(200 if request.path.rpartition("/")[2] in self.there else 404)
        if request.method == "POST":
            self.got = b""
            more = {"OCI-Chunk-Min-Length": str(self.least)} if self.least else {}
            return answer(202, headers={"Location": "/up?at=0", **more})
        if request.method == "GET":
            return self.stands(204)
        if request.method == "PUT":
            self.got += request.body
            self.there |= {parse_qs(urlsplit(request.path).query)["digest"][0]} & {digest.of_bytes(self.got)}
            bad = answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}')
            return answer(201) if digest.of_bytes(self.got) in self.there else bad
        start = int(re.fullmatch(r"(\d+)-\d+", request.headers["Content-Range"])[1])
        self.patches += 1
        if start != len(self.got):
            return self.answer(416)
        arrives = self.faults.get(self.patches)
        self.got += request.body if arrives in (None, -1) else request.body[:arrives]
        return self.stands(202) if arrives is None else answer(502)


def test_a_blob_goes_whole_and_in_chunks_once_it_was_cut(serve, answer):
    server = serve(keeper := Keeper(answer, {1: 0}))
    assert repo(server.host).add_bytes(BLOB, CONTENT) == len(CONTENT)
    assert [len(request.body) for request in server.asked("PATCH")] == [4500, 1000, 1000, 1000, 1000, 500]
    ranges = [request.headers["Content-Range"] for request in server.asked("PATCH")]
    assert ranges[:3] == ["0-4499", "0-999", "1000-1999"]
    assert keeper.got == CONTENT
    assert repo(server.host).add_bytes(BLOB, CONTENT) == 0


@pytest.mark.parametrize(
    ("faults", "sent"),
    [
        ({}, [4500]),
        ({1: 1300}, [4500, 1000, 1000, 1000, 200]),  # part of it arrived
        ({1: -1}, [4500]),  # all did, the answer was lost
        ({1: 0, 3: 300}, [4500, 1000, 1000, 700, 1000, 1000, 500]),
        ({1: 0, 3: -1}, [4500, 1000, 1000, 1000, 1000, 500]),
        (
            {1: 0} | dict.fromkeys(range(3, 10), 100),
            [4500, 1000, 1000, 900, 800, 700, 600, 500, 400, 300, 1000, 1000, 500],
        ),
    ],
)
def test_it_goes_on_where_the_registry_stands(serve, answer, faults, sent):
    server = serve(keeper := Keeper(answer, faults))
    assert repo(server.host).add_bytes(BLOB, CONTENT) == len(CONTENT)
    assert [len(request.body) for request in server.asked("PATCH")] == sent
    assert keeper.got == CONTENT
    assert len(server.asked("POST")) == 1


def test_attempts_that_come_no_further_end(serve, answer):
    server = serve(Keeper(answer, dict.fromkeys(range(1, 100), 0)))
    with pytest.raises(OutsideError, match="502"):
        repo(server.host).add_bytes(BLOB, CONTENT)
    assert len(server.asked("PATCH")) == upload.ATTEMPTS


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_registry_that_takes_no_chunks_gets_one_put(serve, answer, status):
    keeper = Keeper(answer, {})
    server = serve(lambda request: answer(status) if request.method == "PATCH" else keeper(request))
    store = repo(server.host)
    assert store.add_bytes(BLOB, CONTENT) == len(CONTENT)
    other = CONTENT[::-1]
    assert store.add_bytes(oci.Descriptor("x/y", digest.of_bytes(other), len(other)), other) == len(other)
    assert len(server.asked("PATCH")) == 1, "it is not asked again"
    assert [len(request.body) for request in server.asked("PUT")] == [len(CONTENT)] * 2


@pytest.mark.parametrize(("least", "first"), [(1, 1000), (3000, 3000)])
def test_the_least_that_a_registry_takes(serve, answer, least, first):
    server = serve(Keeper(answer, {1: 0}, least))
    repo(server.host).add_bytes(BLOB, CONTENT)
    assert len(server.asked("PATCH")[1].body) == first


def test_an_upload_that_is_forgotten_begins_anew(serve, answer):
    keeper = Keeper(answer, {1: 10})
    server = serve(lambda request: answer(404) if request.method == "GET" else keeper(request))
    assert repo(server.host).add_bytes(BLOB, CONTENT) == len(CONTENT)
    assert len(server.asked("POST")) == 2
    assert keeper.got == CONTENT


def test_bytes_that_changed_on_the_way_are_sent_again(serve, answer):
    keeper = Keeper(answer, {})

    def respond(request):
        found = keeper(request)
        if request.method == "PATCH" and len(server.asked("PATCH")) == 1:
            keeper.got = keeper.got[:-1] + b"?"
        return found

    server = serve(respond)
    assert repo(server.host).add_bytes(BLOB, CONTENT) == len(CONTENT)
    assert len(server.asked("POST")) == 2


@pytest.mark.parametrize("said", ["0-0", "0-9999", "0-1499"])
def test_a_registry_that_miscounts(serve, answer, said):
    """It says it took nothing, more than was sent, or stays where it was."""
    there = answer(202, headers={"Location": "/up", "Range": said})
    server = serve(lambda request: answer(404) if request.method in ("HEAD", "GET") else there)
    with pytest.raises(OutsideError, match=r"miscounts"):
        repo(server.host).add_bytes(BLOB, CONTENT)


@pytest.mark.parametrize("content", [CONTENT[:4100], CONTENT + b"x"])
def test_a_source_that_has_another_size(serve, answer, content):
    server = serve(Keeper(answer, {}))
    with pytest.raises(OutsideError, match="not the 4500 bytes"):
        repo(server.host).add_bytes(BLOB, content)


def test_a_source_that_shrank_after_a_cut(serve, answer):
    contents = [CONTENT, CONTENT[:4100]]
    server = serve(Keeper(answer, {1: 0}))
    with pytest.raises(OutsideError, match="not the 4500 bytes"):
        repo(server.host).add(BLOB, lambda: iter((contents.pop(0),)))


def test_a_window_is_read_from_any_byte():
    begun = []

    def body():
        begun.append(1)
        return iter([CONTENT[n : n + 70] for n in range(0, len(CONTENT), 70)])

    window = Window(body, 100)
    for offset in (0, 100, 150, 300, 250, 4450, 4500, 0):
        piece = window.at(offset)
        assert CONTENT[offset:].startswith(piece)
        assert bool(piece) == (offset < len(CONTENT))
    assert len(begun) == 3


def test_a_killed_push_leaves_nothing(plain_registry):
    """SIGKILL with three quarters of a blob sent: no blob, no tag; the next push completes it."""
    content = bytes(400_000)
    blob = oci.Descriptor("x/y", digest.of_bytes(content), len(content))
    store = Repository(Registry(plain_registry, Access()), "killed/push")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", KILLED, plain_registry]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment}
    with subprocess.Popen([*command, "stop"], **pipes) as process:
        assert process.stdout.readline() == b"sent\n"
        process.send_signal(signal.SIGKILL)
    assert not store.has(blob)
    assert store.find("1") is None
    subprocess.run([*command, "go"], check=True, env=environment, capture_output=True)
    assert store.resolve("1").config.digest == blob.digest
    assert b"".join(store.chunks(blob)) == content


def test_distribution_takes_chunks_over_a_link_that_is_cut(plain_registry, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    content = bytes(n % 253 for n in range(50_000))
    blob = oci.Descriptor("x/y", digest.of_bytes(content), len(content))
    with FaultyProxy(plain_registry) as proxy:
        proxy.misbehave(seed=1, faults=("refuse", "cut answer"), rate=0.3)
        store = Repository(Registry(proxy.host, Access(plain_http=True)), "in/chunks")
        monkeypatch.setattr(pushed_blob, "CHUNK_BYTES", 10_000)
        assert store.add_bytes(blob, content) == len(content)
        assert sum(proxy.harm.values()) > 0
    assert b"".join(Repository(Registry(plain_registry, Access()), "in/chunks").chunks(blob)) == content
