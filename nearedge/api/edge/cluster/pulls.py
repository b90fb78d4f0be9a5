"""A pod that brings an image to the node and ends at once: what it is, and what is read of it.

One for each model, by its name; the next takes its place. It is owned by the model's Deployment and goes with it.
"""

import re
import time
from collections.abc import Iterable

from nearedge.api.cluster.resources import Object
from nearedge.api.edge.cluster.reasons import IMAGE
from nearedge.api.edge.desired import Image
from nearedge.api.edge.documents import SourceState
from nearedge.api.edge.held import seconds
from nearedge.api.edge.manage_documents import PrePull, PullState

COMPONENT = "pre-pull"
ASKED_BY, VERSION = "nearedge.dev/asked-by", "nearedge.dev/version"
DEADLINE_S = 24 * 3600
"""A thin link may take a night."""
GOOD_FOR_S = 3600
"""Seconds for which an image that was pulled is taken to be there still."""
NEVER = ("InvalidImageName", "ErrImageNeverPull")
BYTES = re.compile(r"Image size: ([0-9]{1,18}) bytes")
"""At the end of the kubelet's event Pulled (pkg/kubelet/images/image_manager.go)."""
LONGEST = 500
ENDS_AT_ONCE = {"serving": {"args": ["--version"]}, "modelcar": {"command": ["true"]}}
"""What is run; where the image has no such program it fails to start, which is after it was pulled."""


def name_of(model: str) -> str:
    """The pod's name."""
    return f"nearedge-pre-pull-{model}"


def pod(model: str, image: Image, deployment: Object, who: str) -> Object:
    """The pod: on a node where the model's own may run, with its pull secrets and without its token."""
    own = deployment["spec"]["template"]["spec"]
    metadata = deployment["metadata"]
    same = ("serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name_of(model),
            "labels": {
                "app.kubernetes.io/name": model,
                "app.kubernetes.io/component": COMPONENT,
                "app.kubernetes.io/part-of": "nearedge",
            },
            "annotations": {ASKED_BY: who, VERSION: image.version},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"]}
            ],
        },
        "spec": {
            **{key: own[key] for key in same if own.get(key)},
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": DEADLINE_S,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container(image)],
        },
    }


def container(image: Image) -> Object:
    """Its container."""
    return {
        "name": "image",
        "image": image.name,
        "imagePullPolicy": "IfNotPresent",
        **ENDS_AT_ONCE.get(image.flavour, ENDS_AT_ONCE["modelcar"]),
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi"},
            "limits": {"cpu": "500m", "memory": "256Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def is_ours(made: Object) -> bool:
    """Whether we made a pod of that name."""
    return bool((made["metadata"].get("labels") or {}).get("app.kubernetes.io/component") == COMPONENT)


def state(made: Object) -> tuple[PullState, str, str | None]:
    """How far it is, why it is no further, and when it ended."""
    status = made.get("status") or {}
    told = (status.get("containerStatuses") or [{}])[0].get("state") or {}
    if ended := told.get("terminated"):
        return "done", "", ended.get("finishedAt")
    if "running" in told:
        return "done", "", told["running"].get("startedAt")
    if status.get("phase") == "Failed":
        return "failed", line(status, "its pod failed"), None
    waiting = told.get("waiting") or {}
    why = waiting.get("reason") or ""
    if why in NEVER:
        return "failed", line(waiting, why), None
    if why in IMAGE:
        return "pulling", f"{line(waiting, why)}; it is tried again", None
    if why not in ("", "ContainerCreating", "PodInitializing"):
        return "done", f"its pod does not start, for which it need not ({why})", None
    scheduled = [one for one in status.get("conditions") or [] if one.get("type") == "PodScheduled"]
    if scheduled and scheduled[0].get("status") == "True":
        return "pulling", "", None
    return "pending", line(scheduled[0], "") if scheduled else "no node has taken its pod yet", None


def line(said: Object, otherwise: str) -> str:
    """Reason and message in a line."""
    words = [str(said[key]) for key in ("reason", "message") if said.get(key)]
    return " ".join(": ".join(words).split())[:LONGEST] or otherwise


def stuck(made: Object) -> bool:
    """Whether another may take its place: it is over, or the image could not be had up to now."""
    found, reason, _ = state(made)
    return found in ("done", "failed") or (found == "pulling" and bool(reason))


def old(made: Object) -> bool:
    """Whether it ended so long ago that the node may have removed the image since: asked again, it is pulled again."""
    ended = seconds(state(made)[2] or "")
    return ended is not None and time.time() - ended > GOOD_FOR_S


def size(events: Iterable[Object]) -> int | None:
    """Bytes of the image, as the kubelet says when it has pulled it."""
    messages = (str(one.get("message")) for one in events if one.get("reason") == "Pulled")
    return next((int(found[1]) for message in messages if (found := BYTES.search(message))), None)


def document(model: str, made: Object, events: Iterable[Object], source: SourceState) -> PrePull:
    """What is told of it. Raises LookupError, TypeError or AttributeError for what is no pod of ours."""
    metadata, (found, reason, ended) = made["metadata"], state(made)
    said = metadata.get("annotations") or {}
    return PrePull(
        name=model, state=found, image=made["spec"]["containers"][0]["image"], version=said.get(VERSION),
        reason=reason, bytes=size(events), by=said.get(ASKED_BY), asked=metadata.get("creationTimestamp"), ended=ended,
        sources=[source],
    )  # fmt: skip
