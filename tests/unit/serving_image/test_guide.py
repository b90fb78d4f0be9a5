"""docs/serving.md says what is so: its examples run, its tables are complete."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serving_image.metrics import Metric
from serving_image.telemetry import Telemetry

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs/serving.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
ELSEWHERE = (".venv/bin/nearedge serve", "openssl", "grpcurl")
"""What the examples begin with that need a release, a certificate (test_guards.py) or a program that is not ours."""


def placed(text: str, server) -> str:
    """An example, asked of `server`."""
    return text.replace("localhost:8080", f"127.0.0.1:{server.port}").replace(
        "localhost:8081", f"127.0.0.1:{server.grpc_port}"
    )


def test_shell_examples_run(server, tmp_path: Path) -> None:
    ran = 0
    for language, text in BLOCKS:
        if language or text.startswith(ELSEWHERE):
            continue
        script = placed(text, server).replace("curl -s", "curl -s --fail-with-body --noproxy '*'")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        ran += 1
    assert ran == 4


@pytest.mark.parametrize("text", [text for language, text in BLOCKS if language == "python"])
def test_python_examples_run(server, text: str) -> None:
    done = subprocess.run([sys.executable, "-c", placed(text, server)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.mark.parametrize("text", [text for language, text in BLOCKS if language == "json"])
def test_json_examples_are_understood(server, text: str) -> None:
    document = json.loads(text)
    answer = server.post("/v2/models/digits/infer", data=text)
    entry = document["inputs"][0]
    message = f"input 'image': shape is {entry['shape']}, the model expects [-1, 1, 8, 8]"
    assert answer.status_code == 400 and answer.json()["error"] == message  # all but the model's shape is right


def test_every_metric_is_in_the_table_and_no_other() -> None:
    section = GUIDE[GUIDE.index("## Metrics") : GUIDE.index("## gRPC")]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|", section, re.MULTILINE)
    metrics = [metric for metric in vars(Telemetry()).values() if isinstance(metric, Metric)]
    assert rows == [(one.name, one.kind, ", ".join(one.labels), one.help_text) for one in metrics]


def test_every_metric_that_the_server_says_is_in_the_table(server) -> None:
    server.post("/v2/models/digits/infer", json={})
    told = set(re.findall(r"^# TYPE (\w+)", server.get("/metrics").text, re.MULTILINE))
    assert told <= set(re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)) and "nearedge_requests_total" in told


def test_every_metric_of_openvino_model_server_is_placed() -> None:
    """The families of its docs/metrics.md (2025): https://docs.openvino.ai/2025/model-server/ovms_docs_metrics.html."""
    families = """streams current_requests current_graphs requests_success requests_fail requests_accepted
        requests_rejected responses request_time_us inference_time_us wait_for_infer_req_time_us infer_req_queue_size
        infer_req_active"""
    assert set(re.findall(r"`ovms_(\w+)`", GUIDE)) == set(families.split())


def test_the_fields_of_the_log_are_those_of_the_table(server) -> None:
    section = GUIDE[GUIDE.index("## Logs") : GUIDE.index("## Metrics")]
    listed = {
        name for cell in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    server.get("/v2/models/digits", headers={"x-request-id": "guide-1"})
    line = next(line for line in server.lines() if line.get("request_id") == "guide-1")
    assert set(line) == listed - {"exception"}
