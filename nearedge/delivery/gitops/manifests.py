"""The Kubernetes objects of one release, as plain values; `nearedge.delivery.gitops.render` puts them into files.

Every pod meets the restricted pod security standard and carries no service account token. Figures come from the
record's benchmark, and from the profile where nothing was measured.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from nearedge.release.profile import Profile
from nearedge.release.record import Record
from nearedge.release.sections import BenchmarkSection

Object = dict[str, Any]

PORT = 8080
GRPC_PORT = 8081
DRAIN_S = 10
"""Seconds that the server goes on answering after SIGTERM: routers learn no faster that the pod leaves."""
DRAIN_ALONE_S = 2
"""The same where the next pod starts only when this one has ended: there is none that routers could turn to, and each
second more is one later that the model is back.
"""
REQUEST_S = 30
GRACE_S = DRAIN_S + REQUEST_S + 10
TMP_LIMIT = "64Mi"
LOG_CONTROL, LOG_CONTROL_AT = "log-control", "/etc/nearedge/log-control"
START_EVERY_S, STARTS = 2, 90
STRATEGY_NOTE = "nearedge.dev/rollout"
DRAIN = "DRAIN_SECONDS"


def text(body: Any) -> str:
    """YAML text with keys in the order given."""
    return yaml.safe_dump(body, sort_keys=False, default_flow_style=False, width=120, allow_unicode=True)


@dataclass(frozen=True)
class Resources:
    """What one pod asks for and may take; CPU in thousandths of a core, memory in MiB."""

    cpu_request_m: int
    cpu_limit_m: int
    memory_request_mib: int
    memory_limit_mib: int


def measured(record: Record) -> BenchmarkSection | None:
    """What was measured of the server that will run; nothing for a modelcar, which another server than ours runs."""
    image = record.evidence.image
    return None if image is not None and image.flavour == "modelcar" else record.evidence.benchmark


def resources(record: Record, profile: Profile) -> Resources:
    """The pod's share as measured; else the profile's share for one model, of whose CPU a quarter is held for it."""
    benchmark = measured(record)
    cpu_request_m = benchmark.cpu_request_m if benchmark else None
    cpu_limit_m = benchmark.cpu_limit_m if benchmark else None
    return Resources(
        cpu_request_m=cpu_request_m or profile.cpu_request_m,
        cpu_limit_m=cpu_limit_m or round(profile.model.cpu * 1000),
        memory_request_mib=benchmark.memory_request_mib if benchmark else profile.model.memory_mib,
        memory_limit_mib=benchmark.memory_limit_mib if benchmark else profile.model.memory_mib,
    )


@dataclass(frozen=True)
class Used:
    """What a site's other models ask for of its node: memory in MiB, CPU in thousandths of a core."""

    memory_mib: int = 0
    cpu_m: int = 0


NOTHING = Used()


def rollout(share: Resources, profile: Profile, used: Used = NOTHING) -> tuple[Object, str]:
    """The Deployment's strategy and a sentence that says what it means for whoever calls the model."""
    left_mib, left_m = profile.left_mib - used.memory_mib, profile.left_cpu_m - used.cpu_m
    beside = "" if used == NOTHING else " beside what the site runs"
    if 2 * share.memory_limit_mib <= left_mib and 2 * share.cpu_request_m <= left_m:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
        return strategy, f"the next pod starts beside the old one: two fit profile {profile.name}{beside}"
    needed = f"{2 * share.memory_limit_mib} MiB and {2 * share.cpu_request_m}m needed"
    note = f"no answers while the next pod starts: two do not fit profile {profile.name}{beside}"
    return {"type": "Recreate"}, f"{note} ({needed}, {max(0, left_mib)} MiB and {max(0, left_m)}m there)"


def drain_s(strategy: Object) -> int:
    """Seconds that a pod of this strategy goes on answering when it has to end."""
    return DRAIN_ALONE_S if strategy["type"] == "Recreate" else DRAIN_S


def labels(record: Record) -> dict[str, str]:
    """The labels of every object."""
    return {
        **selector(record),
        "app.kubernetes.io/part-of": "nearedge",
        "app.kubernetes.io/version": record.identity.version,
    }


def selector(record: Record) -> dict[str, str]:
    """The labels that find the pods of a model; they never change, since a Deployment's selector cannot."""
    return {"app.kubernetes.io/name": record.identity.name, "app.kubernetes.io/component": "model-server"}


def metadata(record: Record) -> Object:
    """Name and labels."""
    return {"name": record.identity.name, "labels": labels(record)}


def deployment(record: Record, profile: Profile, image: str) -> Object:
    """The model server, one pod of it; `image` is by digest."""
    share = resources(record, profile)
    strategy, note = rollout(share, profile)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**metadata(record), "annotations": {STRATEGY_NOTE: note}},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 600,
            "strategy": strategy,
            "selector": {"matchLabels": selector(record)},
            "template": {
                "metadata": {"labels": labels(record)},
                "spec": server_pod(record, share, image, drain_s(strategy)),
            },
        },
    }


def server_pod(record: Record, share: Resources, image: str, drain: int) -> Object:
    """The pod with the server in it."""
    return {**pod(record), "containers": [container(share, image, drain)], "volumes": volumes()}


def pod(record: Record) -> Object:
    """What holds for the pod whatever runs in it: restricted, without a token, with time to drain."""
    return {
        "serviceAccountName": record.identity.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }


def volumes() -> list[Object]:
    """The only place that the server can write to; the token for its log level, where the site has one (ADR 0031)."""
    return [
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_LIMIT}},
        {"name": LOG_CONTROL, "secret": {"secretName": f"nearedge-{LOG_CONTROL}", "optional": True}},
    ]


def limits(share: Resources) -> Object:
    """A container's requests and limits."""
    return {
        "requests": {"cpu": f"{share.cpu_request_m}m", "memory": f"{share.memory_request_mib}Mi"},
        "limits": {"cpu": f"{share.cpu_limit_m}m", "memory": f"{share.memory_limit_mib}Mi"},
    }


def container(share: Resources, image: str, drain: int) -> Object:
    """The server's container, `drain` in seconds.

    Ready is asked for at the start too: the golden samples are repeated before it.
    """
    return {
        "name": "server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": f"NEAREDGE_{name}", "value": value} for name, value in settings(image, drain).items()],
        "ports": [{"name": "http", "containerPort": PORT}, {"name": "grpc", "containerPort": GRPC_PORT}],
        "startupProbe": probe("ready", period_s=START_EVERY_S, failures=STARTS),
        "readinessProbe": probe("ready", period_s=5, failures=2),
        "livenessProbe": probe("live", period_s=10, failures=3),
        "resources": limits(share),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # the path inside the pod
            {"name": LOG_CONTROL, "mountPath": LOG_CONTROL_AT, "readOnly": True},
        ],
    }


def settings(image: str, drain: int = DRAIN_S) -> dict[str, str]:
    """What the server is told by its environment (serving_image/settings.py); the digest is shown in its metrics."""
    return {
        "HOST": "0.0.0.0",  # noqa: S104  # a pod's own address
        "PORT": str(PORT),
        "GRPC_PORT": str(GRPC_PORT),
        DRAIN: str(drain),
        "REQUEST_TIMEOUT_SECONDS": str(REQUEST_S),
        "IMAGE_DIGEST": image.rpartition("@")[2],
        "LOG_TOKEN_FILE": f"{LOG_CONTROL_AT}/token",
    }


def probe(what: str, period_s: int, failures: int) -> Object:
    """A probe on the Open Inference Protocol's health endpoints."""
    get = {"path": f"/v2/health/{what}", "port": "http"}
    return {"httpGet": get, "periodSeconds": period_s, "timeoutSeconds": 2, "failureThreshold": failures}


def service_name(record: Record) -> str:
    """The Service's name, which has to begin with a letter (RFC 1035), unlike others."""
    name = record.identity.name
    return name if name[0].isalpha() else f"model-{name}"
