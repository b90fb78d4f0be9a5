"""Recording rules of one release: availability, latency and what both are held against, for each site.

Longer windows average the 5 min series, so that 30 days cost one sample a minute and not the raw histograms. Where
Prometheus keeps less than a window (user workload monitoring: 24 h by default), the figure is of what it keeps.
"""

from typing import Any

from nearedge.delivery.monitoring import catalogue, drift
from nearedge.delivery.monitoring.catalogue import BY, Metric, at
from nearedge.delivery.monitoring.promise import Promise

Rule = dict[str, Any]

EACH = f"by ({', '.join(BY)})"
WINDOWS = ("5m", "30m", "1h", "6h", "3d", "30d")
QUANTILES = ("0.5", "0.9", "0.99")
LEAST_PER_S = 1 / 60
"""Requests a second that a success ratio is of at least: one failure of three requests a day burns no budget in an
hour. The SRE workbook (chapter 5, low-traffic services) makes up such requests; we only count as if."""
REMEMBERED = "3d"
"""So long a model that is gone is known to have been at a site, which also a removed one is."""

READY = "model:nearedge_ready:max"
REQUESTS = "model:nearedge_requests:rate5m"
FAILURES = "model:nearedge_failures:rate5m"
REQUEST_QUANTILE = "model:nearedge_request_seconds:quantile5m"
INFERENCE_QUANTILE = "model:nearedge_inference_seconds:quantile5m"
PROMISED = "model:nearedge_promised_p99_seconds:constant"
MEMORY = "model:nearedge_memory_bytes:max"
MEMORY_LIMIT = "model:nearedge_memory_limit_bytes:constant"
CPU = "model:nearedge_cpu_cores:rate5m"
CPU_LIMIT = "model:nearedge_cpu_limit_cores:constant"
PULLED = "model:nearedge_pulled_bytes:constant"


def ready_over(window: str) -> str:
    """Name of the share of time that a model was ready."""
    return f"model:nearedge_ready:avg{window}"


def success_over(window: str) -> str:
    """Name of the share of requests that were answered without a fault of ours."""
    return f"model:nearedge_success:ratio{window}"


def available_over(window: str) -> str:
    """Name of both together: the chance that a request made at any time is answered."""
    return f"model:nearedge_available:ratio{window}"


def rules(promise: Promise) -> list[Rule]:
    """All recording rules, each behind those it reads."""
    found = [*traffic(promise.model), *availability(promise.model), *latency(promise.model), *usage(promise)]
    return [*found, *(drift.rules(promise.model) if promise.watched else [])]


def own(name: str, model: str, more: str = "") -> str:
    """A recorded series of this model."""
    return f'{name}{{model="{model}"{more}}}'


def rule(name: str, expression: str, **labels: str) -> Rule:
    """One recording rule."""
    return {"record": name, "expr": expression, **({"labels": labels} if labels else {})}


def traffic(model: str) -> list[Rule]:
    """Readiness, requests and failures. A model that was there within `REMEMBERED` and is gone counts as not ready."""
    now, ready, requests = at(catalogue.READY, model=model), own(READY, model), own(REQUESTS, model)
    failing = at(catalogue.REQUESTS, model=model, code_re=catalogue.OUR_FAULT)
    return [
        rule(READY, f"max {EACH} ({now}) or 0 * max {EACH} (last_over_time({now}[{REMEMBERED}]))"),
        rule(REQUESTS, f"sum {EACH} (rate({at(catalogue.REQUESTS, model=model)}[5m])) or 0 * {ready}"),
        rule(FAILURES, f"sum {EACH} (rate({failing}[5m])) or 0 * {requests}"),
    ]


def availability(model: str) -> list[Rule]:
    """The three ratios over each window."""
    found = []
    for window in WINDOWS:
        failures = f"avg_over_time({own(FAILURES, model)}[{window}])"
        requests = f"avg_over_time({own(REQUESTS, model)}[{window}])"
        found += [
            rule(ready_over(window), f"avg_over_time({own(READY, model)}[{window}])"),
            rule(success_over(window), f"1 - {failures} / clamp_min({requests}, {LEAST_PER_S:.6f})"),
            rule(
                available_over(window),
                f"{own(ready_over(window), model)} * {own(success_over(window), model)}",
            ),
        ]
    return found


def latency(model: str) -> list[Rule]:
    """Quantiles of whole requests and of inferences, in seconds."""
    wanted = [(REQUEST_QUANTILE, catalogue.REQUEST_SECONDS), (INFERENCE_QUANTILE, catalogue.INFERENCE_SECONDS)]
    return [
        rule(name, f"histogram_quantile({quantile}, sum by ({', '.join((*BY, 'le'))}) ({rate}))", quantile=quantile)
        for name, metric in wanted
        for quantile in QUANTILES
        for rate in [f'rate({metric.name}_bucket{{model="{model}"}}[5m])']
    ]


def of_process(expression: str, model: str) -> str:
    """A metric of the process, with the model that it serves."""
    target = "namespace, site, job, instance"
    served = f"max by ({target}, model) ({at(catalogue.READY, model=model)} ^ 0)"
    return f"max {EACH} ({expression} * on ({target}) group_left (model) {served})"


def usage(promise: Promise) -> list[Rule]:
    """Memory and CPU, what the pod may take of them, the promised latency, and the bytes pulled for the release."""
    model = promise.model
    info = at(catalogue.MODEL_INFO, model=model, digest=promise.digest)
    cpu = f"rate({catalogue.CPU.name}[5m])"
    found = [
        rule(MEMORY, of_process(catalogue.MEMORY.name, model)),
        rule(CPU, of_process(cpu, model)),
        rule(MEMORY_LIMIT, constant(promise.memory_limit_bytes, model)),
        rule(CPU_LIMIT, constant(promise.cpu_limit_cores, model)),
        rule(PULLED, f"max by ({', '.join((*BY, 'digest'))}) ({info}) * {promise.pull_bytes}"),
    ]
    if promise.p99_s is not None:
        found.append(rule(PROMISED, constant(promise.p99_s, model)))
    return found


def constant(value: float, model: str) -> str:
    """A figure of the release, with the labels of the sites that run it."""
    return f"{value:.10g} + 0 * {own(READY, model)}"


def bucket(metric: Metric, model: str, bound: float) -> str:
    """The series of one bucket."""
    return f'{metric.name}_bucket{{model="{model}",le="{bound}"}}'
