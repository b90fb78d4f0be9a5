"""What can be done about a model at a site without Kubernetes, and what is said where it cannot."""

import json

import pytest

from nearedge.api.access import Access, Caller, Tokens
from tests.edge_api import edge, fake, put


def test_the_log_level_is_set_until_the_server_ends(shown, server):
    before = shown.get("/models/digits/log-level")
    assert (before["level"], before["at_start"], before["models"]) == ("info", "info", ["digits", "mixed"])
    try:
        for level in ("debug", "error", "warning"):
            found = shown.ask("PUT", "/models/digits/log-level", json={"level": level})
            assert found.status_code == 200 and found.json()["level"] == level
            assert shown.get("/models/mixed/log-level")["level"] == level
            assert server.get("/v2/logging").json()["log_level"] == level
    finally:
        found = shown.ask("PUT", "/models/digits/log-level", json={"level": "info"}).json()
    assert (found["level"], found["at_start"], found["reason"]) == ("info", "info", "")
    done, begun = shown.get("/audit", params={"limit": 2})["items"]
    assert (begun["what"], begun["outcome"], done["outcome"]) == ("log level info", "begun", "done")
    assert done["detail"] == "info, until the server of digits, mixed ends"


@pytest.mark.parametrize("body", [{}, {"level": "trace"}, {"level": "info", "more": 1}, []])
def test_levels_that_there_are_not(shown, body):
    assert shown.ask("PUT", "/models/digits/log-level", json=body).status_code == 422


@pytest.mark.parametrize(
    ("status", "says", "answers"),
    [(404, "of an older release", 409), (403, "token", 409), (200, "we do not know", 200), (500, "status 500", 502)],
)
def test_a_server_that_does_not_let_us_set_its_level(tmp_path, status, says, answers):
    with fake() as server:
        server.logging = status, {"log_level": "loud"} if status == 200 else {"error": "set --token-file"}
        put(tmp_path, server.url)
        with edge(tmp_path) as running:
            running.until("/models", lambda page: page["items"])
            answer = running.ask("PUT", "/models/m/log-level", json={"level": "debug"})
            assert answer.status_code == answers and says in answer.text
            assert running.get("/models/m/log-level")["level"] is None
            outcome = running.get("/audit")["items"][0]
            assert outcome["outcome"] == ("done" if status == 200 else "failed")
            server.how = "refuse"
            found = running.get("/models/m/log-level")
            assert found["sources"][0]["state"] == "missing" and found["reason"]
    sent = json.loads(server.sent)
    assert sent == {"log_verbose_level": 1, "log_info": True, "log_warning": True, "log_error": True}


def test_the_token_for_the_log_level_is_sent_for_that_alone(tmp_path):
    (tmp_path / "own").write_text("own" * 5)
    with fake() as server:
        server.logging = 200, {"log_level": "debug", "log_level_at_start": "info"}
        put(tmp_path, server.url)
        with edge(tmp_path, log_token=tmp_path / "own") as running:
            running.until("/models", lambda page: page["items"])
            assert running.get("/models/m/log-level")["level"] == "debug"
            assert server.authorization == ""
            assert running.ask("PUT", "/models/m/log-level", json={"level": "debug"}).status_code == 200
            assert server.authorization == f"Bearer {'own' * 5}"


ACTIONS = ["sync", "sync/pause", "sync/resume", "pre-pull"]


@pytest.mark.parametrize("action", ACTIONS)
def test_without_git_to_follow_it_says_what_to_do_instead_and_writes_it_down(shown, action):
    answer = shown.ask("POST", f"/models/digits/{action}")
    assert answer.status_code == 409 and answer.headers["content-type"] == "application/problem+json"
    assert "start" in answer.json()["detail"]
    line, begun = shown.get("/audit", params={"limit": 2})["items"]
    assert (line["who"], line["model"], begun["outcome"], line["outcome"]) == ("local", "digits", "begun", "failed")
    assert line["what"].split()[0] in action.replace("/", " ").split() and "nearedge serve" in line["detail"]


def test_which_image_to_pre_pull_is_a_digest_and_nothing_else(shown):
    for body in ({"digest": "latest"}, {"image": "evil.example/x"}, {"digest": "sha256:" + "A" * 64}):
        assert shown.ask("POST", "/models/digits/pre-pull", json=body).status_code == 422
    assert shown.ask("POST", "/models/digits/pre-pull", json={"digest": "sha256:" + "a" * 64}).status_code == 409


def test_how_it_stands_is_told_all_the_same(shown):
    sync, pulled = shown.get("/models/digits/sync"), shown.get("/models/digits/pre-pull")
    assert (sync["automated"], sync["paused"], sync["last"], pulled["state"]) == (None, None, None, "none")
    assert sync["sources"][0]["state"] == pulled["sources"][0]["state"] == "not configured"
    assert "does not follow git" in sync["reason"] and "podman pull" in pulled["reason"]


def test_who_may_only_read_does_none_of_it(tmp_path):
    people = Access(Tokens({Caller("ada", "manage"): b"a" * 20, Caller("bob", "read"): b"b" * 20}))
    with fake() as server:
        put(tmp_path, server.url)
        with edge(tmp_path, people) as running:
            running.session.headers["Authorization"] = f"Bearer {'b' * 20}"
            running.until("/models", lambda page: page["items"])
            for action in ACTIONS:
                assert running.ask("POST", f"/models/m/{action}").status_code == 403
            assert running.ask("PUT", "/models/m/log-level", json={"level": "info"}).status_code == 403
            for path in ("sync", "pre-pull", "log-level"):
                running.get(f"/models/m/{path}")
            running.session.headers["Authorization"] = f"Bearer {'a' * 20}"
            assert running.get("/audit")["items"] == []


@pytest.mark.parametrize("path", ["sync", "pre-pull", "log-level"])
def test_models_that_there_are_not(shown, path):
    assert shown.ask("GET", f"/models/absent/{path}").status_code == 404
    more = {"json": {"level": "info"}} if path == "log-level" else {}
    answer = shown.ask("PUT" if more else "POST", f"/models/absent/{path}", **more)
    assert answer.status_code == 404 and "absent" in answer.json()["detail"]


def test_there_are_no_containers_here(shown):
    for query in ("previous=true", "container=agent"):
        found = shown.get(f"/models/digits/logs?{query}")
        assert found["lines"] == [] and "no containers" in found["sources"][0]["reason"]
    assert shown.ask("GET", "/models/digits/logs?container=A_b").status_code == 422
    assert shown.ask("GET", "/models/digits/logs/follow?container=agent").status_code == 409
    answer = shown.ask("GET", "/models/digits/logs/follow?previous=true")
    assert answer.status_code == 422 and "previous=true reads it" in answer.json()["detail"]
