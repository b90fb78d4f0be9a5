"""What the API tells of the models of a real server, and what can be done about them."""

import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import count

import numpy as np
import pytest
import requests

from nearedge.api.access import Access, Caller, Tokens
from nearedge.delivery.gitops.publish import Target
from nearedge.runner import serving as state
from tests.edge_api import edge, fake, put


def sources(document):
    return {one["name"]: one["state"] for one in document["sources"]}


def test_general_information(shown, server):
    page = shown.get("/models", params={"limit": 1})
    assert [one["name"] for one in page["items"]] == ["digits"] and page["next"]
    assert [one["name"] for one in shown.get("/models", params={"after": page["next"]})["items"]] == ["mixed"]
    found = shown.get("/models/digits")
    identity = server.get("/v2/models/digits/release").json()
    assert found["release"] == identity and found["source"] == identity["source"]
    assert (found["version"], found["precision"], found["served_versions"]) == ("1", "f32", ["1"])
    assert found["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    assert [one["name"] for one in found["outputs"]] == ["logits", "probabilities"]
    assert (found["server"], found["what"]) == (server.url(""), "a folder")
    assert sources(found) == {"server": "ok", "git": "ok"}
    assert all(one["age_s"] is not None and one["as_of"] for one in found["sources"])


def test_the_release_has_an_entity_tag(shown):
    first = shown.ask("GET", "/models/digits/release")
    tag = first.headers["ETag"]
    assert shown.ask("GET", "/models/digits/release", headers={"If-None-Match": tag}).status_code == 304


def test_health(shown):
    found = shown.get("/models/digits/health")
    assert (found["live"], found["ready"], found["state"], found["reason"]) == (True, True, "ready", "")
    assert found["self_test"] == {"passed": True, "samples": 3, "largest_difference": 0.0}
    assert (found["restarts"], found["last_restarts"]) == (0, [])


def test_availability_of_what_was_seen(shown):
    found = shown.until("/models/digits/availability", lambda one: one["windows"][0]["ratio"] is not None)
    assert [one["window"] for one in found["windows"]] == ["1h", "24h", "7d", "30d"]
    assert found["windows"][0]["ratio"] == 1.0
    assert 0 < found["windows"][3]["observed"] < found["windows"][0]["observed"] < 0.2
    assert sources(found) == {"prometheus": "not configured", "sampler": "ok"}
    one = shown.get("/models/digits/availability?window=7d&window=7d")
    assert [window["window"] for window in one["windows"]] == ["7d"]
    assert shown.ask("GET", "/models/digits/availability?window=9d").status_code == 422


def test_metrics_as_figures_and_as_they_are(shown, server):
    image = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": np.zeros(64).tolist()}
    before = shown.get("/models/digits/metrics")
    for body in ({"inputs": [image]}, {"inputs": [image]}, {"inputs": []}):
        server.post("/v2/models/digits/infer", json=body)
    found = shown.get("/models/digits/metrics")
    assert (found["requests"] - before["requests"], found["errors"] - before["errors"]) == (3, 1)
    assert 0 < found["latency"]["p50_ms"] <= found["latency"]["p99_ms"]
    assert found["server_resident_bytes"] > 10_000_000 and found["server_started"] and found["load_seconds"] > 0
    text = shown.ask("GET", "/models/digits/metrics/text")
    assert text.headers["content-type"].startswith("text/plain") and 'model="digits"' in text.text


def test_the_log_is_of_the_model_only_and_from_a_time(shown, server):
    server.get("/v2/models/mixed/ready")
    server.get("/v2/models/digits/ready")
    found = shown.until(
        "/models/digits/logs", lambda one: any('"model":"digits"' in line["text"] for line in one["lines"])
    )
    assert not any('"model":"mixed"' in line["text"] for line in found["lines"])
    last = found["lines"][-1]
    assert last["level"] == "info" and last["time"]
    one = shown.get("/models/digits/logs", params={"tail": 1})
    assert len(one["lines"]) == 1 and one["cut"]
    assert shown.get("/models/digits/logs", params={"since": "2999-01-01T00:00:00Z"})["lines"] == []
    since = shown.get("/models/digits/logs", params={"since": last["time"]})["lines"]
    assert since and all(line["time"] >= last["time"] for line in since)


@contextmanager
def asked_all_the_time(server):
    """Requests whose ids are follow-0, follow-1 ..., one after the other, until the end of the block."""
    ended = threading.Event()

    def ask():
        with requests.Session() as session:
            session.trust_env = False
            for number in count():
                if ended.wait(0.05):
                    return
                url = server.url("/v2/models/digits/ready")
                session.get(url, headers={"X-Request-Id": f"follow-{number}"}, timeout=60)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        ended.set()
        asking.join(60)


def test_the_log_is_followed_and_taken_up_again(shown, server):
    url = f"{shown.url}/api/v1/models/digits/logs/follow"

    def events(answer, wanted):
        found, number, until = [], "", time.monotonic() + 60
        for line in answer.iter_lines(decode_unicode=True):
            assert time.monotonic() < until, found  # there is always a next line: the stream gives signs of life
            number = line.removeprefix("id: ") if line.startswith("id: ") else number
            asked = re.search(r"follow-(\d+)", line)
            if line.startswith("data: ") and asked:  # the log has our own looks, too
                found.append((number, int(asked[1])))
            if len(found) == wanted:
                return found
        raise AssertionError(found)

    with asked_all_the_time(server):
        with requests.get(url, stream=True, timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            ((place, first),) = events(answer, 1)
        with requests.get(url, stream=True, timeout=60, headers={"Last-Event-ID": place}) as answer:
            again = events(answer, 2)
    assert [number for _, number in again] == [first + 1, first + 2]


def test_what_git_wants_and_what_runs(shown):
    found = shown.get("/models/digits/versions")
    assert (found["desired"]["version"], found["running"]["version"], found["same"]) == ("1.b", "1", False)
    assert found["desired"]["digest"] == f"sha256:{'b' * 64}" and len(found["commit"]) == 40
    assert "git says 1.b (bbbbbbbbbbbb), 1 (" in found["reason"] and "does not follow git" in found["reason"]
    other = shown.get("/models/mixed/versions")
    assert (other["desired"], other["same"]) == (None, False) and "does not run it" in other["reason"]


def test_upgrades_of_git_and_of_what_was_seen(shown):
    found = shown.until("/models/digits/upgrades", lambda one: len(one["upgrades"]) == 3)["upgrades"]
    told = {one["to"]["version"]: one for one in found}
    assert (told["1.b"]["left"]["version"], told["1.a"]["left"]) == ("1.a", None)
    assert told["1.b"]["commit"] and not told["1.b"]["rolled_back"] and told["1.b"]["running"] is None
    assert told["1.b"]["bytes"] is None or told["1.b"]["bytes"] > 0
    assert (told["1"]["commit"], told["1"]["duration_s"]) == (None, None) and told["1"]["running"]


def test_events_and_their_pages(shown):
    page = shown.get("/events", params={"limit": 2, "model": "digits"})
    rest = shown.get("/events", params={"after": page["next"], "model": "digits"})
    kinds = [one["kind"] for one in [*page["items"], *rest["items"]]]
    assert kinds == ["ready", "running", "appeared"]


def test_the_site_and_its_sources(shown, server):
    found = shown.get("/site")
    assert (found["site"], found["models"], found["ready"]) == ("edge-1", 2, 2)
    assert sources(found) == {
        f"server {server.url('')}": "ok",
        "git": "ok",
        "prometheus": "not configured",
        "store": "ok",
    }
    assert requests.get(f"{shown.url}/readyz", timeout=5).json()["status"] == "ok"


@pytest.mark.parametrize(
    "path", ["", "/release", "/health", "/logs", "/logs/follow", "/metrics", "/versions", "/upgrades"]
)
def test_no_such_model(shown, path):
    answer = shown.ask("GET", f"/models/absent{path}")
    assert answer.status_code == 404 and "absent" in answer.json()["detail"]


def test_the_self_test_is_repeated_and_audited(shown):
    answer = shown.ask("POST", "/models/digits/self-test")
    assert answer.status_code == 200 and answer.json()["passed"] is True
    done, begun = shown.get("/audit", params={"limit": 2})["items"]
    assert (begun["outcome"], done["outcome"], done["detail"]) == ("begun", "done", "passed")
    assert (done["who"], done["what"], done["model"]) == ("local", "self-test", "digits") and done["time"]


def newest(page):
    """The newest upgrade that git knows of."""
    return next(one for one in page["upgrades"] if one["commit"])


def test_rolling_back_writes_git_once_and_says_who(fresh_place, tmp_path):
    place = fresh_place
    for digest in "ab":
        place.put(digest, "edge-1", "edge-2", name="m")
    people = Access(Tokens({Caller("ada", "manage"): b"a" * 20, Caller("bob", "read"): b"b" * 20}))
    ada, bob = ({"Authorization": f"Bearer {letter * 20}"} for letter in "ab")
    with fake() as server:
        put(tmp_path / "home", server.url)
        settings = {"site": "edge-1", "target": Target(place.target.url, "main")}
        with edge(tmp_path / "home", people, **settings) as running:
            running.session.headers.update(ada)
            running.until("/models", lambda page: page["items"] and page["items"][0]["version"])
            for path in ("/models/m/rollback", "/models/m/self-test"):
                assert running.ask("POST", path, json={}, headers=bob).status_code == 403
            assert running.ask("GET", "/audit", headers=bob).status_code == 403
            assert running.ask("GET", "/models", headers={"Authorization": ""}).status_code == 401
            assert running.get("/models/m/versions")["same"] is False
            first = running.ask("POST", "/models/m/rollback", json={}).json()
            assert (first["changed"], first["left"], first["to"]) == (True, f"sha256:{'b' * 64}", f"sha256:{'a' * 64}")
            again = running.ask("POST", "/models/m/rollback", json={"to": "previous"}).json()
            assert again["changed"] is False and "set back" in again["reason"]
            assert running.ask("POST", "/models/m/rollback", json={"to": "9.9"}).status_code == 422
            assert running.ask("POST", "/models/m/rollback", json={"to": "--evil"}).status_code == 422
            assert running.until("/models/m/versions", lambda one: one["same"])["reason"] == ""
            found = running.until("/models/m/upgrades", lambda page: newest(page)["rolled_back"])["upgrades"]
            audit = running.get("/audit")["items"]
    assert next(one["to"]["version"] for one in found if one["commit"]) == "1.a"
    seen = next(one for one in found if one["running"])
    assert seen["to"]["digest"] == server.digest
    log = rollback_log(place)
    assert log.startswith("ada <edge-api@edge-1>") and "Rolled-back: edge-1" in log and "edge-2" not in log
    assert [(one["who"], one["outcome"]) for one in audit] == [
        ("ada", "failed"), ("ada", "begun"), ("ada", "done"), ("ada", "begun"), ("ada", "done"), ("ada", "begun")
    ]  # fmt: skip
    assert f"in {first['commit']}" in audit[4]["detail"] and "9.9" in audit[0]["detail"]


def rollback_log(place):
    command = ["git", "log", "-1", "--format=%an <%ae>%n%B", "main"]
    return subprocess.run(command, cwd=place.remote, check=True, capture_output=True, text=True).stdout


def test_what_nearedge_serve_started_is_found_and_its_end_is_told(released, tmp_path, monkeypatch):
    monkeypatch.setenv("NEAREDGE_HOME", str(tmp_path))
    command = [sys.executable, "-m", "scripts.serve", str(released.models), "--grpc-port=0", "--port"]
    with edge(tmp_path, timeout_s=3.0) as running:
        assert running.get("/models")["items"] == []
        with served([*command, "0"]) as (program, url):
            running.until("/models", lambda page: len(page["items"]) == 2 and page["items"][0]["version"])
            own = next(state.found(state.folder()))
            assert (own.url, own.what, own.ended) == (url, str(released.models), "")
            kill_server(program.pid)
            assert program.wait(20) == 137
        found = running.until("/models/digits/health", lambda one: one["live"] is False)
        assert found["ready"] is False and "nearedge serve ended with status 137 at" in found["reason"]
        assert running.get("/models/digits")["release"]["name"] == "digits"
        port = url.rpartition(":")[2]
        with served([*command, port]) as (program, _):
            found = running.until("/models/digits/health", lambda one: one["ready"] and one["restarts"] == 1)
            assert "the process before it ended with status 137 at" in found["last_restarts"][0]["reason"]
            assert running.get("/models/digits/logs")["lines"]
            program.send_signal(signal.SIGINT)
            assert program.wait(20) == 0
        running.until("/models", lambda page: page["items"] == [])
    assert list(state.found(state.folder())) == []


@contextmanager
def served(command):
    """`nearedge serve`, which is ready, and its URL."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        try:
            yield program, program.stdout.readline().strip()
        finally:
            if program.poll() is None:
                program.send_signal(signal.SIGINT)


def kill_server(pid):
    """Kill the model server that the program started."""
    import psutil

    for child in psutil.Process(pid).children(recursive=True):
        child.kill()
