"""A commit of a git repository over a link that fails, and one that is larger than it may be."""

import io
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nearedge.delivery import git
from nearedge.delivery.sources.download import Client
from nearedge.delivery.sources.git_place import Wanted, bring, growing, passing
from nearedge.errors import InputError, OutsideError

MB = 1_000_000
QUICK = Client(attempts=3, first_wait_s=0.0)


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the repository r.git of 4 MB that no compression makes smaller."""
    root = tmp_path_factory.mktemp("remote")
    who = ["-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "init.defaultBranch=main"]
    (root / "r").mkdir()
    for number in range(4):
        (root / "r" / f"{number}.bin").write_bytes(random.Random(number).randbytes(MB))
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *who, *words], cwd=root / "r", check=True)
    subprocess.run(["git", "clone", "-q", "--bare", "r", "r.git"], cwd=root, check=True)
    return root


class Remote(ThreadingHTTPServer):
    """`git http-backend` that first does what `faults` says, one a request: a status, or how many bytes to send.

    With `piece_s` every 100 kB of an answer take that long.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.url = root, f"http://127.0.0.1:{self.server_port}/r.git"
        self.faults: list[int] = []
        self.asked: list[str] = []
        self.piece_s = 0.0
        self.sent = 0


class Handler(BaseHTTPRequestHandler):
    """One CGI call a request."""

    server: Remote

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.faults.pop(0) if self.server.faults else 0
        if 400 <= fault < 600:
            self.send_error(fault)
            return
        values = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        answer = subprocess.run(["git", "http-backend"], env=values, input=body, check=True, capture_output=True).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        self.wfile.write(b"HTTP/1.0 200 OK\r\n" + head + b"\r\nContent-Length: %d\r\n\r\n" % len(content))
        self.send(io.BytesIO(content[:fault] if fault else content))

    do_POST = do_GET  # noqa: N815  http.server's name

    def send(self, content: io.BytesIO) -> None:
        while piece := content.read(100_000):
            try:
                self.wfile.write(piece)
            except OSError:  # git is gone
                return
            self.server.sent += len(piece)
            time.sleep(self.server.piece_s)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def remote(repositories: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Remote(repositories)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def brought(url: str, into: Path, max_bytes: int = 20 * MB, ref: str = "", patience: Client = QUICK) -> str:
    with git.session(git.Access()) as client:
        return bring(client, Wanted(url, ref, into, max_bytes), patience)


@pytest.mark.parametrize("faults", [[503], [429, 502], [0, 500], [0, 0, 2 * MB], [0, 0, 60]])
def test_a_remote_that_fails_at_first(remote: Remote, tmp_path: Path, capsys, faults: list[int]) -> None:
    remote.faults = list(faults)
    commit = brought(remote.url, tmp_path / "clone")
    assert len(commit) == 40
    for number in range(4):
        assert (tmp_path / "clone" / f"{number}.bin").read_bytes() == random.Random(number).randbytes(MB)
    assert capsys.readouterr().err.count("; again in 0 s") == sum(fault != 0 for fault in faults)


def test_a_remote_that_goes_on_failing_is_given_up(remote: Remote, tmp_path: Path) -> None:
    remote.faults = [503] * 9
    with pytest.raises(OutsideError, match=r"r\.git: git fetch: .* 503, 3 times; try again later"):
        brought(remote.url, tmp_path / "clone")
    assert len(remote.asked) == 3 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("faults", "ref"), [([404], ""), ([403], ""), ([], "none"), ([], "-x")])
def test_what_will_not_pass_is_not_tried_again(remote: Remote, tmp_path: Path, capsys, faults, ref: str) -> None:
    remote.faults = faults
    with pytest.raises(InputError if ref == "-x" else OutsideError):
        brought(remote.url, tmp_path / "clone", ref=ref)
    assert "again in" not in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_git_is_stopped_while_it_brings_too_much(remote: Remote, tmp_path: Path) -> None:
    remote.piece_s = 0.1
    with pytest.raises(InputError, match=r"r\.git: the repository is more than max-bytes 500000$"):
        brought(remote.url, tmp_path / "clone", max_bytes=MB // 2)
    assert remote.sent < 3 * MB and not list(tmp_path.iterdir())


@pytest.mark.parametrize("cap", [MB, 5 * MB, 8 * MB])
def test_history_and_files_together_have_the_cap(repositories: Path, tmp_path: Path, cap: int) -> None:
    """The pack alone has 4 MB, and the files as much again."""
    with pytest.raises(InputError, match=f"more than max-bytes {cap}"):
        brought(f"file://{repositories}/r.git", tmp_path / "clone", max_bytes=cap)
    assert not list(tmp_path.iterdir())


def test_a_git_that_does_not_hear_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "GRACE_S", 0.2)
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\ntrap '' TERM\necho $$ > pid\nwhile :; do sleep 0.1; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def watch() -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise InputError("enough")

    with git.session(git.Access()) as client, pytest.raises(InputError, match="enough"):
        client.run("fetch", at=tmp_path, watch=watch)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_links_weigh_nothing_and_what_is_gone_neither(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1" * 1000)
    before = growing(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert before == 1000 and growing(tmp_path) < 1500 and growing(tmp_path / "none") == 0


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("fatal: unable to access 'https://h/': Could not resolve host: h", True),
        ("ssh: Could not resolve hostname h: Temporary failure in name resolution", True),
        ("fatal: early EOF\nfatal: fetch-pack: invalid index-pack output", True),
        ("error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly: CANCEL (err 8)", True),
        ("error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503", True),
        ("error: RPC failed; HTTP 403 curl 22 The requested URL returned error: 403", False),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 401", False),
        ("fatal: unable to access 'https://h/': CONNECT tunnel failed, response 502", True),
        ("fatal: unable to access 'https://h/': CONNECT tunnel failed, response 407", False),
        ("ssh: connect to host h port 22: Connection timed out", True),
        ("Connection reset by 192.0.2.1 port 22", True),
        ("fatal: unable to access 'https://h/': SSL certificate problem: self-signed certificate", False),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", False),
        ("Host key verification failed.", False),
        ("fatal: repository '/x' does not exist", False),
    ],
)
def test_which_faults_may_pass(said: str, expected: bool) -> None:
    assert passing(said) is expected
