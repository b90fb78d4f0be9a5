"""Who may do what: the caller's token is what the cluster sees, or ours is, and the cluster is asked."""

import pytest

from tests import core_cluster
from tests.core_cluster import NAMESPACE, ROOT, RUNS

VIEW = {
    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "viewers"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "nearedge-runs-view"},
    "subjects": [{"kind": "User", "name": "vera", "apiGroup": "rbac.authorization.k8s.io"}],
}  # fmt: skip
OURS = "system:serviceaccount:nearedge:nearedge-api"
REVIEWS = {"tokenreviews", "subjectaccessreviews"}


def own_account(fake):
    """Our ServiceAccount with the rights of manifests/core/api-service-account, in the runs' namespace."""
    text = (ROOT / "manifests/core/api-service-account/rbac.yaml").read_text()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nearedge-api"}}
    fake.apply(account, text.replace("namespace: nearedge-core", "namespace: nearedge"), namespace=NAMESPACE)


@pytest.fixture(params=["caller", "service-account"])
def both(request, own_bare, tmp_path):
    """The API in each way, as Ada has it who may manage."""
    own_bare.apply(VIEW, namespace=NAMESPACE)
    own_account(own_bare)
    token = own_bare.user("ada", "nearedge-users")
    with core_cluster.serving(own_bare, tmp_path, token, as_caller=request.param == "caller") as found:
        yield found


def test_who_manages_who_reads_and_who_may_not_even_that(both, own_bare):
    vera, eve = both.who_has(own_bare.user("vera")), both.who_has(own_bare.user("eve"))
    name = both.start().json()["name"]
    assert vera.get(f"/runs/{name}")["state"] == "Pending"
    for answer in (vera.start(), vera.ask("POST", f"/runs/{name}/cancel"), vera.ask("DELETE", f"/runs/{name}")):
        assert (answer.status_code, answer.json()["detail"]) == (
            403, "vera may only read; this needs the role manage",
        )  # fmt: skip
    for path in ("/runs", f"/runs/{name}", "/pipelines", "/models", "/fleet"):
        answer = eve.ask("GET", path)
        assert answer.status_code == 403, path
        assert "eve may not list pipelineruns.tekton.dev in the namespace nearedge" in answer.json()["detail"]
    assert own_bare.get(f"{RUNS}/{name}")["metadata"]["annotations"]["nearedge.dev/owner"] == "ada"


def test_no_token_and_a_wrong_one(both, own_bare):
    for token in ("", "nobody's", "n\xf6body's"):
        answer = both.who_has(token).ask("GET", "/runs")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    spoiled = own_bare.user("mallory", "nearedge-users")
    own_bare.revoke(spoiled)
    assert both.who_has(spoiled).start().status_code == 401


def test_the_cluster_sees_who_it_should(both, own_bare):
    name = both.start().json()["name"]
    both.get("/runs")
    both.get(f"/runs/{name}")
    seen = {(one.user, one.resource) for one in own_bare.requests if one.resource != "version"}
    users = {user for user, _ in seen}
    if both.engine.reach.as_caller:
        assert users == {"ada"}
    else:
        assert users == {OURS}
        assert {resource for _, resource in seen} >= REVIEWS
    assert not [one for one in own_bare.requests if one.status == 403], "our manifests' rights are enough"


def test_readiness_in_each_way(both, own_bare):
    found = both.session.get(f"{both.url}/readyz", timeout=30)
    names = {"cluster"} if both.engine.reach.as_caller else {"cluster", "pipelineruns"}
    assert (found.status_code, found.json()["sources"]) == (200, dict.fromkeys(names, "ok"))
    with own_bare.away():
        found = both.session.get(f"{both.url}/readyz", timeout=30)
    assert found.status_code == 503
    assert "does not answer" in found.json()["sources"]["cluster"]


def test_our_own_account_without_its_rights(own_bare, tmp_path):
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nearedge-api"}}
    own_bare.apply(account, namespace=NAMESPACE)
    with core_cluster.serving(own_bare, tmp_path, own_bare.user("ada", "nearedge-users"), as_caller=False) as core:
        answer = core.ask("GET", "/runs")
        assert (answer.status_code, "tokenreviews" in answer.json()["detail"]) == (502, True), "not the caller's fault"
        found = core.session.get(f"{core.url}/readyz", timeout=30).json()["sources"]
    assert found["cluster"] == "ok"
    assert 'cannot list resource "pipelineruns"' in found["pipelineruns"]


def test_a_watch_for_each_caller_and_no_token_after_it(own, own_bare):
    bob = own.who_has(own_bare.user("bob", "nearedge-users"))
    for core in (own, bob, own, bob):
        core.get("/runs")
    assert len(own.engine.watches.found) == 2
    watches = [one for one in own_bare.requests if one.verb == "watch" and one.resource == "pipelineruns"]
    assert sorted(one.user for one in watches) == ["ada", "bob"]
    shared = list(own.engine.watches.found.values())
    keys = str(list(own.engine.watches.found))
    assert own.token not in keys
    for one in shared:
        one.kept_s = -1.0
    own.get("/pipelines")  # asks for no watch
    carol = own.who_has(own_bare.user("carol", "nearedge-users"))
    carol.get("/runs")
    assert [one.watched.token for one in shared] == ["stopped", "stopped"]
    assert len(own.engine.watches.found) == 1
    own_bare.until(lambda: all(one.running.done() for one in shared))


def test_the_watch_that_was_used_least_lately_makes_room(own, own_bare, monkeypatch):
    monkeypatch.setattr("nearedge.api.core.tekton.watches.MOST", 2)
    others = [own.who_has(own_bare.user(name, "nearedge-users")) for name in ("bob", "carol")]
    for core in (own, *others):
        core.get("/runs")
    assert len(own.engine.watches.found) == 2
    with (
        others[0].session.get(
            f"{own.url}/api/v1/runs/events",
            headers={"Authorization": f"Bearer {others[0].token}"},
            stream=True,
            timeout=30,
        ),
        others[1].session.get(
            f"{own.url}/api/v1/runs/events",
            headers={"Authorization": f"Bearer {others[1].token}"},
            stream=True,
            timeout=30,
        ),
    ):
        own_bare.until(lambda: all(one.users for one in own.engine.watches.found.values()))
        answer = own.ask("GET", "/runs")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


def test_releases_and_sites_say_how_to_configure_them(alone):
    found = alone.get("/models")
    assert "no GitOps repository is configured; start nearedge api core with --git-url" in str(found)
