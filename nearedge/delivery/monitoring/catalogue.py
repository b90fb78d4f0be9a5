"""Every metric that the model server exports: what rules, dashboards and forwarding are made of.

The server stands alone (serving_image imports nothing of ours), so tests/contract/test_metrics.py holds this table
against it. Rules and dashboards use these metrics only, none of the platform's: MicroShift has no kube-state-metrics,
and rules of user workload monitoring that stay in the local Prometheus see none either.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

MODEL = ("model", "version")
INFO = ("digest", "bin_sha256", "precision", "inference_precision", "threads", "streams", "openvino")


@dataclass(frozen=True)
class Metric:
    """One metric family as the server names it; `unit` is "" for plain numbers."""

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    unit: str = ""


REQUESTS = Metric("nearedge_requests_total", "counter", (*MODEL, "protocol", "code"), "requests")
REQUEST_SECONDS = Metric("nearedge_request_duration_seconds", "histogram", (*MODEL, "protocol"), "seconds")
COMPUTE_SECONDS = Metric("nearedge_compute_duration_seconds", "histogram", MODEL, "seconds")
QUEUE_SECONDS = Metric("nearedge_queue_duration_seconds", "histogram", MODEL, "seconds")
INFERENCE_SECONDS = Metric("nearedge_inference_duration_seconds", "histogram", MODEL, "seconds")
BATCH_SIZE = Metric("nearedge_batch_size", "histogram", MODEL, "rows")
MAX_BATCH = Metric("nearedge_model_max_batch", "gauge", MODEL, "rows")
IN_FLIGHT = Metric("nearedge_requests_in_flight", "gauge", MODEL, "requests")
LOAD_SECONDS = Metric("nearedge_model_load_seconds", "gauge", MODEL, "seconds")
READY = Metric("nearedge_model_ready", "gauge", MODEL)
FAILED = Metric("nearedge_model_failed", "gauge", (*MODEL, "reason"))
MODEL_INFO = Metric("nearedge_model_info", "gauge", (*MODEL, *INFO))
SELF_TEST = Metric("nearedge_self_test_passed", "gauge", MODEL)
SELF_TEST_SAMPLES = Metric("nearedge_self_test_samples", "gauge", MODEL, "samples")
SELF_TEST_DIFFERENCE = Metric("nearedge_self_test_largest_difference", "gauge", MODEL)
DRIFT_ROWS = Metric("nearedge_drift_rows_total", "counter", (*MODEL, "tensor", "of", "bin"), "rows")
DRIFT_EXPECTED = Metric("nearedge_drift_expected_ratio", "gauge", (*MODEL, "tensor", "of", "bin"))
SERVER_READY = Metric("nearedge_server_ready", "gauge")
MEMORY = Metric("process_resident_memory_bytes", "gauge", (), "bytes")
CPU = Metric("process_cpu_seconds_total", "counter", (), "seconds")
FILES = Metric("process_open_fds", "gauge", (), "files")
STARTED = Metric("process_start_time_seconds", "gauge", (), "seconds")

METRICS = (
    REQUESTS, REQUEST_SECONDS, COMPUTE_SECONDS, QUEUE_SECONDS, INFERENCE_SECONDS, BATCH_SIZE, MAX_BATCH, IN_FLIGHT,
    LOAD_SECONDS, READY, FAILED, MODEL_INFO, SELF_TEST, SELF_TEST_SAMPLES, SELF_TEST_DIFFERENCE, DRIFT_ROWS,
    DRIFT_EXPECTED, SERVER_READY, MEMORY, CPU, FILES, STARTED,
)  # fmt: skip
"""In the order in which the server tells them."""

FINE = (
    0.0001, 0.00015, 0.00022, 0.00033, 0.00047, 0.00068, 0.001, 0.0015, 0.0022, 0.0033, 0.0047, 0.0068,
    0.01, 0.015, 0.022, 0.033, 0.047, 0.068, 0.1, 0.15, 0.22, 0.33, 0.47, 0.68, 1.0, 1.5, 2.2, 3.3, 4.7, 6.8, 10.0,
)  # fmt: skip
"""Upper bounds of INFERENCE_SECONDS' buckets in seconds; the label `le` is Python's text of them."""

OUR_FAULT = "5..|UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE"
"""Codes that count against availability: HTTP's 5xx and gRPC's; what a client got wrong does not."""
FULL = "503|UNAVAILABLE"
"""Codes of requests that were turned away."""

SITE = "site"
"""Label of the edge site; the ServiceMonitor takes it from the pod's label nearedge.dev/site."""
BY = ("namespace", SITE, "model")
"""Labels that every recorded series keeps."""


def at(metric: Metric, **matchers: str) -> str:
    """A selector: `at(READY, model="digits")` is `nearedge_model_ready{model="digits"}`; `a_re=` and `a_not=` match so.

    Raises ValueError where the metric has no such label.
    """
    parts = []
    for key, value in matchers.items():
        label, _, operator = key.partition("_")
        if label not in (*metric.labels, "le"):
            raise ValueError(f"{metric.name} has no label {label}")
        parts.append(f'{label}{ {"": "=", "re": "=~", "not": "!="}[operator] }"{value}"')
    return f"{metric.name}{{{','.join(parts)}}}"
