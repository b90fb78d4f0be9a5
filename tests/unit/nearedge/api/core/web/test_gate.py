"""Who is let in: forms of other pages, other sites, foreign names of this machine, no token, the wrong role."""

import pytest

from nearedge.api.core.web import sessions
from nearedge.api.core.web.gate import LARGEST_FORM
from nearedge.api.core.web.login_pages import inside
from nearedge.api.core.web.sessions import MOST, Caller, Sessions
from nearedge.api.origin import SameOrigin, is_this_machine
from tests.unit.nearedge.api.core.web.conftest import MANAGE_TOKEN, READ_TOKEN, run_of

DELETE = "/runs/r/confirm/delete"


@pytest.fixture(autouse=True)
def a_run(engine):
    engine.add(run_of("r"))


@pytest.mark.parametrize("token", ["", "0" * 64, "ä"])
def test_a_form_without_its_token_is_refused(pages, engine, token):
    pages.get("/")
    answer = pages.client.post(DELETE, data={"form-token": token}, follow_redirects=False)
    assert answer.status_code == 403
    assert "not from a page of this server" in answer.text
    assert "r" in engine.found


def test_a_form_of_another_browser_is_refused(pages, engine):
    token = pages.token(DELETE)
    pages.client.cookies.clear()
    assert pages.client.post(DELETE, data={"form-token": token}).status_code == 403
    pages.get("/")
    assert pages.client.post(DELETE, data={"form-token": token}).status_code == 403
    assert "r" in engine.found


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example.com"}, {"origin": "null"}, {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site", "origin": "http://localhost"},
    ],
)  # fmt: skip
def test_a_page_of_another_site_is_refused(pages, engine, headers):
    answer = pages.send(DELETE, DELETE, 403, headers)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "r" in engine.found


def test_our_own_page_is_let_through(pages):
    pages.send(DELETE, DELETE, 303, {"origin": "http://localhost", "sec-fetch-site": "same-origin"})


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        ("localhost", True), ("localhost:8090", True), ("127.0.0.1:1", True), ("[::1]:80", True), ("127.0.0.1", True),
        ("evil.example.com", False), ("localhost.evil.example.com", False), ("10.0.0.1", False), ("", False),
        ("[::1", False), ("evil.example.com:8090", False),
    ],
)  # fmt: skip
def test_names_of_this_machine(host, fine):
    assert is_this_machine(host) is fine


def test_a_foreign_name_that_points_here_gets_nothing(pages):
    for path in ("/", "/healthz", "/openapi.json", "/assets/x"):
        answer = pages.client.get(path, headers={"host": "evil.example.com"})
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")


def test_with_tokens_any_name_may_be_used():
    assert SameOrigin(None, loopback=False).fault("GET", {"host": "core.example.com"}) == ""


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"content": b"{}", "headers": {"content-type": "application/json"}}, 415),
        ({"data": {"x": "y" * LARGEST_FORM}}, 413),
        ({"data": {f"f{i}": "" for i in range(2000)}}, 400),
        ({"content": b"\xff", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
    ],
)
def test_what_is_no_form(pages, more, status):
    assert pages.client.post(DELETE, **more).status_code == status


def log_in(pages, token, status=303, following="/"):
    return pages.send("/login", "/login", status, token=token, next=following)


def test_login_and_out_again(locked, engine):
    pages = locked()
    asked = pages.get("/runs/r?task=one", 303)
    assert asked.headers["location"] == "/login?next=%2Fruns%2Fr%3Ftask%3Done"
    answer = log_in(pages, MANAGE_TOKEN, following="/runs/r?task=one")
    assert answer.headers["location"] == "/runs/r?task=one"
    cookie = answer.headers["set-cookie"]
    assert MANAGE_TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert "ann" in pages.get("/").text
    assert ("declared", MANAGE_TOKEN) in engine.asked, "a cluster is asked by the caller's own token"
    name = pages.client.cookies["nearedge"]
    pages.send("/logout", "/")
    pages.client.cookies.set("nearedge", name)
    pages.get("/", 303)


def test_a_login_gives_a_new_id(locked):
    pages = locked()
    pages.get("/login")
    before = pages.client.cookies["nearedge"]
    log_in(pages, MANAGE_TOKEN)
    assert pages.client.cookies["nearedge"] != before


def test_with_tls_the_cookie_never_goes_without(locked):
    pages = locked("https://core.example.com")
    cookie = log_in(pages, MANAGE_TOKEN).headers["set-cookie"]
    assert cookie.startswith("__Host-nearedge=")
    assert "Secure" in cookie
    pages.get("/")


def test_who_may_only_read_is_offered_nothing_else(locked, engine):
    pages = locked()
    log_in(pages, READ_TOKEN)
    text = pages.get("/runs/r").text + pages.get("/").text + pages.get("/catalog").text
    assert "/confirm/" not in text
    assert "/start/" not in text
    pages.get("/start/greet", 403)
    pages.get(DELETE, 403)
    assert "ray may only read" in pages.send(DELETE, "/", 403).text
    assert "r" in engine.found


def test_wrong_tokens_are_slowed_down(locked):
    pages = locked()
    for _ in range(10):
        answer = log_in(pages, "wrong", 401)
        assert "That token is not known here." in answer.text
    answer = log_in(pages, MANAGE_TOKEN, 429)
    assert int(answer.headers["retry-after"]) > 0


def test_nothing_is_seen_without_a_login(locked):
    pages = locked()
    own = ("", "/live", "/log/live", "/record", "/report/report.html")
    for path in ("/", "/live", "/start/greet", "/catalog", "/models", "/models/x", "/fleet", DELETE,
                 *(f"/runs/r{one}" for one in own)):  # fmt: skip
        assert pages.get(path, 303).headers["location"].startswith("/login?next="), path
    for path in (DELETE, "/start/greet"):
        assert pages.client.post(path, data={}, follow_redirects=False).status_code in (303, 403), path


def test_without_tokens_there_is_no_login(pages):
    assert pages.get("/login", 303).headers["location"] == "/"
    assert pages.send("/login", "/start/greet").headers["location"] == "/"


@pytest.mark.parametrize(
    "wanted", ["https://evil", "//evil", "/\\evil", "\\\\evil", "evil", "/\t/evil", "", "javascript:x"]
)
def test_a_login_leads_nowhere_else(wanted):
    assert inside(wanted) == "/"


def test_sessions_are_few_and_end(monkeypatch):
    found, caller = Sessions(), Caller("ann", "read")
    names = [found.open(caller, "t") for _ in range(MOST + 5)]
    assert len(found.found) == MOST
    assert found.get(names[0]) is None
    assert found.get(names[-1]).caller == caller
    assert names[-1].encode() not in found.found
    monkeypatch.setattr(sessions.time, "monotonic", lambda: sessions.LONGEST_S + 1e9)
    assert found.get(names[-1]) is None
    found.open(caller, "t")
    assert len(found.found) == 1


def test_forms_of_another_process_are_refused():
    assert not Sessions().is_form_token("x", Sessions().form_token("x"))
    assert not Sessions().is_form_token("", "")
