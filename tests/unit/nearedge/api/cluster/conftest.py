"""A connection to the tests' API server."""

from contextlib import asynccontextmanager

import pytest

from nearedge.api.cluster.connection import Cluster
from tests import cluster_api


@pytest.fixture(scope="module")
def server():
    with cluster_api.served() as fake:
        yield fake


@pytest.fixture
def fake(server):
    yield server
    server.faults.clear()
    for pod in server.get("/api/v1/pods")["items"]:
        server.delete(f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}")


@pytest.fixture
def connected(fake, tmp_path):
    """A function that gives a connection as somebody, the administrator where nobody is named."""

    @asynccontextmanager
    async def connect(token=""):
        cluster = Cluster.found(fake.kubeconfig(tmp_path, token))
        try:
            yield cluster
        finally:
            await cluster.aclose()

    return connect


@pytest.fixture
def pod(fake):
    """A function that puts a pod into the cluster; `on` a node it runs."""

    def put(name, on="", **labels):
        spec = {"containers": [{"name": "main", "image": "example.com/main@sha256:" + "1" * 64}]}
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}}
        document["metadata"]["labels"] = labels
        if on:
            running = {"running": {"startedAt": "2026-11-24T00:00:00Z"}}
            spec["nodeName"] = on
            document["status"] = {"phase": "Running", "containerStatuses": [{"name": "main", "state": running}]}
        return fake.apply({**document, "spec": spec})[0]

    return put
