"""A cluster that is killed, slow, wrong or says no: answers come soon, say what was known and what is missing."""

import time
from pathlib import Path

import pytest

from tests.cluster_api import served
from tests.edge_api import LOOKS, QUICK_S, fake
from tests.edge_cluster import NAMESPACE, A, cluster_edge, deployment, event, pod, running, waiting

MANIFESTS = Path(__file__).parents[5] / "manifests" / "edge" / "components" / "api"
PATIENCE = 30


@pytest.fixture
def cluster():
    with served() as found:
        found.apply(
            deployment("m", A), pod("m", "m-1-aaaaa", A, **running()), event("e", "m-1-aaaaa", "Pulled", "pulled")
        )
        yield found


def ask_all(site, *, known=True):
    """Every answer, each of which must come soon and be 200 (404 of a model that is not known); by path."""
    found = {}
    paths = ["/site", "/models", "/events", "/audit", *(f"/models/m{path}" for path in LOOKS)]
    for path in paths:
        start = time.monotonic()
        answer = site.ask("GET", path)
        assert time.monotonic() - start < QUICK_S, path
        assert answer.status_code == 200 or (not known and answer.status_code == 404), answer.text
        found[path.removeprefix("/models/m")] = answer.json()
    return found


def states(document):
    return {one["name"]: one["state"] for one in document["sources"]}


def listed(site):
    """Once everything is known."""
    site.until("/models", lambda page: [one["ready"] for one in page["items"]] == [True], PATIENCE)
    site.until("/events", lambda page: any(one["reason"] == "Pulled" for one in page["items"]), PATIENCE)


def test_a_cluster_that_is_killed_and_comes_back(cluster, tmp_path):
    with fake() as server, cluster_edge(cluster, tmp_path, server_address=server.url) as site:
        listed(site)
        with cluster.away():
            site.until("/models/m/health", lambda one: states(one)["kubernetes"] == "missing", PATIENCE)
            found = ask_all(site)
            assert found["/health"]["ready"] is True and found["/health"]["pods"][0]["name"] == "m-1-aaaaa"
            source = {one["name"]: one for one in found["/health"]["sources"]}["kubernetes"]
            assert source["as_of"] and source["age_s"] > 0 and "does not answer" in source["reason"]
            assert states(found["/logs"]) == {"log": "missing"}
            assert any(one["reason"] == "Pulled" for one in found["/events"]["items"])
            server.how = "refuse"
            health = site.until("/models/m/health", lambda one: one["ready"] is False, PATIENCE)
            assert set(states(health).values()) == {"missing"}
            ask_all(site)
        cluster.apply(pod("m", "m-1-aaaaa", A, **waiting("ErrImagePull", "gone")))
        site.until("/models/m/health", lambda one: "cannot be pulled" in one["reason"], PATIENCE)


def test_a_start_without_a_cluster_knows_what_was_known(cluster, tmp_path):
    with fake() as server:
        with cluster_edge(cluster, tmp_path, server_address=server.url) as site:
            site.until("/models", lambda page: page["items"] and page["items"][0]["version"], PATIENCE)
            listed(site)
        with cluster.away(), cluster_edge(cluster, tmp_path, server_address=server.url) as site:
            found = ask_all(site)
            assert found[""]["version"] == "1.a" and states(found["/health"])["kubernetes"] == "missing"
            site.until("/models/m/health", lambda one: one["ready"], PATIENCE)
            assert site.session.get(f"{site.url}/readyz", timeout=10).status_code == 503
            assert site.session.get(f"{site.url}/healthz", timeout=10).status_code == 200
        with cluster.away(), cluster_edge(cluster, tmp_path / "anew") as site:
            ask_all(site, known=False)


WRONG = {
    "hangs": lambda faults: faults.hang(),
    "is slow": lambda faults: faults.slow(2.0),
    "has errors": lambda faults: faults.answer(500),
    "is busy": lambda faults: faults.answer(429, retry_after=1),
    "says nonsense": lambda faults: faults.text(200, "<html>"),
    "says no object": lambda faults: faults.text(200, "[1]"),
    "lists nothing that is one": lambda faults: faults.text(200, '{"items": [1, {}], "metadata": {}}'),
    "forbids": lambda faults: faults.answer(403),
    "knows us no more": lambda faults: faults.answer(401),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_cluster_that_is_wrong_from_the_beginning(cluster, tmp_path, how):
    with WRONG[how](cluster.faults), cluster_edge(cluster, tmp_path) as site:
        found = ask_all(site, known=False)
        if how != "is slow":
            assert states(site.get("/site"))["kubernetes"] == "missing", found
    with cluster_edge(cluster, tmp_path) as site:
        listed(site)


@pytest.mark.parametrize("how", ["hangs", "has errors", "says nonsense"])
def test_logs_that_do_not_come(cluster, tmp_path, how):
    with cluster_edge(cluster, tmp_path) as site:
        listed(site)
        with WRONG[how](cluster.faults):
            start = time.monotonic()
            assert states(site.get("/models/m/logs")) == {"log": "missing"}
            assert time.monotonic() - start < QUICK_S


def test_watches_that_are_cut_expire_or_end_lose_nothing(cluster, tmp_path):
    with cluster_edge(cluster, tmp_path) as site:
        listed(site)
        for number, fault in enumerate((cluster.cut, cluster.end_watches, cluster.compact)):
            fault()
            name = f"m-{number}-bbbbb"
            cluster.apply(pod("m", name, A, **running()))
            site.until(
                "/models/m/health", lambda one, name=name: name in [pod["name"] for pod in one["pods"]], PATIENCE
            )
        cluster.faults.expire("pods", after=1)
        cluster.apply(pod("m", "m-9-ccccc", A, **running()))
        cluster.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/m-1-aaaaa")
        fits = lambda one: {"m-9-ccccc"} <= (names := {pod["name"] for pod in one["pods"]}) and "m-1-aaaaa" not in names  # noqa: E731
        site.until("/models/m/health", fits, PATIENCE)


def test_events_that_are_forbidden_take_nothing_else_away(cluster, tmp_path):
    with cluster.faults.answer(403, "list", "events"), cluster_edge(cluster, tmp_path) as site:
        site.until("/models", lambda page: [one["ready"] for one in page["items"]] == [True], PATIENCE)
        site.until("/site", lambda one: states(one)["kubernetes events"] == "missing", PATIENCE)
        assert states(site.get("/models/m/health"))["kubernetes"] == "ok"


def test_the_rights_of_our_manifests_are_enough(cluster, tmp_path):
    cluster.apply(*(MANIFESTS / f"{name}.yaml" for name in ("namespace", "service-account", "rbac", "people")))
    token = cluster.account("nearedge-edge", "nearedge-api")
    who = cluster.user("ada", "models-managers")
    head = {"name": "ada", "namespace": NAMESPACE}
    to = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "nearedge-models-manage"}
    cluster.apply({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": head, "roleRef": to,
        "subjects": [{"kind": "User", "name": "ada", "apiGroup": "rbac.authorization.k8s.io"}],
    })  # fmt: skip
    cluster.write_log(NAMESPACE, "m-1-aaaaa", "server", "a line\n")
    with cluster_edge(cluster, tmp_path, judged=True, token=token) as site:
        site.session.headers["Authorization"] = f"Bearer {who}"
        listed(site)
        assert site.get("/models/m/logs")["lines"][0]["text"] == "a line"
        ask_all(site)
    refused = [one for one in cluster.requests if one.user.endswith(":nearedge-api") and one.status in (401, 403)]
    assert refused == []
