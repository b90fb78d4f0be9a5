"""Deployments of models for tests: as releases render them, with a shell for a server."""

from typing import Any

from nearedge.api.cluster.resources import DEPLOYMENTS, Object
from tests.cluster.ground import IMAGE, Ground

WAITS = "sleep 600"


def deployment(name: str, script: str = WAITS, *, image: str = IMAGE, **more: Any) -> Object:
    """A Deployment whose server runs a script; `more` goes into its container."""
    labels = {
        "app.kubernetes.io/name": name, "app.kubernetes.io/component": "model-server",
        "app.kubernetes.io/part-of": "nearedge", "app.kubernetes.io/version": "1.a",
    }  # fmt: skip
    server: Object = {
        "name": "server", "image": image, "command": ["sh", "-c", script],
        "securityContext": {"runAsUser": 1001, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **more,
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [server], "terminationGracePeriodSeconds": 1},
            },
        },
    }  # fmt: skip


def deployed(ground: Ground, name: str, script: str = WAITS, **more: Any) -> None:
    """It is there."""
    create(ground, deployment(name, script, **more))


def create(ground: Ground, body: Object) -> None:
    """As this cluster takes it."""
    if ground.own_uids:
        for container in body["spec"]["template"]["spec"]["containers"]:
            del container["securityContext"]["runAsUser"]
    ground.create(DEPLOYMENTS, body)
