"""publish-gitops as a program: results, the repository it makes, git over http with a password."""

import base64
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nearedge.delivery.gitops import render
from nearedge.files import write_text
from nearedge.release import profile, record
from scripts import publish_gitops

RECORD = record.read(Path(__file__).parents[1] / "delivery" / "data" / "release.json")
WANTED = "Basic " + base64.b64encode(b"edge:p@ss/word").decode()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "release"
    for name, text in render.render(RECORD, profile.read("microshift-small"), ["site-1"]).items():
        write_text(path / "gitops" / name, text)
    return path


def start(workspace: Path, *options: str) -> tuple[int, str, str]:
    """Exit status and the results commit and changed."""
    found = [workspace.parent / name for name in ("commit", "changed")]
    flags = [f"--result-{path.name}={path}" for path in found]
    status = publish_gitops.main([f"--workspace={workspace}", *options, *flags])
    return status, *(path.read_text() if path.exists() else "" for path in found)


def ask(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


def test_the_workspaces_own_repository(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    who = ["--author-name=Ada", "--author-email=ada@example.com"]
    status, commit, changed = start(workspace, "--git-url=", *who)
    repository = workspace / "gitops.git"
    assert (status, commit, changed) == (0, ask(repository, "rev-parse", "main"), "true")
    assert ask(repository, "log", "--format=%an <%ae>") == "Ada <ada@example.com>"
    assert f"commit {commit[:12]}" in capsys.readouterr().err
    assert start(workspace) == (0, commit, "false")
    assert "nothing to commit" in capsys.readouterr().err
    assert sorted(path.name for path in workspace.iterdir()) == ["gitops", "gitops.git"]


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--git-url=/nowhere/x.git"], 4, "`git init --bare /nowhere/x.git` makes one"),
        (["--git-url=file:///nowhere/x.git"], 4, "`git init --bare /nowhere/x.git` makes one"),
        (["--git-url=--upload-pack=x"], 2, "is no address"),
        (["--author-name= "], 2, "author-name and author-email"),
        (["--git-branch=a b"], 2, "git-branch 'a b'"),
        (["--workspace=/nowhere"], 1, "render-gitops has to run first"),
        (["--git-url=ext::sh -c x"], 4, "not allowed"),
        (["--git-url=https://edge:s3cret@127.0.0.1:1/x.git"], 4, "https://127.0.0.1:1/x.git"),
    ],
)
def test_refusals_are_one_line(workspace: Path, capsys, options: list[str], status: int, words: str) -> None:
    assert start(workspace, *options)[0] == status
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert words in said[0]
    assert "s3cret" not in said[0]


class Backend(BaseHTTPRequestHandler):
    """git http-backend for those who know the password."""

    root: Path

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != WANTED:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        parts = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "edge",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        made = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, content = made.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(lines.pop("Status", "200").split()[0]))
        for name, value in {**lines, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815  # the name that the server calls

    def log_message(self, *_: object) -> None:
        """Nothing."""


def serving(tmp_path: Path, trust: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a repository behind a password, without scheme."""
    (tmp_path / "served").mkdir()
    ask(tmp_path / "served", "init", "-q", "--bare", "-b", "main", "x.git")
    handler = type("Handler", (Backend,), {"root": tmp_path / "served"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if trust is not None:
        server.socket = trust.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_port}/x.git"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A repository on plain http."""
    for address in serving(tmp_path):
        yield f"http://{address}"


@pytest.fixture
def private_web(tmp_path: Path) -> Iterator[str]:
    """A repository on https; its CA is `ca/ca-bundle.crt`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (apt-get install openssl)")
    (tmp_path / "ca").mkdir()
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    argv = [*command.split(), "-keyout", "key.pem", "-out", "ca/ca-bundle.crt"]
    subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(tmp_path / "ca" / "ca-bundle.crt", tmp_path / "key.pem")
    for address in serving(tmp_path, trust):
        yield f"https://{address}"


def test_over_http_with_a_password_from_a_workspace(workspace: Path, tmp_path: Path, web: str, capsys) -> None:
    auth = tmp_path / "auth"
    auth.mkdir()
    host = urlsplit(web).netloc
    (auth / ".git-credentials").write_text(f"http://edge:wrong@{host}\n")
    assert start(workspace, f"--git-url={web}", f"--basic-auth={auth}")[0] == 4
    said = capsys.readouterr().err
    assert "Authentication failed" in said
    assert "wrong" not in said
    (auth / ".git-credentials").write_text(f"http://edge:p%40ss%2Fword@{host}\n")
    status, commit, changed = start(workspace, f"--git-url={web}", f"--basic-auth={auth}")
    assert (status, changed) == (0, "true")
    assert ask(tmp_path / "served" / "x.git", "rev-parse", "main") == commit
    assert start(workspace, f"--git-url={web}", f"--basic-auth={auth}") == (0, commit, "false")


def test_over_https_with_a_private_ca(workspace: Path, tmp_path: Path, private_web: str, capsys) -> None:
    auth = tmp_path / "auth"
    auth.mkdir()
    (auth / ".git-credentials").write_text(f"https://edge:p%40ss%2Fword@{urlsplit(private_web).netloc}\n")
    options = (f"--git-url={private_web}", f"--basic-auth={auth}")
    assert start(workspace, *options)[0] == 4
    assert "certificate" in capsys.readouterr().err
    assert start(workspace, *options, f"--ca-bundle={tmp_path / 'ca'}")[0] == 0


def test_over_http_without_a_password(workspace: Path, web: str, capsys) -> None:
    assert start(workspace, f"--git-url={web}")[0] == 4
    assert "could not read Username" in capsys.readouterr().err
