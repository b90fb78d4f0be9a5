"""How the models at the sites are doing, as the core's Prometheus knows it from what the sites send."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nearedge.api.core.prometheus import PrometheusPlace, Queries
from nearedge.delivery.monitoring import catalogue, recording

EACH = f"{catalogue.SITE}, model"
INFO = catalogue.MODEL_INFO.name
FIGURES = {
    "ready": f"max by ({EACH}) ({recording.READY})",
    "available_1h": f"min by ({EACH}) ({recording.available_over('1h')})",
    "available_30d": f"min by ({EACH}) ({recording.available_over('30d')})",
    "p99_s": f'max by ({EACH}) ({recording.REQUEST_QUANTILE}{{quantile="0.99"}})',
    "memory_bytes": f"max by ({EACH}) ({recording.MEMORY})",
}
RUNNING = f"max by ({EACH}, version, digest) ({INFO})"
SINCE = f"min by ({EACH}, digest) (min_over_time(timestamp({INFO})[7d:10m]) or timestamp({INFO}))"
"""When a site first told of a digest within seven days, to ten minutes; asked only where a new one is seen."""
MOST = 50_000
"""Models at sites that are kept."""
Key = tuple[str, str]
"""Site and model."""


@dataclass(frozen=True)
class Running:
    """What a site says it runs: version, digest of the image, and since when (Unix seconds)."""

    version: str
    digest: str
    since: float | None


@dataclass(frozen=True)
class Condition:
    """What Prometheus knows of a model at a site; None: nothing.

    `running` has several where one release takes the place of another just then.
    """

    running: tuple[Running, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)


Conditions = Mapping[Key, Condition]
NOTHING = Condition()


def read(place: PrometheusPlace, before: Conditions | None) -> Conditions:
    """What it knows of all sites. Raises OutsideError where it does not answer; `before` is what it said last."""
    queries = Queries(place)
    found: dict[Key, Condition] = {}
    for labels, _ in queries.ask(RUNNING):
        key = labels.get(catalogue.SITE, ""), labels.get("model", "")
        running = Running(labels.get("version", ""), labels.get("digest", ""), None)
        if all(key) and (key in found or len(found) < MOST):
            there = found.get(key, NOTHING)
            found[key] = replace(there, running=(*there.running, running))
    for name, query in FIGURES.items():
        for labels, value in queries.ask(query):
            key = labels.get(catalogue.SITE, ""), labels.get("model", "")
            if all(key) and (key in found or len(found) < MOST):
                there = found.get(key, NOTHING)
                found[key] = replace(there, figures={**there.figures, name: value})
    return with_times(queries, found, before or {})


def with_times(queries: Queries, found: Conditions, before: Conditions) -> Conditions:
    """With the time since when each digest runs: as it was known, else as Prometheus says."""
    known: dict[tuple[Key, str], float] = {}
    for key, condition in before.items():
        known |= {(key, one.digest): one.since for one in condition.running if one.since is not None}
    if any((key, one.digest) not in known for key, condition in found.items() for one in condition.running):
        for labels, value in queries.ask(SINCE):
            own = (labels.get(catalogue.SITE, ""), labels.get("model", "")), labels.get("digest", "")
            known.setdefault(own, value)
    return {
        key: replace(
            condition, running=tuple(replace(one, since=known.get((key, one.digest))) for one in condition.running)
        )
        for key, condition in found.items()
    }
