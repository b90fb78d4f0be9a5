"""Documents of what the cluster tells."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nearedge.api.edge import views
from nearedge.api.edge.cluster import reasons
from nearedge.api.edge.cluster.objects import Container, Happening, Pod, Workload
from nearedge.api.edge.documents import Event
from nearedge.api.edge.held import when
from nearedge.api.edge.pod_documents import Condition, ContainerState, PodState


def pod(one: Pod, happenings: Sequence[Happening]) -> PodState:
    """A pod."""
    return PodState(
        name=one.name, node=one.node, phase=one.phase, ready=one.ready, leaving=one.leaving, digest=one.digest,
        created=when(one.created), reason=reasons.of_pod(one, happenings),
        containers=[container(box) for box in one.containers],
    )  # fmt: skip


def container(one: Container) -> ContainerState:
    """A container."""
    reason = f"{one.reason}: {one.message}" if one.reason and one.message else one.reason or one.message
    return ContainerState(
        name=one.name, image=one.image, image_id=one.image_id, ready=one.ready, restarts=one.restarts, state=one.state,
        reason=reasons.how(one.ended) if one.ended else reason, last_end=reasons.how(one.last) if one.last else "",
    )  # fmt: skip


def conditions(workload: Workload | None, pods: Sequence[Pod]) -> list[Condition]:
    """Those of the Deployment and of its newest pod."""
    found = [(f"Deployment/{workload.name}", one) for one in workload.conditions] if workload else []
    found += [(f"Pod/{pods[0].name}", one) for one in pods[0].conditions] if pods else []
    return [
        Condition(
            object=of, type=one.kind, status=one.status, reason=one.reason, message=one.message,
            since=None if one.since is None else when(one.since),
        )
        for of, one in found
    ]  # fmt: skip


def newest(lines: Iterable[Mapping[str, Any]], times: Mapping[str, int]) -> list[Event]:
    """Events of lines, which come the newest first; of those of one event of the cluster the newest, counted to now."""
    found, seen = [], set()
    for line in lines:
        uid = line.get("uid")
        counted = isinstance(uid, str) and line.get("kind") in ("normal", "warning")
        if counted and uid in seen:
            continue
        seen.add(str(uid))
        event = views.event(line)
        found.append(event.model_copy(update={"times": times[str(uid)]}) if counted and uid in times else event)
    return found
