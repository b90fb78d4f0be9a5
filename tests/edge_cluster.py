"""A site on a cluster for tests: the edge's API, the fake API server as its source, and what kubelets would tell."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from nearedge.api.access import Access
from nearedge.api.cluster.connection import Cluster
from nearedge.api.cluster.reviews import AsOurselves, Judge
from nearedge.api.edge.cluster.cluster_site import ClusterSite, rights
from nearedge.api.edge.edge_app import edge_app
from nearedge.api.edge.settings import Settings
from tests.cluster_api import FakeApi
from tests.edge_api import Edge
from tests.served import served

NAMESPACE = "nearedge-models"
Object = dict[str, Any]
A, B = (f"registry.example.com/models/m@sha256:{letter * 64}" for letter in "ab")


def now(seconds: float = 0) -> str:
    """A time as the cluster writes it, so many seconds ago."""
    return datetime.fromtimestamp(time.time() - seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def labels(model: str) -> dict[str, str]:
    """Those that releases give."""
    return {
        "app.kubernetes.io/name": model, "app.kubernetes.io/component": "model-server",
        "app.kubernetes.io/part-of": "nearedge", "app.kubernetes.io/version": "1.a",
    }  # fmt: skip


def deployment(model: str, image: str, **more: Any) -> Object:
    """As a release renders it, as far as we look at it."""
    pod = {"containers": [{"name": "server", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]}
    template = {"metadata": {"labels": labels(model)}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": model}}, "template": template, **more}
    head = {"name": model, "namespace": NAMESPACE, "labels": labels(model)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": head, "spec": spec}


def pod(model: str, name: str, image: str, *, port: int = 8080, **status: Any) -> Object:
    """A pod with what its kubelet tells."""
    box = {"name": "server", "image": image, "ports": [{"name": "http", "containerPort": port}]}
    spec = {"nodeName": "node-1", "containers": [box]}
    head = {"name": name, "namespace": NAMESPACE, "labels": labels(model)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec, "status": status}


def running(*, ready: bool = True, restarts: int = 0, **more: Any) -> Object:
    """The status of a pod that runs."""
    state = {"running": {"startedAt": now()}}
    box = {"name": "server", "ready": ready, "restartCount": restarts, "state": state, "imageID": "x", **more}
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": now()}
    return {"phase": "Running", "conditions": [condition], "containerStatuses": [box]}


def waiting(reason: str, message: str = "", restarts: int = 0, **more: Any) -> Object:
    """The status of a pod whose container waits."""
    state = {"waiting": {"reason": reason, "message": message}}
    box = {"name": "server", "ready": False, "restartCount": restarts, "state": state, **more}
    return {"phase": "Pending", "conditions": [], "containerStatuses": [box]}


def event(name: str, about: str, reason: str, message: str, *, kind: str = "Pod", **more: Any) -> Object:
    """An Event as a kubelet or controller writes it."""
    head = {"name": name, "namespace": NAMESPACE}
    of = {"kind": kind, "name": about, "namespace": NAMESPACE}
    return {
        "apiVersion": "v1", "kind": "Event", "metadata": head, "involvedObject": of, "reason": reason,
        "message": message, "type": "Normal", "count": 1, "firstTimestamp": now(), "lastTimestamp": now(), **more,
    }  # fmt: skip


@contextmanager
def cluster_edge(
    fake: FakeApi, home: Path, *, judged: bool = False, token: str = "", **settings: Any
) -> Iterator[Edge]:
    """The API of the models' namespace that keeps its files in `home`; models answer nowhere unless told where."""
    home.mkdir(exist_ok=True)
    told = Settings(home, namespace=NAMESPACE, every_s=0.3, git_every_s=0.3, timeout_s=1.0)
    told = replace(told, **{"server_address": "http://127.0.0.1:1", **settings})
    cluster = Cluster.found(fake.kubeconfig(home, token, NAMESPACE))
    site = ClusterSite(told, cluster)
    access = Access(Judge(AsOurselves(cluster), rights(NAMESPACE))) if judged else Access()
    with served(edge_app(site, access)) as url, requests.Session() as session:
        session.trust_env = False
        yield Edge(url, site, session)
