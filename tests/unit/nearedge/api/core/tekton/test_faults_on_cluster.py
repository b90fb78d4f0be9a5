"""The API server away, slow, forgetful or wrong: never a hang, never a 500, one line."""

import pytest

from tests.core_cluster import RUNS
from tests.unit.nearedge.api.core.tekton.test_logs_on_cluster import log, write_run
from tests.unit.nearedge.api.core.tekton.test_started_once import end, listed

READ = ["/runs", "/runs/one", "/runs/one/logs", "/runs/one/logs?follow=true", "/runs/one/events", "/pipelines"]


def checked(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "\n" not in answer.json()["detail"]
    return answer.json()["detail"]


def test_a_cluster_that_is_away(alone, bare):
    alone.start(name="one")
    alone.get("/runs")
    with bare.away():
        for path in READ[1:4]:
            assert "does not answer" in checked(alone.ask("GET", path), 502)
        checked(alone.start(), 502)
        assert [one["name"] for one in alone.get("/runs")["items"]] == ["one"], "what was heard last"
    bare.until(lambda: alone.ask("GET", "/runs/one").status_code == 200)
    end(bare, "one")
    listed(alone, bare, "one", "Succeeded")


@pytest.mark.parametrize(("code", "status"), [(500, 502), (503, 502), (429, 429)])
def test_what_a_cluster_in_trouble_answers(alone, bare, code, status):
    alone.start(name="one")
    with bare.faults.answer(code, "get", "pipelineruns", retry_after=7, message="too much\nto do"):
        answer = alone.ask("GET", "/runs/one")
    assert checked(answer, status) == "the cluster says: too much to do"
    assert answer.headers["retry-after"] == "7"


def test_a_proxy_that_speaks_in_its_place(alone, bare):
    alone.start(name="one")
    with bare.faults.text(200, "<html>log in</html>", "get", "pipelineruns"):
        assert "is no JSON" in checked(alone.ask("GET", "/runs/one"), 502)


def test_a_cluster_that_takes_requests_and_says_nothing(own, own_bare, monkeypatch):
    monkeypatch.setattr("nearedge.api.core.tekton.watches.PATIENCE_S", 0.5)
    with own_bare.faults.hang("list", "pipelineruns"):
        assert "being listed; try again" in checked(own.ask("GET", "/runs"), 503)
    assert own.get("/runs")["items"] == []


def test_a_list_that_was_forgotten_is_made_anew(alone, bare):
    for name in ("one", "two"):
        alone.start(name=name)
        listed(alone, bare, name, "Pending")
    bare.delete(f"{RUNS}/one")
    bare.until(lambda: [one["name"] for one in alone.get("/runs")["items"]] == ["two"])
    bare.compact()
    bare.cut()
    end(bare, "two")
    listed(alone, bare, "two", "Succeeded")


def test_a_cluster_without_tekton(own, own_bare):
    said = "the server could not find the requested resource"
    with own_bare.faults.answer(404, "list", message=said):
        assert "is Tekton Pipelines 1.0 or newer installed?" in checked(own.ask("GET", "/runs"), 502)
        assert "install Tekton Pipelines 1.0+" in checked(own.ask("GET", "/pipelines"), 502)


def test_followers_of_a_run_that_is_deleted(alone, bare):
    write_run(bare, "one", build={"a": None})
    log(bare, "one", "build", "a", "one\n")
    events = alone.events("/runs/one/events")
    assert next(events)[0] == "run"
    lines = alone.events("/runs/one/logs?follow=true")
    assert next(lines)[1]["text"] == "one"
    bare.delete(f"{RUNS}/one")
    bare.cut()
    assert [kind for kind, *_ in events][-1] in ("end", "problem")
    assert [kind for kind, *_ in lines][-1] == "problem"


@pytest.mark.parametrize("path", ["/runs/events", "/runs/one/events"])
def test_events_end_with_a_token_that_is_taken_back(own, own_bare, path):
    write_run(own_bare, "one", build={"a": None})
    events = own.events(path, {"Last-Event-ID": "0"})
    first = next(events)[1]
    assert first["name"] == "one"
    own_bare.revoke(own.token)
    own_bare.cut()
    kinds = [(kind, one.get("detail", "")) for kind, one, _ in events]
    assert kinds[-1][0] == "problem"
    assert "Unauthorized" in kinds[-1][1]


def test_a_watch_that_cannot_be_made_anew_does_not_hide_what_is_known(alone, bare):
    alone.start(name="one")
    listed(alone, bare, "one", "Pending")
    (watched,) = [one.watched for key, one in alone.engine.watches.found.items() if not key[2]]
    with bare.faults.answer(503, "watch", "pipelineruns"):
        bare.cut()
        bare.until(lambda: watched.refused == 503)
        assert [one["name"] for one in alone.get("/runs")["items"]] == ["one"]
    bare.until(lambda: not watched.fault)


def test_a_token_that_is_taken_back_ends_what_follows(own, own_bare):
    write_run(own_bare, "one", build={"a": None})
    log(own_bare, "one", "build", "a", "one\n")
    with own.session.get(f"{own.url}/api/v1/runs/one/logs?follow=true", stream=True, timeout=60) as answer:
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        assert [next(lines), next(lines)] == ["[build : a]", "one"]
        own_bare.revoke(own.token)
        own_bare.cut()
        assert next(lines).startswith("nearedge: the log breaks off: the cluster says: Unauthorized")
