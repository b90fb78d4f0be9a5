"""What lies in a new cluster: namespaces, and the roles and bindings that every cluster begins with."""

from typing import Any

Object = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
DISCOVERY = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
]
PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
EVERYBODY, NOBODY = "system:authenticated", "system:unauthenticated"


def role(name: str, *rules: Object, **metadata: Object) -> Object:
    """A ClusterRole."""
    found = {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}, **metadata}
    return {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole", "metadata": found, "rules": list(rules)}


def bound(name: str, *groups: str) -> Object:
    """A ClusterRoleBinding of a ClusterRole of the same name."""
    subjects = [{"kind": "Group", "apiGroup": GROUP, "name": group} for group in groups]
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
    return {
        "apiVersion": f"{GROUP}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name}, "roleRef": reference,
        "subjects": subjects,
    }  # fmt: skip


def reviews(group: str, *resources: str) -> Object:
    """A rule to ask for reviews."""
    return {"apiGroups": [group], "resources": list(resources), "verbs": ["create"]}


AUTHN, AUTHZ = "authentication.k8s.io", "authorization.k8s.io"
ROLES: tuple[Object, ...] = (
    role(
        "cluster-admin",
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ),
    role("system:discovery", {"nonResourceURLs": DISCOVERY, "verbs": ["get"]}),
    role("system:public-info-viewer", {"nonResourceURLs": PUBLIC, "verbs": ["get"]}),
    role(
        "system:basic-user",
        reviews(AUTHZ, "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
        reviews(AUTHN, "selfsubjectreviews"),
    ),
    role("system:auth-delegator", reviews(AUTHN, "tokenreviews"), reviews(AUTHZ, "subjectaccessreviews")),
    bound("cluster-admin", "system:masters"),
    bound("system:discovery", EVERYBODY),
    bound("system:public-info-viewer", EVERYBODY, NOBODY),
    bound("system:basic-user", EVERYBODY),
)
"""Without the roles of Kubernetes' own components, and without view, edit and admin."""


def space(name: str) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
