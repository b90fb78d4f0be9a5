"""Documents of what is known of a model."""

from collections.abc import Mapping, Sequence
from typing import Any

from nearedge.api.edge.documents import (
    Event,
    Model,
    ModelHealth,
    ModelSummary,
    Restart,
    SourceState,
    Tensor,
    Versions,
)
from nearedge.api.edge.held import when
from nearedge.api.edge.memory import Seen
from nearedge.api.edge.servers import Address

MOST_RESTARTS = 5
"""Restarts that an answer tells the reasons of."""


def summary(seen: Seen, why_not: str) -> ModelSummary:
    """A model in a list."""
    version = seen.version
    return ModelSummary(
        name=seen.name, server=seen.url, version=version.version, digest=version.digest, precision=version.precision,
        ready=seen.up, reason="" if seen.up else why_not, as_of=when(seen.at) if seen.at else None,
    )  # fmt: skip


def health(
    seen: Seen, fault: str | None, why_not: str, restarts: Sequence[Mapping[str, Any]], sources: list[SourceState]
) -> ModelHealth:
    """How a model is doing; `fault` is that of its server, None where it was not asked yet."""
    return ModelHealth(
        name=seen.name, live=None if fault is None else fault == "", ready=seen.up,
        state="unknown" if fault else seen.state, reason="" if seen.up else why_not, self_test=seen.proven,
        restarts=len(restarts), sources=sources,
        last_restarts=[
            Restart(at=str(line["time"]), reason=str(line["message"])) for line in reversed(restarts[-MOST_RESTARTS:])
        ],
    )  # fmt: skip


def model(seen: Seen, address: Address, health: ModelHealth, versions: Versions) -> Model:
    """General information."""
    source = seen.release.get("source")
    version = seen.version
    return Model(
        name=seen.name, server=seen.url, grpc=address.grpc, what=address.what, served_versions=list(seen.served),
        version=version.version, digest=version.digest, precision=version.precision,
        source=source if isinstance(source, dict) else None, inputs=tensors(seen.metadata.get("inputs")),
        outputs=tensors(seen.metadata.get("outputs")), release=dict(seen.release) or None, health=health,
        versions=versions, sources=merged(health.sources, versions.sources),
    )  # fmt: skip


def merged(*lists: Sequence[SourceState]) -> list[SourceState]:
    """Sources, each once."""
    return list({one.name: one for some in lists for one in some}.values())


def tensors(told: object) -> list[Tensor]:
    """Inputs or outputs as a server tells of them; what is none is left out."""
    found = []
    for one in told if isinstance(told, list) else []:
        try:
            found.append(Tensor(name=one["name"], datatype=one["datatype"], shape=one["shape"]))
        except (LookupError, TypeError, ValueError):
            continue
    return found


def event(line: Mapping[str, Any]) -> Event:
    """A line of the events. Raises ValueError where it is none of ours."""
    return Event.model_validate({key: value for key, value in line.items() if key in Event.model_fields})
