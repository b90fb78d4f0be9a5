"""Reviews: who a token is, and what somebody may."""

import pytest

from tests.unit.cluster_api.test_rbac import ADA, PODS, binding, role

AUTHN, AUTHZ = "authentication.k8s.io/v1", "authorization.k8s.io/v1"


def review(client, kind, group=AUTHN, spec=None, namespace=""):
    where = f"/namespaces/{namespace}" if namespace else ""
    body = {"apiVersion": group, "kind": kind, "spec": spec or {}}
    return client.asked("POST", f"/apis/{group}{where}/{kind.lower()}s", body)


def test_token_reviews(fake, client, space):
    code, found = review(client, "TokenReview", spec={"token": fake.user("ada", "g")})
    assert code == 201 and found["status"] == {
        "authenticated": True, "user": {"username": "ada", "groups": ["g", "system:authenticated"]},
        "audiences": ["https://kubernetes.default.svc"],
    }  # fmt: skip
    account = review(client, "TokenReview", spec={"token": fake.account(space, "default")})[1]["status"]["user"]
    assert account["username"] == f"system:serviceaccount:{space}:default" and account["uid"]
    assert f"system:serviceaccounts:{space}" in account["groups"]


def test_tokens_that_are_nobodys(fake, client):
    found = review(client, "TokenReview", spec={"token": "x"})[1]["status"]
    assert "authenticated" not in found and "invalid bearer token" in found["error"]
    token = fake.user("ada")
    assert "error" in review(client, "TokenReview", spec={"token": token, "audiences": ["vault"]})[1]["status"]
    fake.revoke(token)
    assert "error" in review(client, "TokenReview", spec={"token": token})[1]["status"]
    assert review(client, "TokenReview")[1]["message"] == "token is required for TokenReview in authentication"


def test_tokens_are_issued_by_request(client, space):
    path = f"/api/v1/namespaces/{space}/serviceaccounts"
    body = {"apiVersion": AUTHN, "kind": "TokenRequest", "spec": {"audiences": ["vault"]}}
    code, found = client.asked("POST", f"{path}/default/token", body)
    assert code == 201
    review_of = {"token": found["status"]["token"], "audiences": ["vault"]}
    assert review(client, "TokenReview", spec=review_of)[1]["status"]["authenticated"] is True
    assert client.asked("POST", f"{path}/x/token", body)[0] == 404


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        ({"verb": "list"}, True),
        ({"verb": "watch"}, False),
        ({"verb": "get", "subresource": "log"}, False),
        ({"verb": "get"}, True),
    ],
)
def test_access_reviews(fake, client, client_of, space, attributes, allowed):
    fake.apply(role(space, PODS), binding(space, ADA))
    asked = {"resourceAttributes": {"namespace": space, "resource": "pods", **attributes}}
    whole = review(client, "SubjectAccessReview", AUTHZ, {"user": "ada", **asked})
    assert whole[0] == 201 and whole[1]["status"]["allowed"] is allowed
    own = review(client_of(fake.user("ada")), "SelfSubjectAccessReview", AUTHZ, asked)[1]["status"]
    assert own["allowed"] is allowed
    if allowed:
        assert own["reason"] == f'RBAC: allowed by RoleBinding "role-{space}/{space}" of Role "role" to User "ada"'
    local = review(client, "LocalSubjectAccessReview", AUTHZ, {"user": "ada", **asked}, space)[1]
    assert local["status"]["allowed"] is allowed


def test_reviews_are_a_right_themselves(fake, client_of):
    ada = client_of(fake.user("ada"))
    assert review(ada, "TokenReview", spec={"token": "x"})[0] == 403
    assert review(ada, "SubjectAccessReview", AUTHZ, {"user": "x"})[0] == 403
    assert review(ada, "SelfSubjectReview")[1]["status"]["userInfo"]["username"] == "ada"
    paths = {"nonResourceAttributes": {"verb": "get", "path": "/api"}}
    assert review(ada, "SelfSubjectAccessReview", AUTHZ, paths)[1]["status"]["allowed"] is True


def test_a_server_that_may_ask(fake, client_of, space):
    account = {"kind": "ServiceAccount", "name": "default", "namespace": space}
    fake.apply(binding("", account, kind="ClusterRole", name="system:auth-delegator"))
    server = client_of(fake.account(space, "default"))
    assert review(server, "TokenReview", spec={"token": fake.admin})[1]["status"]["authenticated"] is True
    everything = {
        "user": "x",
        "groups": ["system:masters"],
        "resourceAttributes": {"verb": "delete", "resource": "nodes"},
    }
    assert review(server, "SubjectAccessReview", AUTHZ, everything)[1]["status"]["allowed"] is True


def test_wrong_reviews(client):
    assert review(client, "SubjectAccessReview", AUTHZ, {"resourceAttributes": {}})[0] == 422
    code, found = review(client, "SubjectAccessReview", AUTHZ, {"user": "x"})
    assert code == 422 and "exactly one of nonResourceAttributes or resourceAttributes" in found["message"]
    assert review(client, "SelfSubjectRulesReview", AUTHZ)[0] == 400


def test_all_rules_of_somebody(fake, client_of, space):
    fake.apply(role(space, PODS), binding(space, ADA))
    found = review(client_of(fake.user("ada")), "SelfSubjectRulesReview", AUTHZ, {"namespace": space})[1]["status"]
    assert PODS in found["resourceRules"] and found["incomplete"] is False
