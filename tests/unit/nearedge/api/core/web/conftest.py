"""Pages of an engine that says what a test wants, asked in process; and a browser for those that a real one runs."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from starlette.testclient import TestClient

from nearedge.api.access import Access, Caller, Tokens
from nearedge.api.core.engine import Change, LogQuery, Started
from nearedge.api.core.models import Declared, LogLine, Param, Run, RunSummary, Step, TaskStatus, Workspace
from nearedge.api.core.web import site
from nearedge.api.problems import conflict, missing
from nearedge.release.record import Record
from tests import core_web

EVIL = "<script>alert(1)</script>\"'&"
READ_TOKEN, MANAGE_TOKEN = "r" * 20, "m" * 20


def run_of(name, state="Succeeded", started="2026-11-23T10:00:00Z", **more):
    """A run with one Task."""
    ended = None if state in ("Pending", "Running") else "2026-11-23T10:02:05Z"
    step = Step(name="s", state=state, exit_code=None, started=started, ended=ended)
    task = TaskStatus(name="one", state=state, reason="", message="", started=started, ended=ended, steps=[step],
                      results={"figure": "12"})  # fmt: skip
    values = {
        "name": name, "pipeline": "greet", "state": state, "reason": "", "message": "", "started": started,
        "ended": ended, "labels": {}, "params": {"who": "you"}, "results": {}, "tasks": [task],
    } | more  # fmt: skip
    return Run(**values)


def declared(**more):
    """A Pipeline with a param of each kind."""

    def param(name, kind, default, description="What it is.", enum=()):
        return Param(name=name, type=kind, description=description, default=default, enum=list(enum))

    values = {
        "kind": "Pipeline", "name": "greet", "version": "1", "title": "Greet", "description": "Greets.",
        "params": [
            param("who", "string", None), param("tone", "string", "kind", enum=["kind", "stern"]),
            param("aloud", "string", "true"), param("more", "array", ["a"]), param("marks", "object", {"end": "!"}),
        ],
        "workspaces": [
            Workspace(name="release", description="The release.", optional=False),
            Workspace(name="source", description="The model.", optional=True),
        ],
        "results": {"said": "What was said."}, "tasks": ["one"],
    } | more  # fmt: skip
    return Declared(**values)


class FakeEngine:
    """Says what it is given, and keeps what it is asked for."""

    place = "Tekton in the namespace ci"

    def __init__(self):
        self.found: dict[str, Run] = {}
        self.catalog: list[Declared] = [declared()]
        self.asked: list[tuple[str, ...]] = []
        self.started = []
        self.lines: list[LogLine] = []
        self.refusal: Exception | None = None
        self.denied: Exception | None = None
        self.no_log: Exception | None = None
        self.no_watch: Exception | None = None
        self.reports: dict[str, bytes] = {}
        self.recorded: Record | None = None
        self.queue: asyncio.Queue[Change] = asyncio.Queue()

    def add(self, *runs):
        for one in runs:
            self.found[one.name] = one

    async def declared(self, token) -> Sequence[Declared]:
        self.asked.append(("declared", token))
        return self.catalog

    async def runs(self, _token) -> Sequence[RunSummary]:
        if self.denied:
            raise self.denied
        return list(self.found.values())

    async def run(self, name, _token) -> Run:
        if name not in self.found:
            raise missing(f"run {name}: there is none")
        return self.found[name]

    async def start(self, wanted, key, token) -> Started:
        if self.refusal:
            raise self.refusal
        self.started.append((wanted, key, token))
        self.add(run_of(wanted.name or "made-up", "Running"))
        return Started(self.found[wanted.name or "made-up"], True)

    async def cancel(self, name, _token) -> Run:
        self.asked.append(("cancel", name))
        return await self.run(name, _token)

    async def retry(self, name, _token) -> Run:
        if self.found[name].state == "Succeeded":
            raise conflict(f"run {name}: has ended well")
        self.asked.append(("retry", name))
        return (await self.run(name, _token)).model_copy(update={"name": f"{name}-again"})

    async def delete(self, name, _token) -> None:
        self.asked.append(("delete", name))
        del self.found[name]

    async def aclose(self) -> None:
        pass

    async def changes(self, _after, _token, _name="") -> AsyncIterator[Change]:
        if self.no_watch:
            raise self.no_watch
        while True:
            yield await self.queue.get()

    async def logs(self, _name, query: LogQuery, _token) -> AsyncIterator[LogLine]:
        self.asked.append(("logs", str(query.task), str(query.tail), str(query.follow)))
        for line in self.lines:
            if query.task in (None, line.task):
                yield line
        if self.no_log:
            raise self.no_log

    async def record(self, _name, _token):
        if self.recorded is None:
            raise missing("no record")
        return self.recorded

    async def report(self, _name, _token):
        if not self.reports:
            raise missing("no report")
        return list(self.reports)

    async def report_file(self, _name, file, _token):
        if file not in self.reports:
            raise missing("no such file")
        return self.reports[file]

    async def health(self):
        return {}


class Checker(HTMLParser):
    """What is in a page: the elements with their attributes, and whether each is closed."""

    VOID = frozenset(("meta", "link", "input", "img", "br", "rect", "hr"))

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.faults = [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"<{name}> is not closed" for name in self.open]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes another")

    def of(self, tag, **attributes):
        return [one for name, one in self.elements if name == tag and attributes.items() <= one.items()]


def checked(answer):
    """The page, which has to be whole and to obey what every page obeys."""
    text = answer.text
    found = Checker(text)
    assert found.faults == []
    assert [one for _, one in found.elements if "style" in one or any(name.startswith("on") for name in one)] == []
    assert [one for one in found.of("script") if "src" not in one] == [], "inline script"
    assert found.of("style") == []
    assert len(found.of("h1")) == 1
    assert found.of("html", lang="en")
    assert found.of("main", id="main")
    assert found.of("a", href="#main")
    ids = [one["id"] for _, one in found.elements if "id" in one]
    assert len(ids) == len(set(ids)), "an id stands twice"
    labels = {one.get("for") for one in found.of("label")}
    fields = [one for tag in ("input", "select", "textarea") for one in found.of(tag) if one.get("type") != "hidden"]
    assert [one for one in fields if one.get("id") not in labels and "aria-label" not in one] == []
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels
    described = [name for _, one in found.elements for name in one.get("aria-describedby", "").split()]
    assert set(described) <= set(ids)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text), "from another host"
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert answer.headers["cache-control"] == "no-store"
    return found


class Pages:
    """A browser without JavaScript: keeps cookies, sends forms with what is in them."""

    def __init__(self, app, base="http://localhost"):
        self.client = TestClient(app, base_url=base, raise_server_exceptions=True)

    def get(self, path, status=200):
        answer = self.client.get(path, follow_redirects=False)
        assert answer.status_code == status, answer.text
        return answer

    def token(self, path="/catalog"):
        return re.search(r'name="form-token" value="(\w+)"', self.get(path).text)[1]

    def send(self, path, form_page, status=303, headers=None, **fields):
        fields = {"form-token": self.token(form_page), **fields}
        answer = self.client.post(path, data=fields, headers=headers or {}, follow_redirects=False)
        assert answer.status_code == status, answer.text
        return answer


@pytest.fixture(scope="session", autouse=True)
def templates():
    """Compiled once for all tests, which takes longer than most of them."""
    made = site.environment(site.Assets())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "environment", lambda _: made)
        yield


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def pages(engine):
    """The pages on this machine, without tokens, without git."""
    return Pages(core_web.application(engine, Access())[1])


@pytest.fixture
def locked(engine):
    """A function that gives pages that want a token."""
    access = Access(
        Tokens({Caller("ann", "manage"): MANAGE_TOKEN.encode(), Caller("ray", "read"): READ_TOKEN.encode()})
    )

    def made(base="http://core.example.com"):
        return Pages(core_web.application(engine, access)[1], base)

    return made


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """A GitOps repository with two releases at two sites; not to be changed."""
    return core_web.published(tmp_path_factory.mktemp("gitops"))


@pytest.fixture
def with_git(engine, repository, tmp_path):
    """A function that gives pages that know releases and the fleet, with Prometheus or without."""

    def made(**more):
        source = core_web.fleet(tmp_path, repository, **more)
        return Pages(core_web.application(engine, Access(), source)[1]), source

    return made
