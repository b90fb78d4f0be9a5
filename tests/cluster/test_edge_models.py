"""Models on a cluster, as the edge's API tells of them."""

from contextlib import closing
from typing import Any

import pytest

from nearedge.api.cluster.resources import DEPLOYMENTS, PODS
from tests.cluster.apis import ClusterEdge
from tests.cluster.ground import REAL, Ground
from tests.cluster.models import WAITS, deployed, deployment
from tests.edge_api import fake


def texts(log: dict[str, Any]) -> list[str]:
    """Of a log's lines."""
    return [line["text"] for line in log["lines"]]


def test_a_model_is_shown_with_its_pod(site: ClusterEdge, ground: Ground) -> None:
    """Listed, ready as the kubelet says, with the Deployment's conditions and the cluster's events."""
    deployed(ground, "well", f"echo hello; {WAITS}")
    found = site.health("well", lambda one: one["ready"] is True)
    assert (found["live"], found["reason"], len(found["pods"])) == (True, "", 1)
    pod = found["pods"][0]
    assert (pod["ready"], pod["phase"], pod["containers"][0]["state"]) == (True, "Running", "running")
    assert pod["name"].startswith("well-")
    assert pod["node"]
    site.until(
        "/models/well/health",
        lambda one: {"Deployment/well", f"Pod/{pod['name']}"} <= {row["object"] for row in one["conditions"]},
    )
    about = f"Pod/{pod['name']}"
    site.until("/events", lambda page: {"Scheduled", "Started"} <= {
        one["reason"] for one in page["items"] if one["object"] == about
    })  # fmt: skip
    assert texts(site.until("/models/well/logs", lambda log: log["lines"] != [])) == ["hello"]
    assert site.get("/models/well/versions")["deployed"]["version"] == "1.a"


def test_what_crashes_is_told_with_its_reason_and_its_last_log(site: ClusterEdge, ground: Ground) -> None:
    """Restarts, how the last one ended, and what it printed."""
    deployed(ground, "crashing", "echo dying; exit 3")
    found = site.health("crashing", lambda one: one["restarts"] >= 2 and "CrashLoopBackOff" in one["reason"])
    assert "ended with exit code 3" in found["reason"]
    assert found["ready"] is False
    assert "ended with exit code 3" in found["pods"][0]["containers"][0]["last_end"]
    site.until("/models/crashing/health", lambda one: bool(one["last_restarts"]))
    log = site.until("/models/crashing/logs?previous=true", lambda log: log["lines"] != [])
    assert texts(log) == ["dying"]
    site.until("/events", lambda page: any(
        one["reason"] == "BackOff" and (one["object"] or "").startswith("Pod/crashing-") for one in page["items"]
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "more", "told"),
    [
        ("unpulled", {"image": f"registry.invalid/models/m@sha256:{'a' * 64}"}, "cannot be pulled"),
        ("unplaced", {"resources": {"requests": {"cpu": "4000"}}}, "Insufficient cpu"),
    ],
)
def test_what_does_not_start_is_told_with_the_reason(
    site: ClusterEdge, ground: Ground, name: str, more: dict[str, Any], told: str
) -> None:
    """In health, and where it is asked why the desired version does not run."""
    deployed(ground, name, **more)
    found = site.health(name, lambda one: told in one["reason"])
    assert found["ready"] is False
    site.until(f"/models/{name}/versions", lambda one: told in one["reason"] and one["desired"]["version"] == "1.a")
    assert site.get(f"/models/{name}/logs")["lines"] == []


def test_a_log_is_followed_while_it_is_written(site: ClusterEdge, ground: Ground) -> None:
    """From now on, into the next pod where there is one."""
    deployed(ground, "talking", "n=0; while [ $n -lt 600 ]; do echo line $n; n=$((n+1)); sleep 0.2; done")
    pod = site.health("talking", lambda one: one["ready"] is True)["pods"][0]["name"]
    with closing(site.ask("GET", "/models/talking/logs/follow", stream=True)) as answer:
        assert answer.status_code == 200, answer.text
        lines = answer.iter_lines(decode_unicode=True, chunk_size=1)
        seen = [line for _, line in zip(range(40), lines, strict=False)]
        assert sum("line " in line for line in seen) >= 5
        ground.delete(PODS, pod)
        assert any(line.startswith("event: pod") for line in lines)
        assert any('"line 0"' in line for line in lines)


def test_another_release_is_rolled_out(site: ClusterEdge, ground: Ground) -> None:
    """The new pod takes the old one's place, and both is in the upgrades' history or the events."""
    deployed(ground, "moving", f"echo first; {WAITS}")
    first = site.health("moving", lambda one: one["ready"] is True)["pods"][0]["name"]
    containers = ground.get(DEPLOYMENTS, "moving")["spec"]["template"]["spec"]["containers"]
    containers[0]["command"] = ["sh", "-c", f"echo second; {WAITS}"]
    ground.patch(
        DEPLOYMENTS,
        "moving",
        {
            "metadata": {"labels": {"app.kubernetes.io/version": "2.b"}},
            "spec": {"template": {"spec": {"containers": containers}}},
        },
    )
    site.until(
        "/models/moving/health", lambda one: one["ready"] is True and one["pods"] and one["pods"][0]["name"] != first
    )
    assert texts(site.until("/models/moving/logs", lambda log: texts(log) == ["second"])) == ["second"]
    assert site.get("/models/moving/versions")["deployed"]["version"] == "2.b"
    site.until("/events", lambda page: any(
        one["model"] == "moving" and one["kind"] in ("rolling out", "available", "appeared") for one in page["items"]
    ))  # fmt: skip


def test_a_model_that_is_removed_is_gone(site: ClusterEdge, ground: Ground) -> None:
    """404, and its pod is gone."""
    deployed(ground, "leaving")
    site.health("leaving", lambda one: one["ready"] is True)
    ground.delete(DEPLOYMENTS, "leaving")
    ground.until(lambda: site.ask("GET", "/models/leaving/health").status_code == 404)


def test_who_may_look_and_who_may_act(site: ClusterEdge, ground: Ground, viewer: str) -> None:
    """As roles of the cluster say; what is done is in the audit log with who did it."""
    deployed(ground, "guarded")
    site.health("guarded", lambda one: one["ready"] is True)
    for token, status in ((viewer, 200), (ground.user(), 403), ("wrong", 401), ("", 401)):
        assert site.of(token).ask("GET", "/models/guarded").status_code == status
    assert site.of(viewer).ask("POST", "/models/guarded/self-test").status_code == 403
    assert site.of(viewer).ask("GET", "/audit").status_code == 403
    site.ask("POST", "/models/guarded/self-test")
    entry = site.get("/audit")["items"][0]
    assert entry["who"].startswith(f"system:serviceaccount:{ground.namespace}:")


@pytest.mark.skipif(REAL, reason="a pod of a real cluster is not reached from here, and its image would not say")
def test_a_server_that_stops_answering_is_not_ready(site: ClusterEdge, ground: Ground) -> None:
    """The kubelet's own words say why."""
    with fake() as server:
        body = deployment("probed", readinessProbe={"httpGet": {"path": "/v2/health/ready", "port": server.port}})
        body["spec"]["template"]["metadata"]["annotations"] = {"world/ip": "127.0.0.1"}
        ground.create(DEPLOYMENTS, body)
        site.health("probed", lambda one: one["ready"] is True)
        server.how = "refuse"
        site.health("probed", lambda one: "Readiness probe failed" in one["reason"])
        server.how = "well"
        site.health("probed", lambda one: one["ready"] is True)
