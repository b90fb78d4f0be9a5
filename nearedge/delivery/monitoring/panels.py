"""What the dashboards show: one list of panels, from which hack/dashboards.py makes Grafana's and the console's JSON.

Queries read recorded series where there are any, so that a dashboard asks no more than it shows.
`$model` and `$site` are the dashboards' variables, `$__range` is the time that is shown.
"""

from dataclasses import dataclass
from typing import Literal

from nearedge.delivery.monitoring import catalogue, drift, recording
from nearedge.delivery.monitoring.promise import OBJECTIVE

SHOWN = '{model=~"$model",site=~"$site"}'
EACH = "{{site}} {{model}}"
FLEET, SERVICE, LATENCY, TRAFFIC, USAGE, DRIFT, RELEASES = (
    "Fleet", "Availability", "Latency", "Throughput and errors", "Memory and CPU against limits",
    "Drift", "Releases",
)  # fmt: skip
VARIABLES = ("site", "model")
"""Labels that the dashboards choose by; their values are those of recording.READY."""


@dataclass(frozen=True)
class Query:
    """PromQL, and how its series are named."""

    expression: str
    legend: str = EACH


@dataclass(frozen=True)
class Panel:
    """One panel; `unit` is Grafana's name of it."""

    row: str
    title: str
    kind: Literal["graph", "stat", "table"]
    unit: str
    queries: tuple[Query, ...]


def shown(name: str, legend: str = EACH) -> Query:
    """A series as it is."""
    return Query(name + SHOWN, legend)


def quantiles(name: str) -> tuple[Query, ...]:
    """The recorded quantiles."""
    return (shown(name, f"{EACH} p{{{{quantile}}}}"),)


def graph(row: str, title: str, unit: str, *queries: Query) -> Panel:
    """A panel over time."""
    return Panel(row, title, "graph", unit, queries)


def stat(title: str, unit: str, expression: str) -> Panel:
    """One number of the fleet."""
    return Panel(FLEET, title, "stat", unit, (Query(expression, ""),))


READY, AVAILABLE = recording.READY + SHOWN, recording.available_over("30d") + SHOWN
BY_RELEASE = "max by (site, model, version, digest) "
CODES = f"sum by (site, model, code) (rate({catalogue.REQUESTS.name}{SHOWN}[5m]))"
QUEUE = f"histogram_quantile(0.99, sum by (site, model, le) (rate({catalogue.QUEUE_SECONDS.name}_bucket{SHOWN}[5m])))"

PANELS = (
    stat("Serving", "short", f"count({READY} == 1) or vector(0)"),
    stat("Not serving", "short", f"count({READY} == 0) or vector(0)"),
    stat("Availability, 30 d", "percentunit", f"avg({AVAILABLE})"),
    stat("Error budget left, 30 d, worst site", "percentunit", f"min(1 - (1 - {AVAILABLE}) / {1 - OBJECTIVE:.6g})"),
    stat("Requests", "reqps", f"sum({recording.REQUESTS}{SHOWN})"),
    stat("Bytes pulled in the time shown", "bytes", f"sum(max_over_time({recording.PULLED}{SHOWN}[$__range]))"),
    graph(SERVICE, "Ready", "short", shown(recording.READY)),
    graph(SERVICE, "Availability, 1 h", "percentunit", shown(recording.available_over("1h"))),
    graph(SERVICE, "Availability, 30 d", "percentunit", shown(recording.available_over("30d"))),
    graph(SERVICE, "Requests answered, 5 min", "percentunit", shown(recording.success_over("5m"))),
    graph(SERVICE, "Self-test passed", "short", shown(catalogue.SELF_TEST.name)),
    graph(LATENCY, "Requests, from their head to the answer", "s", *quantiles(recording.REQUEST_QUANTILE)),
    graph(
        LATENCY,
        "Inferences, and the p99 promised",
        "s",
        *quantiles(recording.INFERENCE_QUANTILE),
        shown(recording.PROMISED, f"{EACH} promised"),
    ),
    graph(LATENCY, "Waiting, p99", "s", Query(QUEUE)),
    graph(TRAFFIC, "Requests", "reqps", shown(recording.REQUESTS)),
    graph(TRAFFIC, "Failures", "reqps", shown(recording.FAILURES)),
    graph(TRAFFIC, "Answers by code", "reqps", Query(CODES, f"{EACH} {{{{code}}}}")),
    graph(TRAFFIC, "In flight", "short", shown(catalogue.IN_FLIGHT.name)),
    graph(USAGE, "Memory", "bytes", shown(recording.MEMORY), shown(recording.MEMORY_LIMIT, f"{EACH} limit")),
    graph(USAGE, "CPU, cores", "short", shown(recording.CPU), shown(recording.CPU_LIMIT, f"{EACH} limit")),
    graph(
        DRIFT,
        "Population stability index of inputs and answers",
        "short",
        shown(drift.INDEX, f"{EACH} {{{{of}}}} {{{{tensor}}}} {{{{window}}}}"),
    ),
    graph(
        RELEASES,
        "Versions",
        "short",
        Query(f"{BY_RELEASE}({catalogue.MODEL_INFO.name}{SHOWN})", f"{EACH} {{{{version}}}} {{{{digest}}}}"),
    ),
    graph(RELEASES, "Bytes pulled for the release", "bytes", shown(recording.PULLED, f"{EACH} {{{{digest}}}}")),
    Panel(RELEASES, "What runs where", "table", "short", (Query(f"{BY_RELEASE}({catalogue.MODEL_INFO.name}{SHOWN})"),)),
)


def rows() -> dict[str, list[Panel]]:
    """The panels by row, in order."""
    found: dict[str, list[Panel]] = {}
    for panel in PANELS:
        found.setdefault(panel.row, []).append(panel)
    return found
