"""Forges to test against: each speaks its documented API as far as we use it, beside a real git repository over http.

GitHub: https://docs.github.com/en/rest/pulls/pulls and .../rate-limits-for-the-rest-api. GitLab:
https://docs.gitlab.com/api/merge_requests/ and .../api/rest/. Gitea: the swagger of /api/v1 and routers/api/v1/repo.
"""

import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest

from nearedge.delivery.forges import pull_request
from nearedge.delivery.forges.base import Forge

TOKEN = "tok-3f9c2a7714"
READER = "tok-reads-only"
Answer = tuple[int, dict[str, str], object]


@dataclass
class Open:
    """A request as a forge keeps it."""

    number: int
    source: str
    target: str
    title: str
    body: str
    state: str = "open"
    fork: bool = False


@dataclass
class Site:
    """A forge with one project; `faults` are answered first, one for each call."""

    kind: str
    project: str
    repository: Path
    root: str = ""
    page: int = 2
    requests: list[Open] = field(default_factory=list)
    faults: list[Answer] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)

    @property
    def git_url(self) -> str:
        return f"{self.root}/{self.project}.git"

    def has(self, branch: object) -> bool:
        command = ["git", "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"]
        return subprocess.run(command, cwd=self.repository, capture_output=True, check=False).returncode == 0

    def answer(self, method: str, address: str, headers: dict[str, str], body: dict[str, object]) -> Answer:
        """What the API says."""
        self.calls.append((method, address))
        if self.faults:
            return self.faults.pop(0)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme not in {"github": ("Bearer", "token"), "gitlab": ("Bearer",), "gitea": ("token",)}[self.kind]:
            return self.unknown()
        if token not in (TOKEN, READER):
            return self.unknown()
        parts = urlsplit(address)
        prefix = {"github": "/api/v3/repos/", "gitlab": "/api/v4/projects/", "gitea": "/api/v1/repos/"}[self.kind]
        last = "merge_requests" if self.kind == "gitlab" else "pulls"
        found = re.fullmatch(rf"{prefix}(.+?)/{last}(?:/(\d+))?", parts.path)
        project = found[1] if found else ""
        if self.kind == "gitlab" and "/" in project:
            return self.missing()
        if found is None or unquote(project) != self.project:
            return self.missing()
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if method == "GET":
            return self.list(parts.path, query)
        if token == READER:
            return self.forbidden()
        return self.create(body) if method == "POST" else self.edit(method, int(found[2]), body)

    def unknown(self) -> Answer:
        words = {
            "github": "Bad credentials",
            "gitlab": "401 Unauthorized",
            "gitea": "invalid username, password or token",
        }
        return 401, {}, {"message": words[self.kind]}

    def missing(self) -> Answer:
        words = {"github": "Not Found", "gitlab": "404 Project Not Found", "gitea": "The target couldn't be found."}
        return 404, {}, {"message": words[self.kind]}

    def forbidden(self) -> Answer:
        if self.kind == "gitlab":
            why = "The request requires higher privileges than provided by the access token."
            return 403, {}, {"error": "insufficient_scope", "error_description": why, "scope": "api"}
        words = {
            "github": "Resource not accessible by personal access token",
            "gitea": "token does not have at least one of required scope(s): [write:repository]",
        }
        return 403, {"x-ratelimit-remaining": "4990"}, {"message": words[self.kind]}

    def list(self, path: str, query: dict[str, str]) -> Answer:
        wanted = {"open": "open", "opened": "open"}.get(query.get("state", ""), "")
        found = [one for one in self.requests if not wanted or one.state == wanted]
        if self.kind == "github":
            owner = self.project.partition("/")[0]
            if "head" in query:
                found = [one for one in found if f"{owner}:{one.source}" == query["head"]]
            found = [one for one in found if one.target == query.get("base", one.target)]
        if self.kind == "gitlab":
            found = [one for one in found if one.source == query.get("source_branch", one.source)]
            found = [one for one in found if one.target == query.get("target_branch", one.target)]
        number, size = int(query.get("page", "1")), self.page
        shown = found[(number - 1) * size : number * size]
        headers = {}
        if number * size < len(found):
            following = f"{self.root}{path}?{urlencode({**query, 'page': number + 1})}"
            headers = {"Link": f'<{following}>; rel="next", <{self.root}{path}?page=9>; rel="last"'}
        return 200, headers, [self.shown(one) for one in shown]

    def shown(self, one: Open) -> dict[str, object]:
        if self.kind == "gitlab":
            return {
                "id": 9000 + one.number, "iid": one.number, "title": one.title, "description": one.body,
                "source_branch": one.source, "target_branch": one.target, "state": "opened",
                "source_project_id": 8 if one.fork else 7, "target_project_id": 7,
                "web_url": f"{self.root}/{self.project}/-/merge_requests/{one.number}",
            }  # fmt: skip
        owner = "someone" if one.fork else self.project.partition("/")[0]
        head = {"ref": one.source, "repo": {"full_name": f"{owner}/{self.project.partition('/')[2]}"}}
        word = "pull" if self.kind == "github" else "pulls"
        return {
            "number": one.number, "title": one.title, "body": one.body, "state": one.state, "head": head,
            "base": {"ref": one.target}, "html_url": f"{self.root}/{self.project}/{word}/{one.number}",
        }  # fmt: skip

    def create(self, body: dict[str, object]) -> Answer:
        names = ("source_branch", "target_branch", "description") if self.kind == "gitlab" else ("head", "base", "body")
        source, target, text = (str(body.get(name, "")) for name in names)
        if not self.has(source) or not self.has(target):
            if self.kind == "github":
                return 422, {}, {"message": "Validation Failed", "errors": [{"field": "head", "code": "invalid"}]}
            return (
                (404, {}, {"message": "no such branch"}) if self.kind == "gitea" else (400, {}, {"message": "branch"})
            )
        same = [one for one in self.requests if (one.source, one.target, one.fork) == (source, target, False)]
        if any(one.state == "open" for one in same):
            owner = self.project.partition("/")[0]
            said = f"A pull request already exists for {owner}:{source}."
            if self.kind == "github":
                return 422, {}, {"message": "Validation Failed", "errors": [{"code": "custom", "message": said}]}
            if self.kind == "gitlab":
                return 409, {}, {"message": ["Another open merge request already exists for this source branch: !1"]}
            return 409, {}, {"message": f"pull request already exists for these targets [head_branch: {source}]"}
        made = Open(len(self.requests) + 1, source, target, str(body["title"]), text)
        self.requests.append(made)
        return 201, {}, self.shown(made)

    def edit(self, method: str, number: int, body: dict[str, object]) -> Answer:
        assert method == ("PUT" if self.kind == "gitlab" else "PATCH")
        one = next(one for one in self.requests if one.number == number)
        one.title, one.body = str(body["title"]), str(body["description" if self.kind == "gitlab" else "body"])
        return (201 if self.kind == "gitea" else 200), {}, self.shown(one)


def git_backend(site: Site, handler: BaseHTTPRequestHandler, body: bytes) -> bytes:
    """What `git http-backend` answers."""
    path, _, query = handler.path.partition("?")
    values = {
        "GIT_PROJECT_ROOT": str(site.repository.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": handler.command,
        "PATH_INFO": path.replace(f"/{site.project}.git", f"/{site.repository.name}", 1),
        "QUERY_STRING": query,
        "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
        "PATH": os.environ["PATH"],
        "REMOTE_USER": "edge",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    return subprocess.run(["git", "http-backend"], env=values, input=body, check=True, capture_output=True).stdout


def handler_for(site: Site) -> type[BaseHTTPRequestHandler]:
    """Answers for a forge: its API and its git."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not self.path.startswith("/api/"):
                head, _, content = git_backend(site, self, body).partition(b"\r\n\r\n")
                lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.reply(int(lines.pop("Status", "200").split()[0]), lines, content)
                return
            given = {name.lower(): value for name, value in self.headers.items()}
            status, headers, document = site.answer(self.command, self.path, given, json.loads(body or b"{}"))
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.reply(status, {"Content-Type": "application/json", **headers}, content)

        def reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = handle_any  # noqa: N815  # http.server's names

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    return Handler


PROJECTS = {"github": "edge/fleet", "gitlab": "group/sub.group/fleet", "gitea": "edge/fleet"}
Start = Callable[..., Site]


@pytest.fixture(scope="session")
def with_commit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository with branches main and next, to be copied."""
    repository = tmp_path_factory.mktemp("forge") / "first.git"
    subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", str(repository)], check=True)
    subprocess.run(["git", "config", "http.receivepack", "true"], cwd=repository, check=True)
    first_commit(repository, "main", "next")
    return repository


@pytest.fixture
def start(tmp_path: Path, with_commit: Path) -> Iterator[Start]:
    """A function that starts a forge of a kind, over TLS where a file with a certificate and its key is given."""
    running = []

    def begin(kind: str, certificate: Path | None = None, host: str = "127.0.0.1") -> Site:
        repository = tmp_path / f"{kind}.git"
        shutil.copytree(with_commit, repository)
        site = Site(kind, PROJECTS[kind], repository)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(site))
        server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        site.root = f"{'https' if certificate else 'http'}://{host}:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        running.append(server)
        return site

    yield begin
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture(params=["github", "gitlab", "gitea"])
def site(request: pytest.FixtureRequest, start: Start) -> Site:
    """Each kind of forge, with branches main and next."""
    return start(request.param)


def first_commit(repository: Path, *branches: str) -> None:
    """One commit in a bare repository, on these branches."""
    who = {f"GIT_{one}_{what}": "x" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "init", "-q", folder], check=True)
        command = ["git", "-C", folder, "commit", "-q", "--allow-empty", "-m", "first"]
        subprocess.run(command, check=True, env={**os.environ, **who})
        for branch in branches:
            subprocess.run(["git", "-C", folder, "push", "-q", repository, f"HEAD:refs/heads/{branch}"], check=True)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A workspace with a token that may write."""
    folder = tmp_path / "forge-token"
    folder.mkdir()
    (folder / "token").write_text(TOKEN + "\n")
    return folder


@pytest.fixture
def waits() -> list[float]:
    """The seconds that were waited for, without waiting."""
    return []


@pytest.fixture
def forge(site: Site, token: Path, waits: list[float]) -> Forge:
    """A client of the site."""
    return pull_request.connect(pull_request.Choice(site.kind, "", token), site.git_url, waits.append)
