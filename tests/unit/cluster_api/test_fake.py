"""The fake as others use it: what is applied, who connects how, what is remembered."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from nearedge.api.cluster.connection import Cluster, StatusError
from nearedge.api.cluster.resources import PODS, path
from tests import kustomize
from tests.cluster_api import ApiError, served

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: sprockets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: sprockets, kind: Sprocket, shortNames: [sp]}
  versions:
    - {name: v1, served: true, storage: true, subresources: {status: {}}, selectableFields: [{jsonPath: .spec.color}]}
    - {name: v1beta1, served: true, storage: false}
    - {name: v1alpha1, served: false, storage: false}
---
apiVersion: example.com/v1
kind: Sprocket
metadata: {name: a, namespace: crd}
spec: {color: red}
status: {turns: 1}
"""


def test_what_a_definition_defines_is_served(fake, client):
    sprocket = fake.apply(CRD)[1]
    assert sprocket["status"] == {"turns": 1}
    where = "/apis/example.com/v1/namespaces/crd/sprockets"
    assert client.asked("GET", where, fieldSelector="spec.color=red")[1]["items"] == [sprocket]
    assert client.asked("GET", where.replace("v1", "v1beta1"))[1]["items"][0]["apiVersion"] == "example.com/v1beta1"
    assert client.http.get(where.replace("v1", "v1alpha1")).status_code == 404
    groups = client.asked("GET", "/apis")[1]["groups"]
    assert next(row for row in groups if row["name"] == "example.com")["preferredVersion"]["version"] == "v1"
    rows = client.asked("GET", "/apis/example.com/v1")[1]["resources"]
    assert [(row["name"], row["kind"], row["namespaced"]) for row in rows] == [
        ("sprockets", "Sprocket", True), ("sprockets/status", "Sprocket", True),
    ]  # fmt: skip
    fake.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/sprockets.example.com")
    assert client.http.get(where).status_code == 404


def test_discovery(client):
    assert client.asked("GET", "/api")[1]["versions"] == ["v1"]
    assert client.asked("GET", "/version")[1]["major"] == "1"
    assert client.asked("GET", "/apis/apps")[1]["versions"][0]["groupVersion"] == "apps/v1"
    pods = [row for row in client.asked("GET", "/api/v1")[1]["resources"] if row["kind"] == "Pod"]
    assert [row["name"] for row in pods] == ["pods", "pods/status", "pods/log"]
    assert client.http.get("/apis/none.io").status_code == 404
    assert client.http.post("/version").status_code == 405


def test_kinds_that_nobody_knows_are_made_up(fake):
    fake.apply({"apiVersion": "x.io/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "made-up"}})
    assert fake.get("/apis/x.io/v1/namespaces/made-up/widgets/w")["metadata"]["generation"] == 1


def test_applying_twice_keeps_who_it_is(fake, space):
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": []}}
    first = fake.apply(body, namespace=space)[0]
    second = fake.apply({**body, "spec": {"ports": [{"port": 1}]}}, namespace=space)[0]
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    assert body["metadata"] == {"name": "s"}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kustomize is asked by kubectl")
def test_our_own_manifests_can_be_applied(fake):
    folder = Path(kustomize.__file__).parents[1] / "manifests/core/pipelines"
    built = subprocess.run(["kubectl", "kustomize", folder], check=True, capture_output=True, text=True).stdout
    documents = [row for row in yaml.safe_load_all(built) if row]
    assert len(fake.apply(built)) == len(documents)


def test_the_administrators_errors(fake):
    with pytest.raises(ApiError, match=r'pods "x" not found'):
        fake.get("/api/v1/namespaces/default/pods/x")
    assert fake.find("/api/v1/namespaces/default/pods/x") is None
    with pytest.raises(ApiError, match="'Kind' is missing"):
        fake.create("/api/v1/namespaces/default/pods", {})
    with pytest.raises(ApiError):
        fake.find("/api/v1/namespaces/default/pods?limit=x")


def test_requests_are_remembered(fake, client_of):
    client_of(fake.user("ada")).asked("GET", "/apis/apps/v1/namespaces/y/deployments/d/status")
    seen = fake.requests[-1]
    assert (seen.user, seen.verb, seen.group, seen.resource, seen.subresource) == (
        "ada",
        "get",
        "apps",
        "deployments",
        "status",
    )
    assert (seen.namespace, seen.name, seen.status) == ("y", "d", 403)


@pytest.mark.parametrize("tls", [False, True])
def test_our_own_client_connects_by_kubeconfig(tmp_path, tls):
    with served(tls=tmp_path if tls else None) as fake:
        cluster = Cluster.found(fake.kubeconfig(tmp_path, fake.user("ada"), "here"))
        assert cluster.namespace == "here"

        async def asked():
            try:
                with pytest.raises(StatusError, match='User "ada" cannot list resource "pods"'):
                    await cluster.get(path(PODS, "here"))
                return await cluster.get(path(PODS, "here"), token=fake.admin)
            finally:
                await cluster.aclose()

        assert asyncio.run(asked())["items"] == []
        assert [row.user for row in fake.requests] == ["ada", "kubernetes-admin"]


POD = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {nodeName: node, containers: [{name: c, image: x}]}
"""


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kubectl_takes_it_for_a_cluster(tmp_path):
    with served(tls=tmp_path) as fake:
        settings = {**os.environ, "HOME": str(tmp_path), "KUBECONFIG": str(fake.kubeconfig(tmp_path))}

        def kubectl(*words, text=None):
            made = subprocess.run(
                ["kubectl", *words], env=settings, input=text, text=True, capture_output=True, timeout=60
            )
            return made.returncode, made.stdout + made.stderr

        assert kubectl("apply", "--validate=false", "-f", "-", text=POD) == (0, "pod/p created\n")
        assert kubectl("apply", "--validate=false", "-f", "-", text=POD.replace("x}", "z}")) == (
            0,
            "pod/p configured\n",
        )
        fake.status(
            "/api/v1/namespaces/default/pods/p", {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
        )
        fake.write_log("default", "p", "c", "hello\n")
        assert kubectl("logs", "p") == (0, "hello\n")
        code, said = kubectl("get", "pods", "--as=nobody")
        assert code == 1 and "Forbidden" in said
        assert kubectl("delete", "pod", "p") == (0, 'pod "p" deleted\n')


def test_what_the_fake_does_wrong_is_not_hidden():
    with pytest.raises(AssertionError, match="KeyError"), served() as own:
        own.server.broken.append("KeyError")
