"""What both APIs share: access, parts of lists, entity tags, events, metrics, errors, listening."""

import asyncio
import io
import json
import socket

import pytest
import requests
from fastapi import FastAPI, Response
from starlette.requests import Request as Plain
from starlette.responses import StreamingResponse

from nearedge import errors
from nearedge.api import access, application, observed, pages, problems, serve, streams
from nearedge.api.access import Access, Caller, Tokens
from nearedge.api.models import Health
from nearedge.api.problems import ProblemError
from nearedge.api.serve import Listening
from nearedge.api.streams import ServerEvent
from tests.served import served

READ, MANAGE = "r" * 16, "m" * 20


def request(headers=None, address="192.0.2.1"):
    """A request as the modules see it."""
    pairs = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return Plain({"type": "http", "method": "GET", "path": "/", "headers": pairs, "client": (address, 1), "state": {}})


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# who may what\n\nann manage {MANAGE}\nbob read {READ}  # looks only\n")
    return path


def test_tokens_say_who_it_is_and_what_they_may(tokens):
    found = access.read(tokens)
    assert asyncio.run(found.caller(request(bearer(MANAGE)))) == Caller("ann", "manage")
    bob = asyncio.run(found.caller(request({"authorization": f"bearer {READ}"})))
    assert bob == Caller("bob", "read")
    assert access.allowed(bob, "read") is bob
    with pytest.raises(ProblemError) as refused:
        access.allowed(bob, "manage")
    assert refused.value.status == 403
    assert asyncio.run(access.read(None).caller(request())) == Caller("local", "manage")


@pytest.mark.parametrize("headers", [{}, {"authorization": f"Basic {READ}"}, bearer("wrong" * 5), bearer("")])
def test_who_has_no_token_gets_in_nowhere(tokens, headers):
    with pytest.raises(ProblemError) as refused:
        asyncio.run(access.read(tokens).caller(request(headers)))
    assert (refused.value.status, refused.value.headers) == (401, {"WWW-Authenticate": "Bearer"})


def test_who_guesses_has_to_wait_and_nobody_else(tokens, monkeypatch):
    found, now = access.read(tokens), [1000.0]
    monkeypatch.setattr(access.time, "monotonic", lambda: now[0])
    for _ in range(access.MOST_FAILURES):
        with pytest.raises(ProblemError):
            asyncio.run(found.caller(request(bearer("wrong" * 5))))
    with pytest.raises(ProblemError) as refused:
        asyncio.run(found.caller(request(bearer(MANAGE))))
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "60"})
    assert asyncio.run(found.caller(request(bearer(MANAGE), "192.0.2.2"))).name == "ann"
    now[0] += access.WITHIN_S + 1
    assert asyncio.run(found.caller(request(bearer(MANAGE)))).name == "ann"


def test_only_so_many_addresses_are_remembered(tokens, monkeypatch):
    monkeypatch.setattr(access, "ADDRESSES", 3)
    found = access.read(tokens)
    for number in range(5):
        found.failed(f"192.0.2.{number}")
    assert list(found.failures) == ["192.0.2.2", "192.0.2.3", "192.0.2.4"]


@pytest.mark.parametrize(
    "line", ["ann manage", f"ann root {MANAGE}", "ann read short", f"ann read {MANAGE} more", "# nothing"]
)
def test_a_damaged_tokens_file_is_told_without_a_token(tmp_path, line):
    path = tmp_path / "tokens"
    path.write_text(f"{line}\n")
    with pytest.raises(errors.InputError) as refused:
        access.read(path)
    assert str(path) in str(refused.value)
    assert MANAGE not in str(refused.value)


def test_parts_fit_together_while_items_come_and_go():
    items = [f"{number:02}" for number in range(10)]
    first = pages.part(items, str, 4, None)
    assert (first.items, pages.read_cursor(first.next or "")) == (items[:4], "03")
    less = [item for item in items if item != "03"]
    second = pages.part(["000", *less], str, 4, first.next)
    assert second.items == items[4:8]
    last = pages.part(items, str, 4, second.next)
    assert (last.items, last.next) == (items[8:], None)
    assert pages.part(items, str, 10, None).next is None
    assert pages.read_cursor(pages.cursor("é ~?")) == "é ~?"


@pytest.mark.parametrize("text", ["!", "a", "====", "_w", "é"])
def test_a_cursor_of_nobody(text):
    with pytest.raises(ProblemError) as refused:
        pages.read_cursor(text)
    assert refused.value.status == 400


def test_the_same_document_has_the_same_tag():
    one, other = Health(status="ok"), Health(status="degraded")
    tag = pages.entity_tag(one)
    assert tag == pages.entity_tag(Health(status="ok")) != pages.entity_tag(other)
    response = Response()
    assert pages.tagged(request(), response, one) is one
    assert response.headers["etag"] == tag
    for known in (tag, f'"x", W/{tag}', "*"):
        answer = pages.tagged(request({"If-None-Match": known}), Response(), one)
        assert isinstance(answer, Response) and (answer.status_code, answer.headers["etag"]) == (304, tag)
    assert pages.tagged(request({"If-None-Match": '"x"'}), Response(), one) is one
    for known in (tag, f'"x", {tag}', "*"):
        pages.unchanged(request({"If-Match": known}), one)
    pages.unchanged(request(), one)
    with pytest.raises(ProblemError) as refused:
        pages.unchanged(request({"If-Match": pages.entity_tag(other)}), one)
    assert refused.value.status == 412


def test_events_are_lines_that_a_browser_reads():
    text = ServerEvent("line", {"text": "a\nb\r\u2028é"}, "7").encoded().decode()
    assert text == 'id: 7\nevent: line\ndata: {"text": "a\\nb\\r\u2028é"}\n\n'
    assert ServerEvent("end", {}).encoded() == b"event: end\ndata: {}\n\n"


def test_a_stream_shows_that_it_lives_and_ends_its_source():
    ended = []

    async def source():
        try:
            yield ServerEvent("one", 1)
            await asyncio.sleep(0.05)
            yield ServerEvent("two", 2)
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def read():
        found, stream = [], streams.kept_alive(source(), 0.02)
        async for piece in stream:
            found.append(piece)
            if b"two" in piece:
                break
        await stream.aclose()
        return found

    found = asyncio.run(read())
    assert found[0].startswith(b"event: one") and found[-1].startswith(b"event: two")
    assert b": alive\n\n" in found[1:-1]
    assert ended == [True]


def test_a_stream_ends_with_its_source():
    async def source():
        yield ServerEvent("one", 1)

    async def read():
        return [piece async for piece in streams.kept_alive(source(), 60)]

    assert asyncio.run(read()) == [b"event: one\ndata: 1\n\n"]


@pytest.fixture(scope="module")
def small():
    """A small application on a port, and what it logged."""

    async def sources():
        return {"disk": "full"}

    app = application.new_app("small", "one of each", Access(Tokens({Caller("bob", "read"): READ.encode()})), sources)

    @app.get("/errors/{kind}")
    async def fail(kind: str) -> None:
        raise {kind: kind_of("it is so") for kind, kind_of in FAULTS.items()}[kind]

    @app.get("/seen/{number}")
    async def seen(number: int, caller: application.Reader, token: application.Token) -> Response:
        return Response(f"{number} {caller.name} {token == READ}", headers={"Content-Security-Policy": "own"})

    @app.post("/changed")
    async def changed(caller: application.Manager) -> None:
        assert caller

    found = application.watched(app, "small")
    found.log = io.StringIO()
    with served(found) as url:
        yield url, found


FAULTS = {
    "InputError": errors.InputError, "UsageError": errors.UsageError, "GateError": errors.GateError,
    "OutsideError": errors.OutsideError, "UnsupportedError": errors.UnsupportedError,
    "MachineError": errors.MachineError,
    "ProblemError": lambda text: ProblemError(409, text, {"Retry-After": "3"}, why=1),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "status"),
    [("InputError", 422), ("UsageError", 400), ("GateError", 409), ("OutsideError", 502), ("UnsupportedError", 501),
     ("MachineError", 507), ("ProblemError", 409)],
)  # fmt: skip
def test_every_error_is_a_problem_document(small, kind, status):
    answer = requests.get(f"{small[0]}/errors/{kind}", timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (status, problems.MEDIA_TYPE)
    document = answer.json()
    assert (document["status"], document["detail"], document["type"]) == (status, "it is so", "about:blank")
    if kind == "ProblemError":
        assert (document["why"], answer.headers["retry-after"]) == (1, "3")


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("PUT", "/seen/1", 405, "Method Not Allowed"),
        ("GET", "/seen/x", 422, "path.number: Input should be a valid integer"),
        ("POST", "/changed", 403, "bob may only read; this needs the role manage"),
    ],
)
def test_what_the_framework_refuses_is_one_too(small, method, path, status, says):
    answer = requests.request(method, f"{small[0]}{path}", headers=bearer(READ), timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (status, problems.MEDIA_TYPE)
    assert says in answer.json()["detail"]


def test_requests_are_numbered_logged_and_counted_without_a_token(small):
    url, found = small
    answer = requests.get(f"{url}/seen/7", headers={**bearer(READ), "X-Request-Id": "mine-1"}, timeout=30)
    assert (answer.text, answer.headers["x-request-id"]) == ("7 bob True", "mine-1")
    assert answer.headers["content-security-policy"] == "own"
    assert answer.headers["x-content-type-options"] == "nosniff"
    other = requests.get(f"{url}/seen/8", headers={"X-Request-Id": "no good: {}"}, timeout=30)
    assert other.status_code == 401 and len(other.headers["x-request-id"]) == 16
    assert "default-src 'self'" in other.headers["content-security-policy"]
    lines = [json.loads(line) for line in found.log.getvalue().splitlines()]
    line = next(line for line in lines if line["request_id"] == "mine-1")
    assert (line["path"], line["status"], line["caller"], line["level"]) == ("/seen/7", 200, "bob", "info")
    assert line["duration_ms"] > 0
    assert READ not in found.log.getvalue()
    metrics = requests.get(f"{url}/metrics", timeout=30)
    assert metrics.headers["content-type"] == observed.CONTENT_TYPE
    assert 'small_requests_total{method="GET",route="/seen/{number}",status="200"} 1' in metrics.text
    label = 'method="GET",route="/seen/{number}"'
    told = dict(line.rsplit(" ", 1) for line in metrics.text.splitlines())
    count = int(told[f"small_request_duration_seconds_count{{{label}}}"])
    assert count == int(told[f'small_request_duration_seconds_bucket{{{label},le="+Inf"}}']) >= 2
    assert "/metrics" not in found.log.getvalue()


def test_methods_of_nobody_do_not_fill_the_memory():
    found = observed.Observed(FastAPI(), "small", io.StringIO())
    for number in range(20):
        scope = {"type": "http", "method": f"ODD{number}", "path": "/x", "headers": [], "state": {}}
        found.observe(scope, 405, 0.001, "1")
    assert found.counts == {("other", "", 405): 20}


def test_health_says_what_is_wrong(small):
    assert requests.get(f"{small[0]}/healthz", timeout=30).json()["status"] == "ok"
    answer = requests.get(f"{small[0]}/readyz", timeout=30)
    assert (answer.status_code, answer.json()) == (503, {"status": "degraded", "sources": {"disk": "full"}})


@pytest.mark.parametrize(
    ("listening", "tokens", "says"),
    [
        (Listening("0.0.0.0", 1), False, "without tokens only this machine"),
        (Listening("edge.example", 1), False, "without tokens only this machine"),
        (Listening("::", 1), False, "without tokens only this machine"),
        (Listening("127.0.0.1", 1, tls_cert=errors.__file__), False, "belong together"),
    ],
)
def test_nobody_listens_where_all_could_do_all(listening, tokens, says):
    with pytest.raises(errors.UsageError, match=says):
        serve.check(listening, tokens=tokens)


def test_loopback_and_tokens_are_fine():
    for host in ("127.0.0.1", "::1", "localhost"):
        serve.check(Listening(host, 1), tokens=False)
    serve.check(Listening("0.0.0.0", 1), tokens=True)


def test_a_port_that_is_taken_is_told():
    with serve.bind(Listening("127.0.0.1", 0)) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        port = listener.getsockname()[1]
        assert serve.address(Listening("::1", 0, tls_cert=errors.__file__), listener) == f"https://[::1]:{port}"
        with pytest.raises(errors.UsageError, match="address already in use"):
            serve.bind(Listening("127.0.0.1", port))
    for wrong in (Listening("127.0.0.1", 99999), Listening("192.0.2.1", 0)):
        with pytest.raises(errors.UsageError):
            serve.bind(wrong)


def test_a_certificate_that_is_none_is_told(tmp_path):
    pem = tmp_path / "cert.pem"
    pem.write_text("no certificate")
    listening = Listening("127.0.0.1", 0, pem, pem)
    with serve.bind(listening) as listener, pytest.raises(errors.UsageError, match="--tls-cert, --tls-key"):
        serve.serve(FastAPI(), listening, listener)


@pytest.mark.parametrize(
    ("error", "goes_on"),
    [
        (ProblemError(401, "x"), False),
        (ProblemError(403, "x"), False),
        (ProblemError(502, "x"), True),
        (errors.OutsideError("x"), True),
    ],
)
def test_who_follows_a_stream_is_judged_anew(monkeypatch, error, goes_on):
    monkeypatch.setattr(observed, "JUDGED_S", 0.0)

    async def sources():
        return {}

    app = application.new_app("small", "a stream", Access(Tokens({Caller("bob", "read"): READ.encode()})), sources)
    taken_back = []

    @app.get("/stream")
    async def follow(request: Plain, _: application.Reader):
        async def judge():
            if taken_back:
                raise error

        async def lines():
            yield "first\n"
            taken_back.append(True)
            yield "second\n"

        request.scope["state"]["judge"] = judge
        return StreamingResponse(lines())

    with served(application.watched(app, "small")) as url:
        answer = requests.get(f"{url}/stream", headers=bearer(READ), timeout=30)
    assert answer.text == ("first\nsecond\n" if goes_on else "first\n")


def test_a_right_token_among_many_wrong_ones_that_come_at_once_is_refused():
    async def judge(token):
        await asyncio.sleep(0.2 if token == "right" else 0)
        return Caller("ann", "read") if token == "right" else None

    async def together():
        found = Access(judge)
        wrong = [found.known(f"wrong {number}", "192.0.2.1") for number in range(access.MOST_FAILURES)]
        with pytest.raises(ProblemError) as refused:
            await asyncio.gather(found.known("right", "192.0.2.1"), *wrong)
        assert refused.value.status == 429

    asyncio.run(together())
