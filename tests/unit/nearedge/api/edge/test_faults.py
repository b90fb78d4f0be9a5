"""Each source killed, slow, or wrong: answers come soon, say what was known and which source is missing, never 5xx."""

import os
import socket
import threading
import time

import pytest

from nearedge.delivery.gitops.publish import Target
from tests.edge_api import GARBAGE, QUICK_S, edge, fake, put

LOOKS = ["", "/health", "/availability", "/versions", "/upgrades", "/logs", "/metrics", "/release"]
HOWS = ["slow", "drip", "refuse", "huge", *map(str, range(len(GARBAGE)))]
"""What a server may do instead of answering as it should."""


def ask_all(running):
    """Every answer about the model, each of which must come soon and be 200; by path."""
    found = {}
    for path in LOOKS:
        start = time.monotonic()
        found[path] = running.get(f"/models/m{path}")
        assert time.monotonic() - start < QUICK_S, path
    for path in ("/site", "/models", "/events", "/audit"):
        running.get(path)
    return found


def test_a_server_that_is_away_slow_or_wrong(tmp_path):
    with fake() as server:
        put(tmp_path, server.url)
        with edge(tmp_path) as running:
            running.until("/models", lambda page: page["items"] and page["items"][0]["version"])
            for how in HOWS:
                server.how = how
                health = running.until("/models/m/health", lambda one: one["live"] is False)
                assert health["ready"] is False and health["state"] == "unknown" and health["reason"], how
                assert health["sources"][0]["state"] == "missing" and health["sources"][0]["as_of"], how
                server.how = "well"
                running.until("/models/m/health", lambda one: one["ready"])
            server.how = "slow"
            running.until("/models/m/health", lambda one: one["live"] is False)
            found = ask_all(running)
            assert found[""]["release"]["version"] == "1.a" and found[""]["sources"][0]["age_s"] > 0
            assert found["/versions"]["running"]["digest"] == server.digest
            assert found["/metrics"]["sources"][0]["state"] == "missing"
            assert running.ask("GET", "/models/m/metrics/text").status_code == 502
            assert running.ask("POST", "/models/m/self-test").status_code == 502
            kinds = [one["kind"] for one in running.get("/events")["items"]]
            assert kinds[0] == "not ready" and kinds.count("ready") >= len(HOWS)
            assert running.get("/models/m/availability")["windows"][0]["ratio"] < 1


def test_one_server_that_hangs_does_not_hold_the_others(tmp_path):
    with fake() as bad, fake() as good:
        bad.how = "slow"
        put(tmp_path, good.url)
        with edge(tmp_path, servers=(bad.url,)) as running:
            running.until("/models/m/health", lambda one: one["ready"])
            for _ in range(5):
                start = time.monotonic()
                assert running.get("/models/m/health")["ready"]
                assert time.monotonic() - start < 4  # as long as the bad one takes
            states = {one["name"]: one["state"] for one in running.get("/site")["sources"]}
            assert (states[f"server {good.url}"], states[f"server {bad.url}"]) == ("ok", "missing")


def test_what_was_known_survives_a_restart_of_ours(tmp_path):
    with fake() as server:
        put(tmp_path, server.url)
        with edge(tmp_path) as running:
            running.until("/models", lambda page: page["items"] and page["items"][0]["version"])
        server.how = "refuse"
        with edge(tmp_path) as running:
            found = running.until("/models", lambda page: page["items"] and page["items"][0]["reason"])["items"][0]
            assert (found["version"], found["digest"], found["ready"]) == ("1.a", server.digest, False)
            server.how, server.began = "well", 2000.0
            health = running.until("/models/m/health", lambda one: one["ready"])
            assert health["restarts"] == 1 and "how is not known" in health["last_restarts"][0]["reason"]
        (tmp_path / "edge" / "known.json").write_text('[{"name": 3, "self_test": {"a": 1}}]')
        with edge(tmp_path) as running:
            running.until("/models", lambda page: page["items"])


def test_another_release_at_the_same_place_is_an_event_and_an_upgrade(tmp_path):
    with fake() as server:
        put(tmp_path, server.url)
        with edge(tmp_path) as running:
            running.until("/models", lambda page: page["items"] and page["items"][0]["version"])
            server.digest, server.began = "sha256:" + "c" * 64, 3000.0
            server.release = {**server.release, "version": "2"}
            running.until("/models", lambda page: page["items"][0]["version"] == "2")
            latest, first = running.until("/models/m/upgrades", lambda one: len(one["upgrades"]) == 2)["upgrades"]
    assert (latest["to"]["version"], latest["left"]["version"], first["left"]) == ("2", "1.a", None)


def hang():
    """The address of a git server that takes connections and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}/a.git"


def test_git_that_is_away_slow_or_wrong(tmp_path, fresh_place):
    listener, silent = hang()
    (tmp_path / "file").write_text("no repository")
    with fake() as server, listener:
        put(tmp_path, server.url)
        for number, url in enumerate(
            [str(tmp_path / "absent.git"), str(tmp_path / "file"), fresh_place.target.url, silent]
        ):
            home = tmp_path / str(number)
            put(home, server.url)
            with edge(home, site="edge-1", target=Target(url, "main")) as running:
                running.until("/models", lambda page: page["items"])
                found = ask_all(running)
                state = {one["name"]: one for one in found["/versions"]["sources"]}["git"]
                assert state["state"] == "missing" and state["reason"], url
                assert "what git says is not known" in found["/versions"]["reason"]
                if url != silent:
                    assert running.ask("POST", "/models/m/rollback", json={}).status_code in (422, 502)
                listener.close() if url == silent else None


def test_git_that_goes_away_is_remembered(tmp_path, fresh_place):
    fresh_place.put("a", "edge-1", name="m")
    with fake() as server:
        put(tmp_path, server.url)
        with edge(tmp_path, site="edge-1", target=Target(fresh_place.target.url, "main")) as running:
            running.until("/models", lambda page: page["items"] and page["items"][0]["version"])
            assert running.until("/models/m/versions", lambda one: one["desired"])["same"] is True
            fresh_place.remote.rename(fresh_place.remote.with_name("gone"))
            found = running.until("/models/m/versions", lambda one: one["sources"][1]["state"] == "missing")
            assert found["desired"]["version"] == "1.a" and found["sources"][1]["as_of"]
            running.get("/models/m/upgrades")


def test_without_git_there_is_no_way_back(tmp_path):
    with fake() as server:
        put(tmp_path, server.url)
        with edge(tmp_path) as running:
            running.until("/models", lambda page: page["items"])
            assert running.ask("POST", "/models/m/rollback", json={}).status_code == 409


@pytest.mark.parametrize("how", ["slow", "drip", "refuse", "huge", "0", "2"])
def test_prometheus_that_is_away_slow_or_wrong(tmp_path, how):
    with fake() as server, fake() as prometheus:
        prometheus.how = how
        put(tmp_path, server.url)
        with edge(tmp_path, prometheus=prometheus.url) as running:
            running.until(
                "/models/m/availability", lambda one: one["windows"][0]["ratio"] is not None
            ) if how == "0" else (running.until("/models", lambda page: page["items"]))
            found = running.get("/models/m/availability")
            states = {one["name"]: one["state"] for one in found["sources"]}
            assert states == {"prometheus": "missing", "sampler": "ok"}
            assert {one["origin"] for one in found["windows"]} == {"sampler"}


def test_a_log_that_is_away_or_wrong(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "binary").write_bytes(
        os.urandom(100_000) + b"\n" + b"x" * 50_000 + b'\n{"time": 3, "model": [1]}\n[1]\n'
    )
    for name in ("absent", "fifo", "", "binary"):
        home = tmp_path / f"home-{name}"
        with fake() as server:
            put(home, server.url, tmp_path / name)
            with edge(home) as running:
                running.until("/models", lambda page: page["items"])
                state = running.get("/models/m/logs")["sources"][0]["state"]
                assert state == ("ok" if name == "binary" else "missing")


def test_fifty_follow_one_log(tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    with fake() as server:
        put(tmp_path, server.url, log)
        with edge(tmp_path) as running:
            running.until("/models", lambda page: page["items"])
            answers = [
                running.ask("GET", "/models/m/logs/follow", stream=True, headers={"Last-Event-ID": "0-0"})
                for _ in range(50)
            ]
            got: list[str] = []

            def read(answer) -> None:
                for line in answer.iter_lines(decode_unicode=True):
                    got.append(line)
                    if "after" in line:
                        return

            threads = [threading.Thread(target=read, args=(answer,)) for answer in answers]
            for thread in threads:
                thread.start()
            with log.open("a") as file:
                file.write("after\n")
            for thread in threads:
                thread.join(15)
                assert not thread.is_alive()
            assert running.get("/models/m/health")["ready"]
            for answer in answers:
                answer.close()
    assert sum("before" in line for line in got) == sum("after" in line for line in got) == 50


def test_a_full_disk_is_told_and_what_cannot_be_audited_is_not_done(tmp_path):
    with fake() as server:
        put(tmp_path, server.url)
        (tmp_path / "edge").mkdir()
        (tmp_path / "edge" / "rings").write_text("no folder")
        (tmp_path / "edge" / "audit.jsonl").mkdir()
        with edge(tmp_path / "other") as running:
            pass
        with pytest.raises(IsADirectoryError), edge(tmp_path):
            pass
        (tmp_path / "edge" / "audit.jsonl").rmdir()
        with edge(tmp_path) as running:
            running.until("/site", lambda one: {s["name"]: s["state"] for s in one["sources"]}["store"] == "missing")
            (tmp_path / "edge" / "audit.jsonl").mkdir()
            assert running.ask("POST", "/models/m/self-test").status_code == 507
