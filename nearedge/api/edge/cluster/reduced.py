"""From objects of the Kubernetes API to what is kept of them.

Fields: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/ . Each `of_...` raises LookupError,
TypeError or AttributeError for what is not as its kind has it; such an object is passed over.
"""

from typing import Any

from nearedge.api.cluster.resources import Object
from nearedge.api.edge.cluster.objects import Condition, Container, Ended, Happening, Pod, Workload
from nearedge.api.edge.held import seconds

NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
SERVERS = ("model-server", "inference-service")
"""The component that releases give to what serves: of our own Deployment, and of KServe's."""
SELECTOR = f"app.kubernetes.io/part-of=nearedge,{COMPONENT} in ({','.join(SERVERS)})"
CONTAINERS = ("server", "kserve-container")
"""Names of the container that serves; in another pod it is the first."""
MODELCAR = "internal.serving.kserve.io/storage-initializer-sourceuri"
"""Where KServe writes the InferenceService's storageUri into the pods that it makes."""
PORT = 8080
LONGEST = 500
"""Letters of a message that are kept."""
MOST_CONTAINERS, MOST_CONDITIONS = 10, 10


def of_deployment(item: Object) -> Workload | None:
    """A Deployment; None for one that serves no model."""
    labels, spec, status = item["metadata"].get("labels") or {}, item["spec"], item.get("status") or {}
    if labels.get(COMPONENT) not in SERVERS or not labels.get(NAME):
        return None
    template = {"metadata": {}, **spec["template"]}
    return Workload(
        name=item["metadata"]["name"], uid=text(item["metadata"].get("uid")), model=labels[NAME],
        version=labels.get("app.kubernetes.io/version"), image=image_of(template, asked(template["spec"])[0]),
        generation=number(item["metadata"].get("generation")), observed=number(status.get("observedGeneration")),
        wanted=1 if spec.get("replicas") is None else number(spec["replicas"]),
        updated=number(status.get("updatedReplicas")), available=number(status.get("availableReplicas")),
        conditions=conditions(status),
    )  # fmt: skip


def of_pod(item: Object) -> Pod | None:
    """A pod; None for one that serves no model."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    labels = metadata.get("labels") or {}
    if labels.get(COMPONENT) not in SERVERS or not labels.get(NAME):
        return None
    told = {one["name"]: one for one in status.get("containerStatuses") or ()}
    wanted = asked(spec)
    return Pod(
        name=metadata["name"], uid=text(metadata.get("uid")), model=labels[NAME],
        image=image_of(item, wanted[0]), leaving="deletionTimestamp" in metadata,
        created=seconds(text(metadata.get("creationTimestamp"))) or 0.0,
        phase=text(status.get("phase")) or "Pending", node=text(spec.get("nodeName")),
        address=text(status.get("podIP")), port=port_of(wanted[0]), reason=text(status.get("reason")),
        message=text(status.get("message")), conditions=conditions(status),
        containers=tuple(container(one, told.get(one["name"]) or {}) for one in wanted),
    )  # fmt: skip


def of_event(item: Object) -> Happening | None:
    """An Event, of the old kind and the new one."""
    about, series = item["involvedObject"], item.get("series") or {}
    made = item["metadata"].get("creationTimestamp")
    times = (series.get("lastObservedTime"), item.get("lastTimestamp"), item.get("eventTime"), made)
    last = next((at for one in times if (at := seconds(text(one))) is not None), 0.0)
    starts = (item.get("firstTimestamp"), item.get("eventTime"), made)
    return Happening(
        uid=text(item["metadata"].get("uid")) or item["metadata"]["name"], kind=text(about.get("kind")),
        name=text(about.get("name")), severity=text(item.get("type")), reason=text(item.get("reason")),
        message=text(item.get("message")), times=max(1, number(item.get("count")), number(series.get("count"))),
        first=next((at for one in starts if (at := seconds(text(one))) is not None), last), last=last,
    )  # fmt: skip


def image_of(template: Object, server: Object) -> str:
    """The image that says which release a pod runs: the server's, or the modelcar's beside another's server."""
    car = text((template["metadata"].get("annotations") or {}).get(MODELCAR))
    return car.partition("://")[2] if car.startswith("oci") else text(server.get("image"))


def asked(spec: Object) -> list[Object]:
    """The containers that a pod asks for, that first which serves; others stay in their order."""
    return sorted(spec["containers"][:MOST_CONTAINERS], key=lambda one: one["name"] not in CONTAINERS)


def container(wanted: Object, told: Object) -> Container:
    """A container as its pod asks for it, and what the kubelet told of it."""
    state, last = told.get("state") or {}, told.get("lastState") or {}
    kind = next((one for one in ("waiting", "running", "terminated") if one in state), "")
    now = state.get(kind) or {}
    return Container(
        name=wanted["name"], image=text(wanted.get("image")), image_id=text(told.get("imageID")),
        ready=told.get("ready") is True, restarts=number(told.get("restartCount")), state=kind,
        reason=text(now.get("reason")), message=text(now.get("message")), since=seconds(text(now.get("startedAt"))),
        ended=ended(state.get("terminated")), last=ended(last.get("terminated")),
    )  # fmt: skip


def ended(told: Any) -> Ended | None:
    """How a container ended, None where it did not."""
    if not isinstance(told, dict):
        return None
    return Ended(
        number(told.get("exitCode")), number(told.get("signal")), text(told.get("reason")), text(told.get("message")),
        seconds(text(told.get("startedAt"))), seconds(text(told.get("finishedAt"))),
    )  # fmt: skip


def conditions(status: Object) -> tuple[Condition, ...]:
    """The conditions of a status."""
    return tuple(
        Condition(
            text(one.get("type")), text(one.get("status")), text(one.get("reason")), text(one.get("message")),
            seconds(text(one.get("lastTransitionTime"))),
        )
        for one in (status.get("conditions") or [])[:MOST_CONDITIONS]
    )  # fmt: skip


def port_of(wanted: Object) -> int:
    """The port for REST."""
    named = [one.get("containerPort") for one in wanted.get("ports") or () if one.get("name") == "http"]
    return named[0] if named and isinstance(named[0], int) else PORT


def text(value: object) -> str:
    """A text, empty where it is none."""
    return " ".join(value[: 4 * LONGEST].split())[:LONGEST] if isinstance(value, str) else ""


def number(value: object) -> int:
    """A whole number, 0 where it is none."""
    return value if isinstance(value, int) else 0
