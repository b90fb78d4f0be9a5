"""The text format, also by its judge's word."""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from serving_image import metrics
from serving_image.telemetry import Telemetry


def test_a_histogram_is_cumulative() -> None:
    seconds = metrics.Histogram("a_seconds", "A.", ("model",))
    for value in (0.001, 0.0011, 3.0, 99.0):
        seconds.observe(value, "m")
    lines = metrics.render([seconds]).decode().splitlines()
    assert lines[:2] == ["# HELP a_seconds A.", "# TYPE a_seconds histogram"]
    counts = [int(line.rpartition(" ")[2]) for line in lines if "_bucket" in line]
    assert counts == [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 4]
    assert lines[-3] == 'a_seconds_bucket{model="m",le="+Inf"} 4'
    assert float(lines[-2].removeprefix('a_seconds_sum{model="m"} ')) == pytest.approx(102.0021)
    assert lines[-1] == 'a_seconds_count{model="m"} 4'


def test_labels_are_escaped_and_numbers_plain() -> None:
    gauge = metrics.Metric("g", "G.", ("name",))
    gauge.set(float("inf"), 'a"\\\n')
    gauge.add(2, "b")
    gauge.add(0.5, "b")
    assert metrics.render([gauge]).decode().splitlines()[2:] == ['g{name="a\\"\\\\\\n"} +Inf', 'g{name="b"} 2.5']


def test_metrics_without_a_sample_are_left_out() -> None:
    assert metrics.render([metrics.Counter("c_total", "C.")]) == b"\n"


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return found


def judged(text: bytes) -> None:
    """Fail unless promtool finds nothing to say about the text."""
    done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_promtool_finds_nothing_in_all_metrics() -> None:
    telemetry = Telemetry("sha256:1")
    for name, metric in vars(telemetry).items():
        if isinstance(metric, metrics.Histogram):
            metric.observe(0.1, *metric.labels)
        elif isinstance(metric, metrics.Metric):
            metric.set(1, *(f"{name} \"'\\ {label}" for label in metric.labels))
    judged(telemetry.text(ready=True))


def test_promtool_finds_nothing_in_what_the_server_says(server) -> None:
    body = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}]}
    assert server.post("/v2/models/digits/infer", json=body).status_code == 200
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    judged(answer.content)


def test_promtool_would_say_something() -> None:
    with pytest.raises(AssertionError):
        judged(b"# TYPE Bad counter\nBad 1\n")


def test_process_metrics(server) -> None:
    text = server.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("process_"))
    assert 10e6 < float(values["process_resident_memory_bytes"]) < 4e9
    assert float(values["process_cpu_seconds_total"]) > 0
    assert float(values["process_open_fds"]) > 3
    assert Path(f"/proc/{server.process.pid}").stat().st_ctime == pytest.approx(
        float(values["process_start_time_seconds"]), abs=5
    )


def test_the_metrics_name_the_image_and_the_time_to_load(released, start) -> None:
    server = start(released.models, NEAREDGE_IMAGE_DIGEST="sha256:" + "d" * 64).wait_ready()
    lines = server.get("/metrics").text.splitlines()
    (info,) = (line for line in lines if line.startswith('nearedge_model_info{model="digits",version="1",'))
    assert f'digest="sha256:{"d" * 64}"' in info and info.endswith("} 1")
    weights = json.loads((released.models / "digits/1/release.json").read_text())["ir"]["bin_sha256"]
    assert f'bin_sha256="{weights}"' in info and 'precision="f32"' in info
    took = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("nearedge_model_load_seconds{")]
    assert len(took) == 2 and all(0 < seconds < 60 for seconds in took)


def test_the_fine_buckets_show_every_doubling() -> None:
    assert all(bound < following <= 1.51 * bound for bound, following in itertools.pairwise(metrics.FINE))
    assert (metrics.FINE[0], metrics.FINE[-1]) == (0.0001, 10.0)


def test_an_inference_is_timed_by_the_clock(server) -> None:
    body = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.5] * 64}]}
    assert server.post("/v2/models/digits/infer", json=body).status_code == 200
    text = server.get("/metrics").text
    found = re.findall(r"^nearedge_(inference|compute)_duration_seconds_(sum|count)(\S*) (\S+)$", text, re.MULTILINE)
    told = {(name, what): float(value) for name, what, labels, value in found if 'model="digits"' in labels}
    assert told["inference", "count"] == told["compute", "count"] >= 1
    assert told["inference", "sum"] >= told["compute", "sum"] * 0.99
