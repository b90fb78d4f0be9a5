"""What the API tells of the models of a cluster, whose kubelet is this test."""

import threading

import pytest

from nearedge.api.edge.cluster.cluster_control import Argo, ClusterControl
from nearedge.delivery.gitops.publish import Target
from tests.cluster_api import served
from tests.edge_api import fake
from tests.edge_cluster import NAMESPACE, A, B, cluster_edge, deployment, event, labels, now, pod, running, waiting

PATIENCE = 30
POD = f"/api/v1/namespaces/{NAMESPACE}/pods"


@pytest.fixture(scope="module")
def api():
    with served() as found:
        yield found


@pytest.fixture
def cluster(api):
    """The API server, in which nothing is left of the test before."""
    api.faults.clear()
    for path in (f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", POD, f"/api/v1/namespaces/{NAMESPACE}/events"):
        for item in (api.find(path) or {}).get("items", []):
            api.delete(f"{path}/{item['metadata']['name']}")
    return api


def known(running_api, name="m"):
    """The model's health, as soon as the cluster was listed."""
    fits = lambda page: any(one["name"] == name for one in page["items"])  # noqa: E731
    running_api.until("/models", fits, PATIENCE)
    return running_api.get(f"/models/{name}/health")


def test_a_model_whose_server_answers(cluster, tmp_path):
    cluster.apply(deployment("m", A), pod("m", "m-1-aaaaa", A, **running()))
    with fake() as server, cluster_edge(cluster, tmp_path, server_address=server.url) as site:
        found = site.until("/models/m", lambda one: one["version"] and one["health"]["pods"], PATIENCE)
        assert (found["version"], found["digest"], found["what"]) == ("1.a", server.digest, A)
        assert (found["health"]["ready"], found["health"]["live"], found["health"]["reason"]) == (True, True, "")
        assert found["health"]["self_test"]["passed"] is True
        one = found["health"]["pods"][0]
        assert (one["name"], one["node"], one["ready"], one["digest"]) == ("m-1-aaaaa", "node-1", True, server.digest)
        assert {"object": "Pod/m-1-aaaaa", "type": "Ready", "status": "True"}.items() <= found["health"]["conditions"][
            0
        ].items()
        assert {one["name"]: one["state"] for one in found["sources"]} == {
            "server": "ok", "kubernetes": "ok", "git": "not configured"
        }  # fmt: skip
        states = {one["name"]: one["state"] for one in site.get("/site")["sources"]}
        assert (states["kubernetes"], states["kubernetes events"]) == ("ok", "ok")


def test_a_server_that_is_not_reached_is_judged_by_the_kubelet(cluster, tmp_path):
    cluster.apply(deployment("m", A), pod("m", "m-1-aaaaa", A, **running()))
    with cluster_edge(cluster, tmp_path) as site:
        found = site.until("/models/m/health", lambda one: one["ready"], PATIENCE) if known(site) else {}
        assert (found["state"], found["live"]) == ("ready", True)
        assert {one["name"]: one["state"] for one in found["sources"]} == {"server": "missing", "kubernetes": "ok"}
        assert site.get("/models/m/versions")["running"]["digest"] == A.rpartition("@")[2]


OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "startedAt": now(60), "finishedAt": now(30)}}
SCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "0/1 nodes are available: 1 Insufficient memory."}  # fmt: skip
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
QUOTA = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
CASES = [
    (
        {"phase": "Pending", "conditions": [SCHEDULED]},
        {},
        "Unschedulable): 0/1 nodes are available: 1 Insufficient memory",
    ),
    (waiting("ErrImagePull", "manifest unknown"), {}, "cannot be pulled (ErrImagePull): manifest unknown"),
    (
        waiting("ImagePullBackOff", 'Back-off pulling image "x"'),
        {},
        "cannot be pulled (ImagePullBackOff): Failed to pull",
    ),
    (
        waiting("CrashLoopBackOff", "back-off", 4, lastState=OOM),
        {},
        "4 restarts); the last one ended with exit code 137 (OOMKilled",
    ),
    (running(ready=False), {}, "runs and is not ready: Readiness probe failed"),
    (waiting("ContainerCreating"), {}, "is being made"),
    (waiting("CreateContainerConfigError", "no secret"), {}, "does not start (CreateContainerConfigError): no secret"),
    (running(ready=False), {"conditions": [LATE]}, "did not end within its time"),
    ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, {}, "failed (Evicted): low on memory"),
    (None, {"conditions": [QUOTA]}, "is not made (FailedCreate): exceeded quota"),
]


def test_why_a_model_takes_no_requests(cluster, tmp_path):
    cluster.apply(
        event("e1", "m-1-aaaaa", "Failed", 'Failed to pull image "x": unauthorized', type="Warning"),
        event("e2", "m-1-aaaaa", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
    )
    with cluster_edge(cluster, tmp_path) as site:
        for status, workload, words in CASES:
            if cluster.find(f"{POD}/m-1-aaaaa"):
                cluster.delete(f"{POD}/m-1-aaaaa")
            cluster.apply({**deployment("m", A), "status": {"observedGeneration": 1, **workload}})
            if status is not None:
                cluster.apply(pod("m", "m-1-aaaaa", A, **status))
            known(site)
            site.until(
                "/models/m/health", lambda one, words=words: words in one["reason"] and not one["ready"], PATIENCE
            )


def test_restarts_are_told_with_their_reasons_also_when_the_pod_is_gone(cluster, tmp_path):
    cluster.apply(deployment("m", A), pod("m", "m-1-aaaaa", A, **running(restarts=2, lastState=OOM)))
    with cluster_edge(cluster, tmp_path) as site:
        known(site)
        found = site.until("/models/m/health", lambda one: one["last_restarts"], PATIENCE)
        assert found["restarts"] == 2
        told = "ended with exit code 137 (OOMKilled: it took more memory than its limit)"
        assert told in found["last_restarts"][0]["reason"] and told in found["pods"][0]["containers"][0]["last_end"]
        cluster.delete(f"{POD}/m-1-aaaaa")
        found = site.until("/models/m/health", lambda one: not one["pods"], PATIENCE)
        assert told in found["last_restarts"][0]["reason"]
        assert [one["kind"] for one in site.get("/events")["items"] if one["kind"] == "restarted"] == ["restarted"]


def test_events_are_told_once_counted_and_kept(cluster, tmp_path):
    cluster.apply(
        deployment("m", A), pod("m", "m-1-aaaaa", A, **waiting("ContainerCreating")),
        event("old", "m-1-bbbbb", "Killing", "Stopping container server", lastTimestamp=now(100)),
        event("other", "web-1-aaaaa", "Killing", "of no model"),
        event("scaled", "m", "ScalingReplicaSet", "Scaled up", kind="Deployment", lastTimestamp=now(50)),
        event("back", "m-1-aaaaa", "BackOff", "Back-off", type="Warning", count=2),
    )  # fmt: skip
    with cluster_edge(cluster, tmp_path) as site:
        fits = lambda page: len([one for one in page["items"] if one["reason"]]) == 3  # noqa: E731
        found = [one for one in site.until("/events", fits, PATIENCE)["items"] if one["reason"]]
        assert [one["reason"] for one in found] == ["BackOff", "ScalingReplicaSet", "Killing"]
        assert [one["object"] for one in found] == ["Pod/m-1-aaaaa", "Deployment/m", "Pod/m-1-bbbbb"]
        assert (found[0]["kind"], found[1]["kind"], found[0]["times"], found[0]["model"]) == (
            "warning",
            "normal",
            2,
            "m",
        )
        cluster.apply(event("back", "m-1-aaaaa", "BackOff", "Back-off", type="Warning", count=9))
        counts = lambda page: [one["times"] for one in page["items"] if one["reason"] == "BackOff"] == [9]  # noqa: E731
        site.until("/events", counts, PATIENCE)
    for name in ("old", "scaled", "back"):
        cluster.delete(f"/api/v1/namespaces/{NAMESPACE}/events/{name}")
    with cluster_edge(cluster, tmp_path) as site:
        site.until("/events", fits, PATIENCE)


APPLICATION = {
    "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "spec": {},
    "metadata": {"name": "edge-1-m", "namespace": "argocd"},
}  # fmt: skip
PULLED = f'Successfully pulled image "{B}" in 1m2.5s (1m2.5s including waiting). Image size: 1234 bytes.'


def test_what_git_wants_what_the_cluster_was_told_and_what_runs(cluster, tmp_path, fresh_place):
    fresh_place.put("a", "edge-1", name="m")
    cluster.apply(deployment("m", A), pod("m", "m-1-aaaaa", A, **running()))
    place = {"site": "edge-1", "target": Target(fresh_place.target.url, "main")}
    with fake() as server, cluster_edge(cluster, tmp_path, server_address=server.url, **place) as site:
        known(site)
        assert site.until("/models/m/versions", lambda one: one["same"], PATIENCE)["reason"] == ""
        fresh_place.put("b", "edge-1", name="m")
        found = site.until("/models/m/versions", lambda one: one["same"] is False, PATIENCE)
        assert "not synced yet, the cluster was told to run" in found["reason"]
        site.site.control = ClusterControl(
            site.site.cluster, NAMESPACE, Argo("argocd", "{site}-{model}"), "edge-1", None
        )
        told = site.get("/models/m/versions")["reason"]
        assert "argocd" in told and "not synced yet" in told
        state = {"phase": "Failed", "message": "one or more objects failed to apply"}
        status = {"sync": {"status": "OutOfSync"}, "health": {"status": "Healthy"}, "operationState": state}
        cluster.apply({**APPLICATION, "status": status})
        told = site.get("/models/m/versions")["reason"]
        assert "(OutOfSync; " in told and "failed to apply)" in told
        assert (found["deployed"]["digest"][7], found["desired"]["digest"][7]) == ("a", "b")
        cluster.apply(deployment("m", B), pod("m", "m-2-bbbbb", B, **waiting("ErrImagePull", "no such blob")))
        found = site.until("/models/m/versions", lambda one: "no such blob" in one["reason"], PATIENCE)
        assert "not synced" not in found["reason"] and found["deployed"]["digest"][7] == "b"
        health = site.get("/models/m/health")
        assert [one["digest"][7] for one in health["pods"]] == ["b", "a"] and health["ready"]
        cluster.apply(
            pod("m", "m-2-bbbbb", B, **running()),
            event("pulled", "m-2-bbbbb", "Pulled", PULLED),
        )
        cluster.delete(f"{POD}/m-1-aaaaa")
        server.digest, server.began = f"sha256:{'b' * 64}", 2000.0
        site.until("/models/m/versions", lambda one: one["same"], PATIENCE)
        fits = lambda page: page["upgrades"][0]["pull_s"] is not None and page["upgrades"][0]["available"]  # noqa: E731
        found = site.until("/models/m/upgrades", fits, PATIENCE)["upgrades"]
        assert [one["to"]["digest"][7] for one in found] == ["b", "a"]
        newest = found[0]
        assert (newest["pull_s"], newest["image_bytes"], newest["running"]) == (62.5, 1234, newest["available"])
        assert newest["commit"] and newest["started"] and newest["duration_s"] >= 0
        kinds = [one["kind"] for one in site.get("/events")["items"]]
        assert kinds.count("rolling out") == kinds.count("available") == 2 and "restarted" not in kinds


def test_logs_of_the_current_and_the_previous_container(cluster, tmp_path):
    cluster.apply(deployment("m", A), pod("m", "m-1-aaaaa", A, **running(restarts=1, lastState=OOM)))
    cluster.write_log(NAMESPACE, "m-1-aaaaa", "server", "of the one before\n")
    cluster.rotate_log(NAMESPACE, "m-1-aaaaa", "server")
    lines = ['{"level":"info","model":"m","n":1}', '{"level":"info","model":"other"}', "plain", '{"level":"warning"}']
    cluster.write_log(NAMESPACE, "m-1-aaaaa", "server", "\n".join(lines) + "\n")
    with cluster_edge(cluster, tmp_path) as site:
        known(site)
        found = site.get("/models/m/logs")
        assert [one["text"] for one in found["lines"]] == [lines[0], lines[2], lines[3]] and not found["cut"]
        assert found["lines"][2]["level"] == "warning" and all(one["time"].endswith("Z") for one in found["lines"])
        one = site.get("/models/m/logs", params={"tail": 1})
        assert [line["text"] for line in one["lines"]] == [lines[3]] and one["cut"]
        at = found["lines"][1]["time"]
        since = site.get("/models/m/logs", params={"since": at})["lines"]
        assert [line["text"] for line in since][-2:] == lines[2:] and all(line["time"] >= at[:23] for line in since)
        before = site.get("/models/m/logs", params={"previous": True})
        assert [line["text"] for line in before["lines"]] == ["of the one before"]
        assert site.ask("GET", "/models/m/logs", params={"container": "absent"}).status_code == 404
        assert site.ask("GET", "/models/absent/logs").status_code == 404
        cluster.apply(pod("m", "m-1-aaaaa", A, **waiting("ErrImagePull")))
        source = site.until("/models/m/logs", lambda one: one["sources"][0]["state"] == "missing", PATIENCE)["sources"][
            0
        ]
        assert "m-1-aaaaa" in source["reason"]
        cluster.delete(f"{POD}/m-1-aaaaa")
        site.until("/models/m/logs", lambda one: one["sources"][0]["reason"] == "it has no pod", PATIENCE)
        assert site.ask("GET", "/models/m/logs/follow").status_code == 409


def asked(cluster):
    """How many logs were asked for, and are answered."""
    return sum(one.subresource == "log" and one.status == 200 for one in cluster.requests)


def followed(answer, words, seen):
    """Read until the words come."""
    mark = ""
    for line in answer.iter_lines(decode_unicode=True):
        mark = line.removeprefix("id: ") if line.startswith("id: ") else mark
        seen.append((mark, line))
        if words in line:
            return


def again(site, seen, after, words):
    """What comes behind a line that was seen, until the words come."""
    mark, more = next(mark for mark, line in seen if f'"{after}"' in line), []
    answer = site.ask("GET", "/models/m/logs/follow", stream=True, headers={"Last-Event-ID": mark})
    followed(answer, words, more)
    answer.close()
    return [word for word in ("one", "two", "three", "four") if any(f'"{word}"' in line for _, line in more)]


def test_a_log_is_followed_over_a_restart_and_another_pod_and_taken_up_again(cluster, tmp_path):
    cluster.apply(deployment("m", A), pod("m", "m-1-aaaaa", A, **running()))
    cluster.write_log(NAMESPACE, "m-1-aaaaa", "server", "zero\n")
    with cluster_edge(cluster, tmp_path) as site:
        known(site)
        before = asked(cluster)
        answer, seen = site.ask("GET", "/models/m/logs/follow", stream=True), []
        reader = threading.Thread(target=followed, args=(answer, "four", seen))
        reader.start()
        cluster.until(lambda: asked(cluster) > before)
        cluster.write_log(NAMESPACE, "m-1-aaaaa", "server", "one\ntwo\n")
        cluster.until(lambda: any("two" in line for _, line in seen))
        cluster.cut()
        cluster.write_log(NAMESPACE, "m-1-aaaaa", "server", "three\n")
        cluster.until(lambda: any("three" in line for _, line in seen))
        assert again(site, seen, "one", "three") == ["two", "three"], "one and two have the same time"
        assert again(site, seen, "two", "three") == ["three"]
        cluster.apply(pod("m", "m-2-bbbbb", A, **running()))
        cluster.write_log(NAMESPACE, "m-2-bbbbb", "server", "four\n")
        cluster.delete(f"{POD}/m-1-aaaaa")
        reader.join(PATIENCE)
        assert not reader.is_alive()
        answer.close()
        texts = [line for _, line in seen if line.startswith(("data:", "event: pod"))]
        assert "zero" not in "".join(texts) and any(line.startswith("event: pod") for line in texts)
        assert [sum(f'"{word}"' in line for line in texts) for word in ("one", "two", "three", "four")] == [1] * 4
        assert again(site, seen, "three", "four") == ["four"]


def test_fifty_follow_one_log_and_there_is_an_end_to_it(cluster, tmp_path):
    cluster.apply(deployment("m", A), pod("m", "m-1-aaaaa", A, **running()))
    with cluster_edge(cluster, tmp_path) as site:
        known(site)
        before = asked(cluster)
        answers, got = [site.ask("GET", "/models/m/logs/follow", stream=True) for _ in range(50)], []
        threads = [threading.Thread(target=followed, args=(one, "after", got)) for one in answers]
        for thread in threads:
            thread.start()
        cluster.until(lambda: asked(cluster) >= before + 50)
        cluster.write_log(NAMESPACE, "m-1-aaaaa", "server", "after\n")
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert site.get("/models/m/health")["ready"] is not None
        site.site.cluster.streams += 70
        assert site.ask("GET", "/models/m/logs/follow").status_code == 503
        site.site.cluster.streams -= 70
        for answer in answers:
            answer.close()


def test_who_may_look_and_who_may_act_the_cluster_says(cluster, tmp_path):
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    rule = {"apiGroups": ["nearedge.dev"], "resources": ["models"]}
    for name, verbs in (("view", ["get"]), ("manage", ["get", "update"])):
        head = {"name": name, "namespace": NAMESPACE}
        to = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        who = {"kind": "Group", "name": f"{name}ers", "apiGroup": "rbac.authorization.k8s.io"}
        cluster.apply({**role, "metadata": head, "rules": [{**rule, "verbs": verbs}]},
                      {**role, "kind": "RoleBinding", "metadata": head, "roleRef": to, "subjects": [who]})  # fmt: skip
    ada, bob, eve = (
        cluster.user(name, group) for name, group in (("ada", "manageers"), ("bob", "viewers"), ("eve", "none"))
    )
    cluster.apply(deployment("m", A))
    with cluster_edge(cluster, tmp_path, judged=True) as site:
        site.session.headers["Authorization"] = f"Bearer {ada}"
        known(site)
        as_ = lambda token: {"headers": {"Authorization": f"Bearer {token}"}}  # noqa: E731
        assert [site.ask("GET", "/models", **as_(token)).status_code for token in (ada, bob, eve, "x" * 20)] == [
            200,
            200,
            403,
            401,
        ]
        assert site.ask("GET", "/models", headers={"Authorization": ""}).status_code == 401
        assert site.ask("GET", "/audit", **as_(bob)).status_code == 403
        assert site.ask("POST", "/models/m/self-test", **as_(bob)).status_code == 403
        site.ask("POST", "/models/m/self-test")
        assert site.get("/audit")["items"][0]["who"] == "ada"
        with cluster.faults.answer(503, "create", "tokenreviews"):
            assert site.ask("GET", "/models", **as_("y" * 20)).status_code == 502


def test_only_models_are_taken_for_models(cluster, tmp_path):
    other = deployment("web", A)
    other["metadata"]["labels"] = {**labels("web"), "app.kubernetes.io/component": "frontend"}
    broken = deployment("broken", A)
    broken["spec"]["template"] = {"spec": {"containers": []}}
    kserve = deployment("k-predictor", A)
    kserve["metadata"]["labels"] = {**labels("k"), "app.kubernetes.io/component": "inference-service"}
    cluster.apply(other, broken, kserve, deployment("m", A))
    with cluster_edge(cluster, tmp_path) as site:
        known(site)
        assert [one["name"] for one in site.get("/models")["items"]] == ["k", "m"]
        cluster.delete(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/m")
        site.until("/models", lambda page: [one["name"] for one in page["items"]] == ["k"], PATIENCE)
        assert site.ask("GET", "/models/m").status_code == 404
