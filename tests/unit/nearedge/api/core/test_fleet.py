"""The fleet over HTTP: what git says beside what Prometheus knows, and Prometheus away, slow, wrong, or real."""

import http.server
import json
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from urllib.parse import parse_qs

import psutil
import pytest
import requests

from nearedge.api.core import prometheus as prometheus_module
from nearedge.api.core import site_health
from nearedge.api.core.prometheus import PrometheusPlace
from tests.fleet import Place
from tests.gitops_repository import ask, release
from tests.pipelines.site import free_port


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    found = Place(tmp_path_factory.mktemp("place"))
    found.put("a", "edge-1", "edge-2")
    found.put("b", "edge-2")
    return found


class Answers:
    """What a Prometheus says: a status and a body, slowly where it is to be."""

    def __init__(self) -> None:
        self.status, self.body, self.by_query = 200, b"", {}
        self.wait_s, self.trickle, self.asked = 0.0, False, []

    def of(self, query: str) -> bytes:
        if self.body:
            return self.body
        result = self.by_query.get(query, [])
        return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@contextmanager
def prometheus():
    """A server that speaks the query API as `Answers` says."""
    answers = Answers()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            answers.asked.append((self.path, form["query"][0], self.headers.get("authorization")))
            time.sleep(answers.wait_s)
            body = answers.of(form["query"][0])
            try:
                self.send_response(answers.status)
                self.send_header("content-length", str(len(body) + answers.trickle * 1000))
                self.end_headers()
                self.wfile.write(body)
                for _ in range(20 * answers.trickle):
                    self.wfile.write(b" ")
                    time.sleep(0.1)
            except OSError:
                pass

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield answers, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def series(value, site="edge-1", **labels):
    return {"metric": {"site": site, "model": "digits", **labels}, "value": [0, str(value)]}


def told(answers: Answers, digit: str = "a") -> None:
    digest = f"sha256:{digit * 64}"
    answers.by_query = {
        site_health.RUNNING: [series(1, version="1.a", digest=digest), {"metric": {}, "value": [0, "1"]}],
        site_health.SINCE: [series(1_700_000_000, digest=digest)],
        site_health.FIGURES["ready"]: [series(1)],
        site_health.FIGURES["available_1h"]: [series(0.999)],
        site_health.FIGURES["available_30d"]: [series("NaN")],
        site_health.FIGURES["p99_s"]: [series(0.0123)],
        site_health.FIGURES["memory_bytes"]: [series(9e7)],
    }


def test_desired_beside_running(place, tmp_path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    with prometheus() as (answers, url):
        told(answers)
        with place.client(prometheus=PrometheusPlace(f"{url}/", token), prometheus_every_s=0) as client:
            fleet = client.get("/api/v1/fleet").json()
            one, two = fleet["items"]
            assert (one["site"], one["model"], one["differs"]) == ("edge-1", "digits", False)
            assert one["running"] == [
                {"id": "a" * 12, "version": "1.a", "digest": f"sha256:{'a' * 64}", "since": "2023-11-14T22:13:20+00:00"}
            ]
            assert one["condition"] == {
                "ready": True, "available_1h": 0.999, "available_30d": None, "p99_ms": pytest.approx(12.3),
                "memory_bytes": 9e7,
            }  # fmt: skip
            assert (one["desired"]["version"], two["desired"]["version"]) == ("1.a", "1.b")
            assert one["desired"]["since"] < two["desired"]["since"] or place.commits == 2
            assert (two["running"], two["differs"], two["condition"]["ready"]) == ([], None, None)
            assert fleet["counts"] == {"total": 2, "differing": 0, "unknown": 1, "not_ready": 0}
            assert fleet["sources"] == {"git": "ok", "prometheus": "ok"}
            told(answers, "e")
            fleet = client.get("/api/v1/fleet", params={"differs": True}).json()
            assert [(row["site"], row["running"][0]["id"]) for row in fleet["items"]] == [("edge-1", "e" * 12)]
            assert client.get("/api/v1/fleet", params={"site": "edge-2"}).json()["counts"]["total"] == 1
            assert client.get("/api/v1/fleet", params={"model": "other"}).json()["items"] == []
            sites = client.get("/api/v1/sites").json()["items"]
            assert [(one["name"], one["models"], one["counts"]["differing"]) for one in sites] == [
                ("edge-1", ["digits"], 1), ("edge-2", ["digits"], 0),
            ]  # fmt: skip
            site = client.get("/api/v1/sites/edge-1").json()
            assert (site["name"], site["models"][0]["differs"]) == ("edge-1", True)
    assert {path for path, _, _ in answers.asked} == {"/api/v1/query"}
    assert {header for _, _, header in answers.asked} == {"Bearer secret"}
    assert sum(query == site_health.SINCE for _, query, _ in answers.asked) <= 2 + 1, "asked only where one is new"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 500}, "status 500"),
        ({"status": 302}, "status 302"),
        ({"body": b"<html>"}, "not Prometheus' own"),
        ({"body": b'{"status":"success","data":{"result":[{"metric":3}]}}'}, "not Prometheus' own"),
        ({"body": b"[" * 100_000}, "not Prometheus' own"),
        ({"status": 422, "body": b'{"status":"error","error":"too many samples"}'}, "too many samples"),
        ({"wait_s": 1.5}, "no whole answer"),
        ({"trickle": True}, "no whole answer"),
    ],
)
def test_a_prometheus_that_fails_is_said_and_hangs_nobody(place, monkeypatch, fault, words) -> None:
    monkeypatch.setattr(prometheus_module, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(prometheus_module.Queries.__init__, "__defaults__", (0.5,))
    with prometheus() as (answers, url):
        for name, value in fault.items():
            setattr(answers, name, value)
        with place.client(prometheus=PrometheusPlace(url)) as client:
            began = time.monotonic()
            fleet = client.get("/api/v1/fleet")
            assert time.monotonic() - began < 20
            assert fleet.status_code == 200 and words in fleet.json()["sources"]["prometheus"]
            assert [one["differs"] for one in fleet.json()["items"]] == [None, None]
            assert client.get("/api/v1/sites/edge-1").json()["models"][0]["condition"]["ready"] is None


def test_prometheus_that_goes_away_is_remembered_for_a_while(place, monkeypatch) -> None:
    with prometheus() as (answers, url):
        told(answers)
        with place.client(prometheus=PrometheusPlace(url), prometheus_every_s=0) as client:
            assert client.get("/api/v1/fleet").json()["items"][0]["differs"] is False
            answers.status = 500
            client.get("/api/v1/fleet")
            fleet = client.get("/api/v1/fleet").json()
            assert fleet["items"][0]["differs"] is False and "status 500" in fleet["sources"]["prometheus"]
            monkeypatch.setattr("nearedge.api.core.fleet_source.FORGET_S", -1)
            assert client.get("/api/v1/fleet").json()["items"][0]["differs"] is None
    with place.client(prometheus=PrometheusPlace(url)) as client:
        fleet = client.get("/api/v1/fleet").json()
        assert "cannot be reached" in fleet["sources"]["prometheus"] and len(fleet["items"]) == 2


def test_a_thousand_sites_in_little_memory(tmp_path) -> None:
    place = Place(tmp_path)
    place.put(release("a"), "edge-0000")
    clone = tmp_path / "clone"
    ask(tmp_path, "clone", "-q", str(place.remote), str(clone))
    own = (clone / "sites" / "edge-0000" / "digits" / "kustomization.yaml").read_text()
    for number in range(1, 1000):
        folder = clone / "sites" / f"edge-{number:04}" / "digits"
        folder.mkdir(parents=True)
        (folder / "kustomization.yaml").write_text(own.replace("edge-0000", folder.parent.name))
    ask(clone, "add", "-A")
    ask(clone, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "-qm", "many")
    ask(clone, "push", "-q", "origin", "HEAD:main")
    with place.client() as client:
        client.get("/api/v1/models")
        before = psutil.Process().memory_info().rss
        found, after = [], None
        for _ in range(20):
            page = client.get("/api/v1/sites", params={"limit": 100, **({"after": after} if after else {})}).json()
            found += page["items"]
            after = page["next"]
            if after is None:
                break
        assert [one["name"] for one in found] == [f"edge-{number:04}" for number in range(1000)]
        fleet = client.get("/api/v1/fleet", params={"limit": 500}).json()
        assert (len(fleet["items"]), fleet["counts"]["total"]) == (500, 1000)
        assert psutil.Process().memory_info().rss - before < 60 << 20


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_a_real_prometheus(place, tmp_path) -> None:
    digest = f"sha256:{'a' * 64}"
    exposed = (
        f'nearedge_model_info{{model="digits",version="1.a",digest="{digest}"}} 1\n'
        'nearedge_model_ready{model="digits",version="1.a"} 1\n'
        "process_resident_memory_bytes 123456789\n"
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(exposed.encode())

        def log_message(self, *_):
            pass

    from nearedge.delivery.monitoring import objects, promise
    from nearedge.release import profile as profiles

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    groups = objects.groups(promise.of(release("a"), profiles.read("microshift-small")))
    rules = [{**group, "interval": "1s"} for group in groups if "recording" in group["name"]]
    target = {"targets": [f"127.0.0.1:{server.server_address[1]}"], "labels": {"site": "edge-1", "namespace": "m"}}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "nearedge", "static_configs": [target]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": rules}))
    port = free_port()
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--web.listen-address=127.0.0.1:{port}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--storage.tsdb.path={tmp_path}/data"], stdout=log, stderr=log)
    try:
        url, deadline, ready = f"http://127.0.0.1:{port}", time.monotonic() + 40, None
        with place.client(prometheus=PrometheusPlace(url), prometheus_every_s=0, git_every_s=60) as client:
            while time.monotonic() < deadline:
                one = client.get("/api/v1/fleet", params={"site": "edge-1"}).json()["items"][0]
                ready = one["condition"]["ready"]
                if ready and one["condition"]["memory_bytes"] and one["running"]:
                    break
                time.sleep(0.5)
            seen = client.get("/api/v1/fleet").json()
            assert ready, (one["running"], seen["sources"])
            assert (one["differs"], one["condition"]["memory_bytes"]) == (False, 123456789)
            assert one["running"][0]["digest"] == digest and one["running"][0]["since"]
            assert one["condition"]["available_1h"] == pytest.approx(1)
            assert requests.get(f"{url}/api/v1/query", params={"query": "up"}, timeout=5).json()["status"] == "success"
    finally:
        process.terminate()
        process.wait(30)
        server.shutdown()
        server.server_close()
