"""Argo CD's Applications by the edge's API. A real Argo CD looks after its own namespaces alone: not run there."""

from collections.abc import Iterator
from typing import Any

import pytest

from nearedge.api.cluster.resources import APPLICATIONS, DEPLOYMENTS
from tests.cluster.apis import ClusterEdge
from tests.cluster.ground import REAL, Ground
from tests.cluster.models import deployed

pytestmark = pytest.mark.skipif(REAL, reason="a real Argo CD looks after its own namespaces alone")
OLD, NEW = "1" * 40, "2" * 40
A, B = (f"sha256:{letter * 64}" for letter in "ab")


def application(head: str) -> dict[str, Any]:
    """As the ApplicationSet of manifests/edge makes it; what git holds is told by annotation."""
    return {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "nearedge-synced", "annotations": {"world/head": head, "world/deployment": "synced"}},
        "spec": {
            "project": "nearedge", "destination": {"server": "https://kubernetes.default.svc", "namespace": "models"},
            "source": {"repoURL": "https://git.example.com/g.git", "targetRevision": "main", "path": "sites/edge-1/m"},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}, "syncOptions": ["ServerSideApply=true"]},
        },
    }  # fmt: skip


@pytest.fixture
def synced(site: ClusterEdge, ground: Ground) -> Iterator[ClusterEdge]:
    """A model with an Application that Argo CD has synced."""
    deployed(ground, "synced")
    ground.create(APPLICATIONS, application(OLD))
    site.health("synced", lambda one: one["ready"] is True)
    site.until("/models/synced/sync", lambda one: (one["status"], one["revision"]) == ("Synced", OLD))
    yield site
    ground.delete(APPLICATIONS, "nearedge-synced")
    ground.delete(DEPLOYMENTS, "synced")


def move(ground: Ground, head: str) -> None:
    """Git has a new commit."""
    ground.patch(APPLICATIONS, "nearedge-synced", {"metadata": {"annotations": {"world/head": head}}})


def test_a_pause_holds_a_site_and_a_resume_lets_it_go_on(synced: ClusterEdge, ground: Ground) -> None:
    """Argo CD follows git, does not while it is paused, syncs once when asked, and follows again."""
    assert synced.until("/models/synced/sync", lambda one: one["health"] == "Healthy")["automated"] is True
    paused = synced.ask("POST", "/models/synced/sync/pause")
    assert (paused.status_code, paused.json()["paused"]) == (200, True), paused.text
    assert paused.json()["paused_by"].startswith("system:serviceaccount:")
    move(ground, NEW)
    found = synced.until("/models/synced/sync", lambda one: one["status"] == "OutOfSync")
    assert (found["revision"], found["wanted"], found["paused"]) == (OLD, NEW, True)
    assert synced.ask("POST", "/models/synced/sync").status_code == 202
    found = synced.until("/models/synced/sync", lambda one: one["revision"] == NEW)
    assert (found["paused"], found["last"]["phase"]) == (True, "Succeeded")
    assert found["last"]["by"].startswith("system:serviceaccount:")
    move(ground, "3" * 40)
    synced.until("/models/synced/sync", lambda one: one["status"] == "OutOfSync")
    assert synced.ask("POST", "/models/synced/sync/resume").json()["paused"] is False
    found = synced.until("/models/synced/sync", lambda one: one["revision"] == "3" * 40)
    assert (found["automated"], found["last"]["by"]) == (True, "automatic")
    done = [one["what"] for one in synced.get("/audit")["items"]]
    assert {"pause sync", "resume sync", "sync"} <= set(done), done


def test_a_sync_that_fails_is_told(synced: ClusterEdge, ground: Ground) -> None:
    """With the message of Argo CD."""
    annotations = {"world/head": NEW, "world/fault": "one or more objects failed to apply: quota"}
    ground.patch(APPLICATIONS, "nearedge-synced", {"metadata": {"annotations": annotations}})
    found = synced.until("/models/synced/sync", lambda one: one["last"]["phase"] == "Failed")
    assert "quota" in found["last"]["message"]
    assert (found["status"], found["revision"]) == ("OutOfSync", OLD)


def test_who_may_only_look_moves_nothing(synced: ClusterEdge, viewer: str) -> None:
    """But sees how it stands."""
    seen = synced.of(viewer)
    assert seen.get("/models/synced/sync")["status"] == "Synced"
    for action in ("", "/pause", "/resume"):
        assert seen.ask("POST", f"/models/synced/sync{action}").status_code == 403
    assert seen.ask("POST", "/models/synced/pre-pull").status_code == 403


def test_the_next_image_is_brought_to_the_node_and_then_rolled_out(site: ClusterEdge, ground: Ground) -> None:
    """A pre-pull ends with the image's size; that git's version is not synced yet is told until it is."""
    first, second = (f"registry.example.com/models/released@{digest}" for digest in (A, B))
    deployed(ground, "released", image=first)
    site.health("released", lambda one: one["ready"] is True)
    found = site.until("/models/released/versions", lambda one: "not synced yet" in one["reason"])
    assert (found["desired"]["version"], found["deployed"]["digest"]) == ("1.b", A)
    answer = site.ask("POST", "/models/released/pre-pull")
    assert answer.status_code == 202, answer.text
    assert answer.json()["image"].endswith(B)
    found = site.until("/models/released/pre-pull", lambda one: one["state"] == "done" and one["bytes"] is not None)
    assert found["by"].startswith("system:serviceaccount:")
    containers = ground.get(DEPLOYMENTS, "released")["spec"]["template"]["spec"]["containers"]
    containers[0]["image"] = second
    ground.patch(DEPLOYMENTS, "released", {"spec": {"template": {"spec": {"containers": containers}}}})
    found = site.until("/models/released/versions", lambda one: (one["running"] or {"digest": ""})["digest"] == B)
    assert (found["deployed"]["digest"], "not synced yet" in found["reason"]) == (B, False)
    ground.delete(DEPLOYMENTS, "released")
