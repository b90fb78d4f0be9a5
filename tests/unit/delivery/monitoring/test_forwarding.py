"""Two real Prometheus: an agent at the site that scrapes the real server, and a receiver at the core that goes away."""

import importlib.util
import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from nearedge.delivery.monitoring import alerts, catalogue, forwarding, panels, recording

ROOT = Path(__file__).resolve().parents[4]
SPEC = importlib.util.spec_from_file_location("serving_fixtures", ROOT / "tests/unit/serving_image/conftest.py")
assert SPEC and SPEC.loader
serving = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = serving
SPEC.loader.exec_module(serving)
released, server = serving.released, serving.server

SITE, EVERY_S = "edge-1", 1
AWAY_S = float(os.environ.get("NEAREDGE_TEST_AWAY_S", "8"))
"""How long the core is away; minutes take minutes, so they are for by hand."""
BUFFER_BYTES = 4 << 20
"""What some minutes of one model may take: a segment of the log and a checkpoint."""

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running(folder: Path, port: int, config: dict[str, Any], *options: str) -> Iterator[str]:
    """A Prometheus that is ready, ended with the block; its address."""
    folder.mkdir(exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--web.listen-address=127.0.0.1:{port}"]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("ab") as log, subprocess.Popen([*command, *options], stdout=log, stderr=log) as process:
        try:
            until(lambda: asked(f"{url}/-/ready") is not None, folder)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def asked(url: str, **parameters: str) -> Any:
    """What a GET gives, None where nobody answers."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(url, params=parameters, timeout=10)
        except requests.ConnectionError:
            return None
        if answer.status_code != 200:
            return None
        return answer.json()["data"] if "json" in answer.headers["Content-Type"] else answer.text


def until(done: Any, folder: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, (folder / "log").read_text()[-2000:]
        time.sleep(0.1)


def core(folder: Path, port: int) -> Any:
    """The receiver, as manifests/core has it."""
    late = {"storage": {"tsdb": {"out_of_order_time_window": f"{forwarding.LATE_HOURS}h"}}}
    return running(folder, port, late, "--web.enable-remote-write-receiver", f"--storage.tsdb.path={folder}/data")


def agent(folder: Path, port: int, target: str, core_port: int) -> Any:
    """The agent, but for where it finds its target; the option is 2.x's for --agent."""
    scrape = {"job_name": forwarding.JOB, "static_configs": [{"targets": [target]}]}
    url = f"http://127.0.0.1:{core_port}/api/v1/write"
    config = forwarding.agent(SITE, url, scrape, interval_s=EVERY_S)
    config["remote_write"][0]["queue_config"] |= {"batch_send_deadline": "1s", "max_backoff": "2s"}
    # The core is gone when the agent ends: what is left unsent must not hold it for the minute it has by default.
    options = [f"--storage.agent.path={folder}/data", "--enable-feature=agent", "--storage.remote.flush-deadline=1s"]
    options += forwarding.agent_arguments()
    return running(folder, port, config, *options)


def samples(url: str, series: str) -> list[float]:
    """The times of all samples of a series, in seconds."""
    found = asked(f"{url}/api/v1/query", query=f"{series}[10m]")["result"]
    return sorted(float(when) for one in found for when, _ in one["values"])


def names(url: str) -> set[str]:
    return set(asked(f"{url}/api/v1/label/__name__/values"))


@pytest.fixture
def busy(server) -> Iterator[Any]:
    """The server, with requests in the background."""
    ended = threading.Event()
    image = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}

    def send() -> None:
        while not ended.wait(0.05):
            server.post("/v2/models/digits/infer", json={"inputs": [image]})

    thread = threading.Thread(target=send)
    thread.start()
    yield server
    ended.set()
    thread.join()


def test_a_core_that_was_away_misses_nothing(busy, tmp_path):
    core_port, series = free_port(), 'nearedge_requests_total{model="digits",code="200"}'
    with agent(tmp_path / "agent", free_port(), f"127.0.0.1:{busy.port}", core_port) as site:
        with core(tmp_path / "core", core_port) as url:
            until(lambda: len(samples(url, series)) >= 3, tmp_path / "core")
        left = time.time()
        time.sleep(AWAY_S)
        with core(tmp_path / "core", core_port) as url:
            back = time.time()
            until(lambda: [when for when in samples(url, series) if when > back + 2], tmp_path / "core")
            times = samples(url, series)
            until(lambda: "nearedge_model_ready" in names(url), tmp_path / "core")
            found = names(url)
            sites = asked(f"{url}/api/v1/label/site/values")
        metrics = asked(f"{site}/metrics")
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] < left < back < times[-1] and max(gaps) < 2 * EVERY_S, (gaps, left, back)
    assert found <= set(forwarding.read_by_rules()) and sites == [SITE]
    buffered = sum(path.stat().st_size for path in (tmp_path / "agent/data").rglob("*") if path.is_file())
    assert buffered < BUFFER_BYTES
    totals = {line.split("{")[0]: float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line[:1] != "#"}
    assert totals["prometheus_remote_storage_samples_dropped_total"] > 0  # what is not on the list
    assert totals["prometheus_remote_storage_samples_failed_total"] == 0
    sent, size = (totals[f"prometheus_remote_storage_{what}_total"] for what in ("samples", "bytes"))
    print(f"{size / sent:.2f} bytes a sample, {sent:.0f} samples, {buffered} bytes buffered")


def test_what_rules_and_dashboards_read_is_forwarded():
    rules = recording.rules(forwarding.ANY)
    texts = [one["expr"] for one in rules] + [one.expression for one in alerts.rules(forwarding.ANY)]
    texts += [query.expression for panel in panels.PANELS for query in panel.queries]
    read = set().union(*map(words, texts))
    ours = {f"{one.name}{end}" for one in catalogue.METRICS for end in ("", "_bucket", "_count", "_sum")}
    assert set(forwarding.read_by_rules()) == read & ours


def words(text: str) -> set[str]:
    for sign in '(){}[],"=~+-*/<>':
        text = text.replace(sign, " ")
    return set(text.split())
