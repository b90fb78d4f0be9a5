"""Alert rules of one release. docs/alerts.md is the runbook that each of them names.

Burn rates, windows and the share of the budget are those of Google's SRE workbook, chapter 5 (multiwindow,
multi-burn-rate alerts): https://sre.google/workbook/alerting-on-slos/.
"""

from dataclasses import dataclass
from typing import Any

from nearedge.delivery.monitoring import catalogue, drift, recording
from nearedge.delivery.monitoring.catalogue import BY, at
from nearedge.delivery.monitoring.promise import OBJECTIVE, TOLERATED, Promise
from nearedge.delivery.monitoring.recording import EACH, own

BURNS = (
    ("critical", "1h", "5m", 14.4, "2 % of the month's budget within 1 h"),
    ("critical", "6h", "30m", 6.0, "5 % of the month's budget within 6 h"),
    ("warning", "3d", "6h", 1.0, "10 % of the month's budget within 3 d"),
)
"""Severity, long window, short window, burn rate, and what that spends."""
NEAR_LIMIT = 0.9
SAMPLES_PER_S = 100 / 900
"""Requests a second below which a p99 over 15 min would be of fewer than 100 requests."""
RUNBOOK = "docs/alerts.md"
WHERE = "{{ $labels.model }} at site {{ $labels.site }}"


@dataclass(frozen=True)
class Alert:
    """One alert: `meaning` and `action` are sentences of the runbook and of the alert's description."""

    name: str
    severity: str
    expression: str
    wait: str
    summary: str
    meaning: str
    action: str
    labels: tuple[tuple[str, str], ...] = ()

    def rule(self) -> dict[str, Any]:
        """As Prometheus takes it."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.wait,
            "labels": {"severity": self.severity, **dict(self.labels)},
            "annotations": {
                "summary": self.summary,
                "description": f"{self.meaning} {self.action}",
                "runbook": f"{RUNBOOK}#{self.name.lower()}",
            },
        }


def rules(promise: Promise) -> list[Alert]:
    """All alerts of a release; those that need a figure which it does not have are left out."""
    found = [*service(promise.model), *burns(promise.model), queue_full(promise.model), memory(promise)]
    if promise.digest:
        found.append(differs(promise))
    if promise.slow_s is not None:
        found.append(slow(promise, promise.slow_s))
    if promise.watched:
        found.append(drifted(promise.model))
    return found


def service(model: str) -> list[Alert]:
    """The model is gone, not ready, or not the one that was proven."""
    ready = at(catalogue.READY, model=model)
    known, failed = own(recording.READY, model), at(catalogue.SELF_TEST, model=model)
    return [
        Alert(
            "NearedgeModelMissing",
            "critical",
            f"({known} == 0 unless on ({', '.join(BY)}) {ready}) or absent({known})",
            "5m",
            f"{model} is not there{{{{ with $labels.site }}}} at site {{{{ . }}}}{{{{ end }}}}",
            "No model server tells of this model: no pod runs, it still loads, or it cannot be scraped.",
            "Look at the pod's events and log: is it pending (memory, CPU), is its image pulled, does a probe fail?",
        ),
        Alert(
            "NearedgeModelNotReady",
            "critical",
            f"max {EACH} ({ready}) == 0",
            "2m",
            f"{WHERE} is not ready",
            "The model server runs and does not serve the model.",
            "The body of /v2/health/ready and nearedge_model_failed say why; roll back if the release brought it.",
        ),
        Alert(
            "NearedgeSelfTestFailed",
            "critical",
            f"min {EACH} ({failed}) == 0",
            "0m",
            f"{WHERE} failed its self-test",
            "The golden samples do not give here what they gave when the release was proven.",
            "Compare nearedge_model_info (precision, instruction set, weights) with the record; roll the site back.",
        ),
    ]


def burns(model: str) -> list[Alert]:
    """The error budget is spent too fast; both windows have to say so, so that it ends soon after the fault does."""
    found = []
    for severity, long, short, rate, spent in BURNS:
        bound = f"{rate * (1 - OBJECTIVE):.6g}"
        parts = [f"1 - {own(recording.available_over(window), model)} > {bound}" for window in (long, short)]
        found.append(
            Alert(
                "NearedgeErrorBudgetBurn",
                severity,
                " and ".join(parts),
                "2m",
                f"{WHERE} loses availability",
                f"Time not ready and failed requests spend {spent}; the objective is {OBJECTIVE:.1%}.",
                "See which of the two it is on the dashboard, and since which release; roll back if it came with one.",
                (("window", long),),
            )
        )
    return found


def queue_full(model: str) -> Alert:
    """Requests are turned away though the model is ready."""
    full = at(catalogue.REQUESTS, model=model, code_re=catalogue.FULL)
    ready = own(recording.READY, model)
    return Alert(
        "NearedgeQueueFull",
        "warning",
        f"sum {EACH} (rate({full}[5m])) > 0 and {ready} == 1",
        "5m",
        f"{WHERE} turns requests away",
        "The model is ready and answers 503 (gRPC: UNAVAILABLE), since too many requests wait already.",
        "Fewer clients, a larger CPU share in the profile, or a runtime configuration for throughput (goal).",
    )


def memory(promise: Promise) -> Alert:
    """The pod is soon killed by the kernel."""
    used, limit = own(recording.MEMORY, promise.model), own(recording.MEMORY_LIMIT, promise.model)
    return Alert(
        "NearedgeMemoryNearLimit",
        "warning",
        f"{used} / {limit} > {NEAR_LIMIT}",
        "10m",
        f"{WHERE} is near its memory limit",
        f"The server holds over {NEAR_LIMIT:.0%} of {promise.memory_limit_bytes // 2**20} MiB; above it is killed.",
        "Look for larger requests or batches than were measured; measure again with them, which sets the limit anew.",
    )


def differs(promise: Promise) -> Alert:
    """What runs is not what git says."""
    labels = ", ".join((*BY, "version", "digest"))
    other = at(catalogue.MODEL_INFO, model=promise.model, digest_not=promise.digest)
    return Alert(
        "NearedgeVersionDiffers",
        "warning",
        f"max by ({labels}) ({other}) == 1",
        "15m",
        f"{WHERE} runs another release than git says",
        f"Desired is version {promise.version}, image {promise.digest}; it runs {{{{ $labels.digest }}}}.",
        "See what the GitOps agent says of the site's application: not synced, or the new pod does not become ready.",
    )


def slow(promise: Promise, bound: float) -> Alert:
    """The field is slower than the benchmark."""
    metric, model = catalogue.INFERENCE_SECONDS, promise.model
    every = f'sum {EACH} (rate({metric.name}_count{{model="{model}"}}[15m]))'
    within = f"sum {EACH} (rate({recording.bucket(metric, model, bound)}[15m]))"
    return Alert(
        "NearedgeSlowerThanPromised",
        "warning",
        f"1 - {within} / ({every} > {SAMPLES_PER_S:.6f}) > 0.01",
        "10m",
        f"{WHERE} is slower than its benchmark",
        f"Over 1 % of inferences took more than {bound * 1000:g} ms, waiting included; the benchmark promised a p99 of "
        f"{(promise.p99_s or 0) * 1000:.3g} ms, and {TOLERATED:g} times that is too slow.",
        "Compare CPU with its limit, waiting with computing, and what else runs on the node; then measure again there.",
    )


def drifted(model: str) -> Alert:
    """The model is asked other things than it was proven on, or answers otherwise."""
    return Alert(
        "NearedgeDrift",
        "warning",
        drift.shifted(model),
        "0m",
        f"{WHERE}: {{{{ $labels.of }}}} {{{{ $labels.tensor }}}} has shifted",
        f"Its values lie otherwise than the evaluation rows' (population stability index over {drift.SHIFTED:g}).",
        "See whether a camera, a sensor or a process changed; judge the model on labelled samples of the site.",
    )
