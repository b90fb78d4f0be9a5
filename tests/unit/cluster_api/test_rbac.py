"""Rights, judged from what lies in the cluster; and the words of a refusal."""

import pytest

from tests.cluster_api import rbac
from tests.cluster_api.routes import Target

GROUP = "rbac.authorization.k8s.io"


def role(space, *rules, kind="Role", name="role", **more):
    metadata = {"name": name} | ({"namespace": space} if kind == "Role" else {}) | more.pop("metadata", {})
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "rules": list(rules), **more}


def binding(space, *subjects, kind="Role", name="role"):
    return {
        "apiVersion": f"{GROUP}/v1", "kind": "RoleBinding" if space else "ClusterRoleBinding",
        "metadata": {"name": f"{name}-{space}"} | ({"namespace": space} if space else {}),
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name}, "subjects": list(subjects),
    }  # fmt: skip


PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
ADA = {"kind": "User", "name": "ada"}


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/api/v1/namespaces/y/pods", 'pods {} list resource "pods" in API group "" in the namespace "y"'),
        ("GET", "/api/v1/pods", 'pods {} list resource "pods" in API group "" at the cluster scope'),
        ("GET", "/api/v1/namespaces/y/pods/p/log",
         'pods "p" {} get resource "pods/log" in API group "" in the namespace "y"'),
        ("PATCH", "/apis/apps/v1/namespaces/y/deployments/d",
         'deployments.apps "d" {} patch resource "deployments" in API group "apps" in the namespace "y"'),
        ("DELETE", "/api/v1/namespaces/y/pods",
         'pods {} deletecollection resource "pods" in API group "" in the namespace "y"'),
        ("GET", "/api/v1/namespaces/y",
         'namespaces "y" {} get resource "namespaces" in API group "" in the namespace "y"'),
        ("GET", "/metrics", 'forbidden: User "x" cannot get path "/metrics"'),
        ("GET", "/api/v1/namespaces/y/foos", 'foos {} list resource "foos" in API group "" in the namespace "y"'),
    ],
)  # fmt: skip
def test_refusals(fake, client_of, method, path, message):
    code, found = client_of(fake.user("x")).asked(method, path, {} if method == "PATCH" else None)
    assert (code, found["reason"], found["message"]) == (
        403,
        "Forbidden",
        message.format('is forbidden: User "x" cannot'),
    )


def test_nobody_and_nobodys_token(client, client_of):
    code, found = client_of("made-up").asked("GET", "/api/v1/pods")
    assert (code, found["message"], found["reason"]) == (401, "Unauthorized", "Unauthorized")
    client.http.headers.pop("Authorization")
    assert '"system:anonymous"' in client.asked("GET", "/api/v1/pods")[1]["message"]
    assert client.http.get("/healthz").text == "ok"
    assert client.asked("GET", "/api")[0] == 403


def test_a_role_holds_in_its_namespace(fake, client_of, space):
    fake.apply(role(space, PODS), binding(space, ADA))
    ada = client_of(fake.user("ada"))
    assert ada.asked("GET", f"/api/v1/namespaces/{space}/pods")[0] == 200
    assert ada.asked("GET", f"/api/v1/namespaces/{space}/pods/p")[0] == 404
    for path in ("/api/v1/namespaces/default/pods", "/api/v1/pods", f"/api/v1/namespaces/{space}/pods/p/log"):
        assert ada.asked("GET", path)[0] == 403
    assert ada.asked("GET", f"/api/v1/namespaces/{space}/pods", watch="1")[0] == 403
    assert client_of(fake.user("bob")).asked("GET", f"/api/v1/namespaces/{space}/pods")[0] == 403


@pytest.mark.parametrize(
    ("subject", "name", "groups"),
    [
        ({"kind": "User", "name": "u"}, "u", ()),
        ({"kind": "Group", "name": "g"}, "u", ("g",)),
        ({"kind": "Group", "name": "system:authenticated"}, "u", ()),
    ],
)
def test_subjects(fake, client_of, space, subject, name, groups):
    fake.apply(role(space, PODS), binding(space, subject))
    assert client_of(fake.user(name, *groups)).asked("GET", f"/api/v1/namespaces/{space}/pods")[0] == 200
    if "system" not in subject["name"]:
        assert client_of(fake.user("other")).asked("GET", f"/api/v1/namespaces/{space}/pods")[0] == 403


def test_a_service_account_and_its_end(fake, client_of, space):
    account = {"kind": "ServiceAccount", "name": "default"}
    fake.apply(role(space, PODS), binding(space, account))
    pod = client_of(fake.account(space, "default"))
    assert pod.asked("GET", f"/api/v1/namespaces/{space}/pods")[0] == 200
    fake.delete(f"/api/v1/namespaces/{space}/serviceaccounts/default")
    assert pod.asked("GET", f"/api/v1/namespaces/{space}/pods")[0] == 401
    with pytest.raises(LookupError, match="no ServiceAccount"):
        fake.account(space, "default")


def test_a_cluster_role_bound_in_a_namespace_and_everywhere(fake, client_of, space):
    ada = client_of(fake.user("ada"))
    name = f"reader-{space}"
    fake.apply(role("", PODS, kind="ClusterRole", name=name), binding(space, ADA, kind="ClusterRole", name=name))
    assert ada.asked("GET", f"/api/v1/namespaces/{space}/pods")[0] == 200
    assert ada.asked("GET", "/api/v1/pods")[0] == 403
    everywhere = fake.apply(binding("", ADA, kind="ClusterRole", name=name))[0]
    assert ada.asked("GET", "/api/v1/pods")[0] == 200
    fake.delete(f"/apis/{GROUP}/v1/clusterrolebindings/{everywhere['metadata']['name']}")
    assert ada.asked("GET", "/api/v1/pods")[0] == 403


def test_an_aggregated_role_has_the_rules_of_others(fake, client_of, space):
    gathers = {"clusterRoleSelectors": [{"matchLabels": {"to": space}}]}
    fake.apply(
        role("", kind="ClusterRole", name=f"all-{space}", aggregationRule=gathers),
        role("", PODS, kind="ClusterRole", name=f"one-{space}", metadata={"labels": {"to": space}}),
        binding(space, ADA, kind="ClusterRole", name=f"all-{space}"),
    )
    assert client_of(fake.user("ada")).asked("GET", f"/api/v1/namespaces/{space}/pods")[0] == 200


def test_a_role_that_is_not_there_is_named(fake, client_of, space):
    fake.apply(binding(space, ADA))
    found = client_of(fake.user("ada")).asked("GET", f"/api/v1/namespaces/{space}/pods")[1]
    assert found["message"].endswith(f': RBAC: role.{GROUP} "role" not found')


def test_names_of_resources_and_their_watch(fake, client_of, space):
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"], "resourceNames": ["a"]}
    fake.apply(role(space, rule), binding(space, ADA))
    ada, path = client_of(fake.user("ada")), f"/api/v1/namespaces/{space}/configmaps"
    assert [ada.asked("GET", f"{path}/{name}")[0] for name in "ab"] == [404, 403]
    assert ada.asked("GET", path)[0] == 403
    assert ada.asked("GET", path, fieldSelector="metadata.name=a")[0] == 200
    with ada.watch(path, fieldSelector="metadata.name=a", timeoutSeconds="1") as events:
        assert list(events) == []


@pytest.mark.parametrize(
    ("rule", "verb", "group", "resource", "sub", "allowed"),
    [
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, "get", "a", "b", "c", True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, "get", "", "pods", "log", False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}, "get", "", "pods", "log", True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/*"]}, "get", "", "pods", "log", False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}, "get", "", "pods", "log", True),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["pods"]}, "get", "", "pods", "", False),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, "get", "", "pods", "", False),
    ],
)
def test_rules(rule, verb, group, resource, sub, allowed):
    target = Target(verb, "", group, "v1", resource, sub, "space")
    assert rbac.allows(rule, target) is allowed


def test_acting_as_somebody_else(fake, client_of, space):
    path = f"/api/v1/namespaces/{space}/pods"
    rules = [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["ada"]}]
    name = f"imitate-{space}"
    fake.apply(role(space, PODS), binding(space, ADA), role("", *rules, kind="ClusterRole", name=name))
    fake.apply(binding("", {"kind": "User", "name": "bob"}, kind="ClusterRole", name=name))
    bob = client_of(fake.user("bob"))
    assert bob.asked("GET", path)[0] == 403
    bob.http.headers["Impersonate-User"] = "ada"
    assert bob.asked("GET", path)[0] == 200 and fake.requests[-1].user == "ada"
    bob.http.headers["Impersonate-Group"] = "system:masters"
    assert 'groups "system:masters" is forbidden: User "bob" cannot impersonate' in bob.asked("GET", path)[1]["message"]
    bob.http.headers["Impersonate-User"] = f"system:serviceaccount:{space}:default"
    assert 'serviceaccounts "default" is forbidden' in bob.asked("GET", path)[1]["message"]


def test_paths():
    rule = {"verbs": ["get"], "nonResourceURLs": ["/api/*", "/version"]}
    assert [rbac.allows(rule, Target("get", path)) for path in ("/api/v1", "/version", "/versions", "/api")] == [
        True, True, False, False,
    ]  # fmt: skip
