"""What can be done about a model on a cluster, with the rights that our manifests give and no others."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from nearedge.api.cluster.connection import Cluster
from nearedge.api.edge.cluster import applications, pulls, syncing
from nearedge.api.edge.cluster.cluster_control import Argo, ClusterControl
from nearedge.api.edge.cluster.syncing import Syncing
from nearedge.api.edge.desired import Image
from nearedge.api.problems import ProblemError
from nearedge.delivery.gitops.publish import Target
from tests.cluster_api import served
from tests.edge_cluster import NAMESPACE, A, B, cluster_edge, deployment, event, now, pod

PATIENCE = 30
MANIFESTS = Path(__file__).parents[5] / "manifests" / "edge"
GITOPS = "openshift-gitops"
WHERE = f"/apis/argoproj.io/v1alpha1/namespaces/{GITOPS}/applications"
POD = f"/api/v1/namespaces/{NAMESPACE}/pods/nearedge-pre-pull-m"
ARGO = Argo(GITOPS, "nearedge-{model}")
POLICY = {"prune": True, "selfHeal": True}


@pytest.fixture(scope="module")
def api():
    """The API server with our manifests' namespaces, account and rights."""
    with served() as found:
        for name in ("base/namespace", *(f"components/api/{one}" for one in ("namespace", "service-account", "rbac"))):
            found.apply(MANIFESTS / f"{name}.yaml")
        yield found


@pytest.fixture
def cluster(api):
    """The API server with one model, whose Application is made by the ApplicationSet of our manifests."""
    api.faults.clear()
    for path in (f"{WHERE}/nearedge-m", POD, f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/m"):
        if api.find(path):
            api.delete(path)
    (maker,) = api.apply(MANIFESTS / "sno" / "applications.yaml")
    api.apply(application(maker), deployment("m", A))
    return api


def application(maker, **metadata):
    """As the ApplicationSet makes it, and Argo CD has synced it once."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "nearedge"}
    head = {"name": "nearedge-m", "namespace": GITOPS, "ownerReferences": [{**owner, "uid": maker["metadata"]["uid"]}]}
    state = {
        "phase": "Succeeded", "message": "successfully synced", "startedAt": now(9), "finishedAt": now(8),
        "operation": {"initiatedBy": {"automated": True}}, "syncResult": {"revision": "1" * 40},
    }  # fmt: skip
    status = {
        "sync": {"status": "OutOfSync", "revision": "2" * 40}, "health": {"status": "Healthy"}, "operationState": state,
        "history": [{"id": 0, "revision": "1" * 40}], "resources": [{"kind": "Deployment", "name": "m"}],
    }  # fmt: skip
    spec = maker["spec"]["template"]["spec"]
    return {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {**head, **metadata}, "spec": spec,
        "status": status,
    }  # fmt: skip


def controlled(cluster, home, **settings):
    """The API with the account of our manifests, and its site controlled by Argo CD."""
    token = cluster.account("nearedge-edge", "nearedge-api")
    return cluster_edge(cluster, home, token=token, site="edge-1", **settings)


def begun(running, argo=ARGO):
    """The site follows git, and has the model."""
    site = running.site
    site.control = ClusterControl(site.cluster, NAMESPACE, argo, "edge-1", site.mirror)
    running.until("/models", lambda page: page["items"], PATIENCE)


def done(running, action, **body):
    """The document of an action that must be done."""
    answer = running.ask("POST", f"/models/m/{action}", **body)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


def test_a_pause_is_undone_exactly_and_both_say_who(cluster, tmp_path):
    before = cluster.get(f"{WHERE}/nearedge-m")["spec"]
    with controlled(cluster, tmp_path) as running:
        begun(running)
        found = running.get("/models/m/sync")
        assert (found["application"], found["models"], found["automated"], found["paused"]) == (
            f"{GITOPS}/nearedge-m", ["m"], True, False
        )  # fmt: skip
        assert (found["revision"], found["wanted"], found["status"]) == ("1" * 40, "2" * 40, "OutOfSync")
        assert (found["last"]["phase"], found["last"]["by"], found["health"]) == ("Succeeded", "automatic", "Healthy")
        for _ in range(2):
            found = done(running, "sync/pause")
            assert (found["automated"], found["paused"], found["paused_by"]) == (False, True, "local")
        there = cluster.get(f"{WHERE}/nearedge-m")
        assert "automated" not in there["spec"]["syncPolicy"] and there["spec"]["syncPolicy"]["retry"]
        assert running.get("/models/m/sync")["paused_at"] == found["paused_at"] is not None
        for _ in range(2):
            found = done(running, "sync/resume")
            assert (found["automated"], found["paused"], found["paused_by"]) == (True, False, None)
        there = cluster.get(f"{WHERE}/nearedge-m")
        assert there["spec"] == before and not there["metadata"].get("annotations")
        audit = running.get("/audit")["items"]
    assert [(one["what"], one["outcome"]) for one in reversed(audit)] == [
        (what, outcome) for what in ("pause sync",) * 2 + ("resume sync",) * 2 for outcome in ("begun", "done")
    ]
    assert audit[-2]["detail"] == f"{GITOPS}/nearedge-m: paused, at {'1' * 40}"


def test_sync_now_does_once_what_argo_cd_would_also_while_it_is_paused(cluster, tmp_path):
    with controlled(cluster, tmp_path) as running:
        begun(running)
        done(running, "sync/pause")
        answer = running.ask("POST", "/models/m/sync")
        found = answer.json()
        assert answer.status_code == 202 and found["paused"] is True
        assert (found["last"]["phase"], found["last"]["by"]) == ("Running", "local")
        there = cluster.get(f"{WHERE}/nearedge-m")
        policy = there["spec"]["syncPolicy"]
        assert there["operation"]["sync"] == {
            "syncStrategy": {"hook": {}}, "prune": True, "syncOptions": policy["syncOptions"]
        }  # fmt: skip
        assert there["operation"]["initiatedBy"] == {"username": "local"}
        assert there["operation"]["retry"] == policy["retry"]
        assert there["metadata"]["annotations"]["argocd.argoproj.io/refresh"] == "normal"
        again = running.ask("POST", "/models/m/sync")
        assert again.status_code == 409 and "under way" in again.json()["detail"]


CARRIED = [{"apiVersion": "work.open-cluster-management.io/v1", "kind": "AppliedManifestWork", "name": "w", "uid": "u"}]
REFUSED = [
    ("sync/pause", {"spec": {"syncPolicy": {"automated": None}}}, "no automatic sync"),
    ("sync/pause", {"spec": {"syncPolicy": {"automated": {"enabled": False}}}}, "no automatic sync"),
    ("sync/resume", {"spec": {"syncPolicy": {"automated": None}}}, "was not paused here"),
    (
        "sync/resume",
        {
            "metadata": {"annotations": {applications.PAUSED_BY: "ada", applications.PAUSED_POLICY: "no json"}},
            "spec": {"syncPolicy": {"automated": None}},
        },
        "is lost",
    ),
    ("sync", {"metadata": {"annotations": {applications.SKIP: "true"}}}, "passes over it"),
    ("sync", {"status": {"operationState": {"phase": "Running"}}}, "under way"),
]


def test_what_cannot_be_is_409_and_changes_nothing(cluster, tmp_path):
    fresh = {
        key: cluster.get(f"{WHERE}/nearedge-m")[key] for key in ("apiVersion", "kind", "metadata", "spec", "status")
    }
    with controlled(cluster, tmp_path) as running:
        begun(running)
        for action, patch, says in REFUSED:
            cluster.delete(f"{WHERE}/nearedge-m")
            cluster.apply(fresh)
            cluster.patch(f"{WHERE}/nearedge-m", patch)
            before = cluster.get(f"{WHERE}/nearedge-m")
            answer = running.ask("POST", f"/models/m/{action}")
            assert answer.status_code == 409 and says in answer.json()["detail"], answer.text
            assert running.get("/models/m/sync")["application"]
            assert running.get("/audit", params={"limit": 1})["items"][0]["outcome"] == "failed"
            assert cluster.get(f"{WHERE}/nearedge-m") == before


def test_a_pause_that_somebody_would_put_back_is_refused(cluster, tmp_path):
    maker = "/apis/argoproj.io/v1alpha1/namespaces/openshift-gitops/applicationsets/nearedge"
    with controlled(cluster, tmp_path) as running:
        begun(running)
        for patch, says in (
            ({"spec": {"preservedFields": {"annotations": [applications.PAUSED_BY]}}}, "paused-policy away"),
            ({"spec": {"ignoreApplicationDifferences": [{"name": "other", "jsonPointers": ["/spec"]}]}}, "put it back"),
        ):
            cluster.patch(maker, patch)
            answer = running.ask("POST", "/models/m/sync/pause")
            assert answer.status_code == 409 and says in answer.json()["detail"], answer.text
        cluster.patch(maker, {"metadata": {"finalizers": None}})
        cluster.patch(f"{WHERE}/nearedge-m", {"metadata": {"ownerReferences": None}})
        done(running, "sync/pause")
    assert "put it back" in applications.carried(
        {"metadata": {"name": "m", "namespace": "n", "ownerReferences": CARRIED}}
    )


def test_without_an_application_or_the_right_to_it(cluster, tmp_path):
    with controlled(cluster, tmp_path) as running:
        begun(running, Argo(GITOPS, "{site}-{model}"))
        answer = running.ask("POST", "/models/m/sync/pause")
        assert answer.status_code == 409 and "edge-1-m" in answer.json()["detail"]
        found = running.get("/models/m/sync")
        assert (
            found["automated"] is None and found["sources"][0]["state"] == "missing" and "edge-1-m" in found["reason"]
        )
        begun(running, Argo("", ""))
        assert running.ask("POST", "/models/m/sync").status_code == 409
        assert running.get("/models/m/sync")["sources"][0]["state"] == "not configured"
        begun(running, Argo("elsewhere", "nearedge-{model}"))
        answer = running.ask("POST", "/models/m/sync/pause")
        assert answer.status_code == 502 and "own rights" in answer.json()["detail"]


def test_a_cluster_that_is_away_leaves_what_was_known(cluster, tmp_path):
    with controlled(cluster, tmp_path) as running:
        begun(running)
        known = running.get("/models/m/sync")
        with cluster.away():
            found = running.get("/models/m/sync")
            assert {**found, "sources": []} == {**known, "sources": []}
            assert found["sources"][0]["state"] == "missing" and found["sources"][0]["as_of"]
            assert running.get("/models/m/pre-pull")["sources"][0]["state"] == "missing"
            assert running.ask("POST", "/models/m/sync").status_code == 502


def test_a_change_that_others_come_between_is_made_anew(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(syncing, "when", lambda _: "now")

    class Raced(Syncing):
        others = 0

        async def application(self, model):
            found = await super().application(model)
            if self.others:
                self.others -= 1
                cluster.patch(f"{WHERE}/nearedge-m", {"metadata": {"labels": {"n": str(self.others)}}})
            return found

    async def run():
        connection = Cluster.found(cluster.kubeconfig(tmp_path))
        raced = Raced(connection, GITOPS, "nearedge-{model}", "edge-1")
        try:
            raced.others = syncing.TRIES - 1
            assert (await raced.pause("m", "ada")).paused_by == "ada"
            raced.others = syncing.TRIES
            with pytest.raises(ProblemError, match="changed by others") as told:
                await raced.resume("m", "ada")
            assert told.value.status == 409
        finally:
            await connection.aclose()

    asyncio.run(run())
    assert cluster.get(f"{WHERE}/nearedge-m")["metadata"]["annotations"][applications.PAUSED_BY] == "ada"


def test_a_pause_that_was_undone_elsewhere_is_told(cluster, tmp_path):
    kept = {applications.PAUSED_BY: "ada", applications.PAUSED_POLICY: json.dumps(POLICY)}
    cluster.patch(f"{WHERE}/nearedge-m", {"metadata": {"annotations": kept}})
    with controlled(cluster, tmp_path) as running:
        begun(running)
        found = running.get("/models/m/sync")
        assert (found["automated"], found["paused"]) == (True, False) and "ada paused it" in found["reason"]
        assert done(running, "sync/resume")["reason"] == ""


def test_the_log_level_is_that_of_the_models_server(cluster, server, tmp_path):
    cluster.apply(deployment("digits", A))
    with controlled(cluster, tmp_path, server_address=server.url("")) as running:
        running.until("/models", lambda page: any(one["version"] for one in page["items"]), PATIENCE)
        try:
            found = running.ask("PUT", "/models/digits/log-level", json={"level": "debug"})
            assert found.status_code == 200 and found.json()["at_start"] == "info", found.text
            assert server.get("/v2/logging").json()["log_level"] == "debug"
        finally:
            running.ask("PUT", "/models/digits/log-level", json={"level": "info"})
            cluster.delete(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/digits")


@pytest.fixture
def place(fresh_place):
    """A GitOps repository in which edge-1 ran release a of m and is to run b; c has been there for others since."""
    for digest, site in (("a", "edge-1"), ("b", "edge-1"), ("c", "edge-2")):
        fresh_place.put(digest, site, name="m")
    return fresh_place


def test_rolling_back_is_a_commit_of_this_site_alone(cluster, tmp_path, place):
    cluster.apply(deployment("m", B))
    with controlled(cluster, tmp_path / "home", target=Target(place.target.url, "main")) as running:
        begun(running)
        found = done(running, "rollback", json={"to": "previous"})
        assert (found["changed"], found["left"], found["to"]) == (True, named("b")[1:], named("a")[1:])
        wanted = lambda one: (one["desired"] or {}).get("version") == "1.a"  # noqa: E731
        assert "not synced yet" in running.until("/models/m/versions", wanted, PATIENCE)["reason"]
        audit = running.get("/audit", params={"limit": 1})["items"][0]
        assert (audit["what"], audit["outcome"]) == ("roll back to previous", "done")
    log = subprocess.run(
        ["git", "log", "-1", "--format=%an %H", "--name-only", "main"], cwd=place.remote, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    head, *files = log.split("\n")
    assert head == f"local {found['commit']}"
    assert {name.split("/")[1] for name in files if name.startswith("sites/")} == {"edge-1"}


def named(letter):
    """The image of a release in that repository."""
    return f"@sha256:{letter * 64}"


def told(cluster, *, phase="Pending", message="", **state):
    """What a kubelet says of the pod."""
    box = [{"name": "image", "state": state}] if state else []
    condition = {"type": "PodScheduled", "status": "False" if message else "True", "reason": "Unschedulable"}
    conditions = [{**condition, "message": message}] if message or state else []
    cluster.status(POD, {"phase": phase, "conditions": conditions, "containerStatuses": box})


def test_the_next_image_is_pulled_by_a_pod_that_ends_at_once(cluster, tmp_path, place):
    cluster.apply(deployment("m", A, template=template()))
    with controlled(cluster, tmp_path / "home", target=Target(place.target.url, "main")) as running:
        begun(running)
        assert running.get("/models/m/pre-pull")["state"] == "none"
        answer = running.ask("POST", "/models/m/pre-pull")
        found = answer.json()
        assert answer.status_code == 202 and found["image"].endswith(named("b")), answer.text
        assert (found["state"], found["version"], found["by"]) == ("pending", "1.b", "local") and found["asked"]
        restricted(cluster.get(POD))
        assert done(running, "pre-pull")["asked"] == found["asked"]  # the same one
        other = running.ask("POST", "/models/m/pre-pull", json={"digest": named("c")[1:]})
        assert other.status_code == 409 and "on its way" in other.json()["detail"]
        told(cluster, waiting={"reason": "ContainerCreating"})
        assert running.get("/models/m/pre-pull")["state"] == "pulling"
        told(cluster, phase="Succeeded", terminated={"exitCode": 0, "finishedAt": now()})
        uid = cluster.get(POD)["metadata"]["uid"]
        cluster.apply(pulled("this", uid, 4321), pulled("another", "x", 1))
        found = running.get("/models/m/pre-pull")
        assert (found["state"], found["bytes"], found["reason"]) == ("done", 4321, "") and found["ended"]
        assert done(running, "pre-pull")["state"] == "done" and cluster.get(POD)["metadata"]["uid"] == uid
        told(cluster, phase="Succeeded", terminated={"exitCode": 0, "finishedAt": "2020-01-01T00:00:00Z"})
        assert done(running, "pre-pull")["state"] == "pending"  # the node may have removed it since
        assert cluster.get(POD)["metadata"]["uid"] != uid
        told(cluster, phase="Succeeded", terminated={"exitCode": 0, "finishedAt": now()})
        uid = cluster.get(POD)["metadata"]["uid"]
        again = done(running, "pre-pull", json={"digest": named("c")[1:]})
        assert again["state"] == "pending" and again["image"].endswith(named("c"))
        assert cluster.get(POD)["metadata"]["uid"] != uid


def pulled(name, uid, size):
    """The kubelet's event of a pulled image."""
    message = f'Successfully pulled image "x" in 2s (2s including waiting). Image size: {size} bytes.'
    found = event(name, "nearedge-pre-pull-m", "Pulled", message)
    found["involvedObject"]["uid"] = uid
    return found


def template():
    """A pod with what it needs to be pulled and placed."""
    spec = {
        "serviceAccountName": "m", "imagePullSecrets": [{"name": "registry"}], "nodeSelector": {"role": "models"},
        "containers": [{"name": "server", "image": A}],
    }  # fmt: skip
    return {"metadata": {}, "spec": spec}


def restricted(made):
    """What the restricted profile asks for, and ours."""
    spec, (box,) = made["spec"], made["spec"]["containers"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    own = box["securityContext"]
    assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]}
    assert own["readOnlyRootFilesystem"] and spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never" and spec["activeDeadlineSeconds"] and box["args"] == ["--version"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}] and spec["serviceAccountName"] == "m"
    assert spec["nodeSelector"] == {"role": "models"} and made["metadata"]["ownerReferences"][0]["name"] == "m"
    assert made["metadata"]["labels"]["app.kubernetes.io/component"] == "pre-pull"


def test_what_there_is_not_to_be_pulled(cluster, tmp_path, place):
    with controlled(cluster, tmp_path / "home", target=Target(place.target.url, "main")) as running:
        begun(running)
        answer = running.ask("POST", "/models/m/pre-pull", json={"digest": named("d")[1:]})
        assert answer.status_code == 409 and "no release with the image" in answer.json()["detail"], answer.text
        cluster.apply(deployment("m", B))
        answer = running.ask("POST", "/models/m/pre-pull")
        assert answer.status_code == 409 and "asks for" in answer.json()["detail"]
        assert running.get("/audit", params={"limit": 1})["items"][0]["what"] == "pre-pull the next image"
        cluster.apply(deployment("m", A), pod("m", "nearedge-pre-pull-m", A))
        answer = running.ask("POST", "/models/m/pre-pull")
        assert answer.status_code == 409 and "somebody else's" in answer.json()["detail"]
        cluster.delete(POD)
    with controlled(cluster, tmp_path / "other") as running:
        begun(running)
        answer = running.ask("POST", "/models/m/pre-pull")
        assert answer.status_code == 409 and "--git-url" in answer.json()["detail"]
    assert cluster.find(POD) is None


SCHEDULED = [{"type": "PodScheduled", "status": "True"}]
STATES = [
    ({}, "pending", "no node"),
    ({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no room"}]}, "pending", "no room"),
    ({"conditions": SCHEDULED}, "pulling", ""),
    ({"state": {"waiting": {"reason": "ContainerCreating"}}, "conditions": SCHEDULED}, "pulling", ""),
    ({"state": {"waiting": {"reason": "ErrImagePull", "message": "no host"}}}, "pulling", "ErrImagePull: no host; it"),
    ({"state": {"waiting": {"reason": "InvalidImageName", "message": "x"}}}, "failed", "InvalidImageName: x"),
    ({"state": {"waiting": {"reason": "CreateContainerConfigError"}}}, "done", "need not"),
    ({"state": {"terminated": {"exitCode": 128, "reason": "StartError"}}, "phase": "Failed"}, "done", ""),
    ({"state": {"running": {}}}, "done", ""),
    ({"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long"}, "failed", "DeadlineExceeded: too long"),
    ({"phase": "Failed"}, "failed", "its pod failed"),
]


@pytest.mark.parametrize(("status", "state", "says"), STATES)
def test_how_a_pull_stands(status, state, says):
    made = {"status": {**status, "containerStatuses": [{"state": status.get("state", {})}]}}
    found, reason, _ = pulls.state(made)
    assert found == state and says in reason
    assert pulls.stuck(made) == (state in ("done", "failed") or "tried again" in reason)


def test_an_image_without_a_server_is_pulled_as_well():
    made = pulls.container(Image(A, A.rpartition("@")[2], "1", "modelcar"))
    assert made["command"] == ["true"] and "args" not in made


def test_an_application_of_the_whole_site_names_its_models():
    resources = [
        {"kind": kind, "name": name}
        for kind, name in (("Deployment", "b"), ("InferenceService", "a"), ("Service", "s"))
    ]
    assert applications.models("b", {"resources": resources}) == ["a", "b"]


def test_our_manifests_let_a_pause_last():
    (maker,) = yaml.safe_load_all((MANIFESTS / "sno" / "applications.yaml").read_text())
    assert applications.overruled({"metadata": {"name": "nearedge-m"}}, maker) == ""


def test_what_argo_cd_says_is_told_in_one_line():
    said = "Failed to generate manifest:\n  `kustomize build` failed:\n\terror"
    condition = {"type": "ComparisonError", "message": said}
    found = {
        "metadata": {"name": "a", "namespace": GITOPS}, "spec": {"syncPolicy": {"automated": {}}},
        "status": {"conditions": [condition], "operationState": {"phase": "Error", "message": said}},
    }  # fmt: skip
    assert applications.reason(found) == "Failed to generate manifest: `kustomize build` failed: error"
    assert applications.last(found).message == applications.reason(found)
