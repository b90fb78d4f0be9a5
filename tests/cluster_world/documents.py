"""Pieces of documents that controllers write."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nearedge.api.cluster.resources import Object

NODE = "edge-1"
"""The only node."""


def now() -> str:
    """As Kubernetes prints a time: RFC 3339 in UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise() -> str:
    """As a MicroTime is printed."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def condition(kind: str, status: bool | None, reason: str = "", message: str = "") -> Object:
    """A condition; None: not known."""
    found = {"type": kind, "status": "Unknown" if status is None else str(status), "lastTransitionTime": now()}
    return found | {key: text for key, text in (("reason", reason), ("message", message)) if text}


def owner(document: Mapping[str, Any]) -> Object:
    """The reference of a controller to what it looks after."""
    metadata = document["metadata"]
    return {
        "apiVersion": document["apiVersion"], "kind": document["kind"], "name": metadata["name"],
        "uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def reference(document: Mapping[str, Any], field: str = "") -> Object:
    """The reference of an Event to what it is about."""
    metadata = document["metadata"]
    found = {
        "apiVersion": document["apiVersion"], "kind": document["kind"], "name": metadata["name"],
        "namespace": metadata["namespace"], "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }  # fmt: skip
    return found | ({"fieldPath": field} if field else {})


def event(  # every part of it is another word of the same sentence
    about: Mapping[str, Any], reason: str, message: str, *, by: str, kind: str = "Normal", field: str = ""
) -> Object:
    """An Event as the kubelet, the scheduler and controllers write it: core v1, the name with a time in nanoseconds."""
    metadata = about["metadata"]
    stamp = f"{int(datetime.now(UTC).timestamp() * 1e9):x}"
    host = {"host": NODE} if by == "kubelet" else {}
    return {
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{stamp}", "namespace": metadata["namespace"]},
        "involvedObject": reference(about, field), "reason": reason, "message": message, "type": kind, "count": 1,
        "firstTimestamp": now(), "lastTimestamp": now(), "eventTime": None,
        "source": {"component": by, **host}, "reportingComponent": by, "reportingInstance": host.get("host", ""),
    }  # fmt: skip


def replacing(old: object, new: object) -> object:
    """The merge patch (RFC 7386) that makes `new` of `old`."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    return {key: replacing(old.get(key), value) for key, value in new.items()} | {
        key: None for key in old if key not in new
    }
