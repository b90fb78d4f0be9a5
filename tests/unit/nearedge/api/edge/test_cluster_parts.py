"""Parts of a site on a cluster: real servers, pods that no Service leads to, Prometheus with a token, the program."""

import asyncio
import json
import signal
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from nearedge.api.edge import client
from nearedge.api.edge.cluster import pod_logs, reasons, reduced, rollouts
from nearedge.api.edge.cluster.caches import Caches
from nearedge.api.edge.cluster.chronicle import Chronicle
from nearedge.api.edge.cluster.looks import service_of
from nearedge.api.edge.cluster.objects import Ended
from nearedge.api.edge.journal import Journal
from nearedge.api.edge.prometheus import Prometheus
from nearedge.api.edge.settings import is_pattern
from nearedge.errors import OutsideError
from scripts import api_edge
from tests.cluster_api import certificates, served
from tests.edge_api import fake
from tests.edge_cluster import NAMESPACE, A, cluster_edge, deployment, pod, running

PATIENCE = 30
DIGEST = "sha256:" + "a" * 64


def test_a_real_server_is_asked_and_tested_by_way_of_the_cluster(server, tmp_path):
    with served() as api:
        for name in ("digits", "mixed"):
            api.apply(deployment(name, A), pod(name, f"{name}-1-aaaaa", A, **running()))
        with cluster_edge(api, tmp_path, server_address=server.url(""), timeout_s=3.0) as site:
            fits = lambda page: [one["version"] for one in page["items"]] == ["1", "1"]  # noqa: E731
            site.until("/models", fits, PATIENCE)
            found = site.get("/models/digits")
            assert found["release"] == server.get("/v2/models/digits/release").json()
            assert (found["health"]["ready"], found["health"]["self_test"]["samples"]) == (True, 3)
            assert site.get("/models/digits/metrics")["server_resident_bytes"] > 10_000_000
            assert site.ask("POST", "/models/digits/self-test").json()["passed"] is True


def test_a_pod_that_is_not_ready_is_asked_itself(tmp_path):
    with served() as api, fake() as server:
        refused = {"name": "m", "version": "1", "state": "failed", "reason": "self-test failed: sample 2 differs"}
        server.body = lambda _: json.dumps({"ready": False, "state": "failed", "models": [refused]}).encode()
        status = {**running(ready=False), "podIP": "127.0.0.1"}
        api.apply(deployment("m", A), pod("m", "m-1-aaaaa", A, port=server.port, **status))
        with cluster_edge(api, tmp_path, server_address="") as site:
            site.until("/models", lambda page: page["items"], PATIENCE)
            found = site.until("/models/m/health", lambda one: "sample 2 differs" in one["reason"], PATIENCE)
            assert (found["ready"], found["state"], found["live"]) == (False, "failed", True)
            assert "is not ready" in site.get("/models/m/versions")["reason"]


@contextmanager
def asked_well(folder: Path, token: Path):
    """A Prometheus with TLS that wants the token of a file, and tells of what it was asked."""
    certificate, key = certificates.made(folder)
    queries: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            right = self.headers.get("Authorization") == f"Bearer {token.read_text().strip()}"
            queries.append(self.path)
            document = {"status": "success", "data": {"result": [{"value": [0, "1"]}]}} if right else {}
            self.send_response(200 if right else 401)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads, listening.handle_error = True, lambda *_: None
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"https://127.0.0.1:{listening.server_address[1]}", certificate, queries
    finally:
        listening.shutdown()
        listening.server_close()


def test_prometheus_is_asked_with_a_token_that_may_change_and_its_own_certificates(tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    other = tmp_path / "other"
    other.write_text("wrong")
    with asked_well(tmp_path, token) as (url, ca, queries):
        ask = lambda one: asyncio.run(one.number("up", 0.0))  # noqa: E731
        right = Prometheus(url, token, ca, NAMESPACE)
        assert ask(right) == 1.0
        token.write_text("second\n")
        assert ask(right) == 1.0
        asyncio.run(right.window("m", "1h", 3600))
        assert f"namespace%3D%22{NAMESPACE}%22" in queries[-2]
        for wrong in (Prometheus(url, other, ca), Prometheus(url, token), Prometheus(url, tmp_path / "none", ca)):
            with pytest.raises(OutsideError):
                ask(wrong)
        ca.write_text("no certificate")
        with pytest.raises(OutsideError):
            ask(right)


ENDS = [
    (
        Ended(137, 0, "OOMKilled", "", None, 0.0),
        "exit code 137 (OOMKilled: it took more memory than its limit) at 1970",
    ),
    (Ended(139, 0, "Error", "", None, None), "ended with exit code 139 (SIGSEGV)"),
    (Ended(1, 0, "Error", "no model", None, None), "ended with exit code 1: no model"),
    (Ended(0, 40, "Completed", "", None, None), "ended with exit code 0 (signal 40)"),
    (Ended(128, 0, "ContainerCannotRun", "", None, None), "ended with exit code 128 (ContainerCannotRun)"),
]


@pytest.mark.parametrize(("ended", "says"), ENDS)
def test_how_a_container_ended_is_said_in_words(ended, says):
    assert says in reasons.how(ended)


def test_how_images_were_pulled():
    lines = [
        {"time": "2026-01-01T00:00:00Z", "kind": "rolling out", "digest": DIGEST},
        {"time": "2026-01-01T00:00:09Z", "kind": "available", "digest": DIGEST},
        {"time": "x", "reason": "Pulled", "message": f'Container image "a/b@{DIGEST}" already present on machine'},
        {"time": "x", "reason": "Pulled", "message": "nonsense"},
    ]
    (found,) = rollouts.of_lines(lines)
    assert (found.started[-3:], found.available[-3:], found.pull_s, found.size) == ("00Z", "09Z", 0.0, None)
    assert [rollouts.duration(text) for text in ("850ms", "1h2m3.5s", "12.3µs")] == [0.85, 3723.5, 0.000012]
    (only,) = rollouts.merged([], [found], 5)
    assert (only.to.digest, only.running, only.commit) == (DIGEST, found.available, None)


def test_a_modelcar_is_the_release_and_not_the_server_beside_it():
    item = deployment("m", "quay.io/ovms@sha256:" + "0" * 64)
    item["spec"]["template"]["metadata"]["annotations"] = {
        reduced.MODELCAR: f"oci+native://registry.example.com/m@{DIGEST}"
    }
    workload = reduced.of_deployment(item)
    assert workload and workload.digest == DIGEST
    item = pod("m", "m-1-aaaaa", A, **running())
    item["spec"]["containers"].insert(0, {"name": "proxy", "image": "x"})
    found = reduced.of_pod(item)
    assert found and [one.name for one in found.containers] == ["server", "proxy"] and found.digest == DIGEST


def test_events_of_both_kinds_are_understood():
    new = {
        "metadata": {"name": "e", "creationTimestamp": "2026-01-01T00:00:00Z"}, "eventTime": "2026-01-01T00:00:01.5Z",
        "involvedObject": {"kind": "Pod", "name": "p"}, "firstTimestamp": None, "lastTimestamp": None, "count": None,
        "series": {"count": 7, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}, "type": "Warning",
    }  # fmt: skip
    found = reduced.of_event(new)
    assert found and (found.times, found.last - found.first, found.uid) == (7, 58.5, "e")


def test_what_goes_on_for_weeks_does_not_push_out_what_was_before(tmp_path):
    minutes = iter(range(1, 60 * 24 + 1))
    chronicle = Chronicle(Caches(None, NAMESPACE), Journal(tmp_path / "events.jsonl"))
    chronicle.clock = lambda: 60.0 * next(minutes)
    written = [times for times in range(1, 60 * 24 + 1) if chronicle.is_new("uid", times)]
    assert written[:11] == [*range(1, 11), 70] and len(written) == 10 + 23


def test_a_disk_that_is_full_loses_no_line(tmp_path):
    chronicle = Chronicle(Caches(None, NAMESPACE), Journal(tmp_path / "none" / "events.jsonl"))
    (tmp_path / "none").write_text("no folder")
    chronicle.pending = [{"time": "t", "kind": "normal"}]
    with pytest.raises(OSError, match="none"):
        chronicle.write()
    (tmp_path / "none").unlink()
    chronicle.write()
    assert not chronicle.pending and len(chronicle.journal.lines()) == 1


def test_addresses():
    assert [service_of(name) for name in ("digits", "7b")] == ["digits", "model-7b"]
    for text, well in (("http://x:1/{model}", True), ("https://{service}.{namespace}.svc", True), ("{model}", False),
                       ("http://{other}", False), ("http://{0}", False), ("http://{", False)):  # fmt: skip
        assert is_pattern(text) is well


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--kubeconfig=/nowhere/at/all"], "no cluster is configured"),
        (["--server=http://x"], "--server-address"),
        (["--server-address=m.example.com"], "--server-address"),
    ],
)
def test_what_cannot_be_a_cluster(more, says, capsys):
    assert api_edge.main(["--source=cluster", "--port=0", *more]) != 0
    assert says in capsys.readouterr().err


def test_the_program_serves_a_cluster_to_whom_it_lets_in(tmp_path):
    with served() as api:
        api.apply(deployment("m", A), pod("m", "m-1-aaaaa", A, **running()))
        command = [sys.executable, "-m", "scripts.api_edge", "--source=cluster", "--host=0.0.0.0", "--port=0"]
        options = [f"--kubeconfig={api.kubeconfig(tmp_path, '', NAMESPACE)}", "--server-address=http://127.0.0.1:1"]
        environment = {"NEAREDGE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        with subprocess.Popen(
            [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as program:
            try:
                url = program.stdout.readline().split()[0].replace("0.0.0.0", "127.0.0.1")
                assert requests.get(f"{url}/api/v1/models", timeout=20).status_code == 401
                who = {"Authorization": f"Bearer {api.admin}"}
                ready = lambda: requests.get(f"{url}/api/v1/models", timeout=20, headers=who).json()["items"]  # noqa: E731
                assert api.until(ready)[0]["name"] == "m"
            finally:
                program.send_signal(signal.SIGTERM)
                assert program.wait(20) == 0
                assert "Traceback" not in program.stderr.read()


TIME = "2026-11-24T01:35:05.123456789Z"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (TIME, (TIME, 1)), (f"{TIME}/3", (TIME, 3)), (f"{TIME}/x", (TIME, 1)), ("", ("", 0)), ("5-7", ("", 0)),
        ("é/2", ("", 0)),
    ],
)  # fmt: skip
def test_a_followers_place_is_a_time_and_which_line_of_it(text, place):
    assert pod_logs.place_of(text) == place
    assert not place[0] or pod_logs.place_of(pod_logs.written(*place)) == place


@pytest.mark.parametrize(
    ("text", "sent"), [(b"abc\n", {"Authorization": "Bearer abc"}), (b"two\nlines", {}), (b"\xff", {})]
)
def test_a_token_that_no_header_can_hold_is_not_sent(tmp_path, text, sent):
    """The error of it would show the token."""
    (tmp_path / "token").write_bytes(text)
    assert client.with_token(tmp_path / "token") == sent
    assert client.with_token(tmp_path / "none") == {}
