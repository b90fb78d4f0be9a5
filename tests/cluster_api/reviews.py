"""Reviews: who a token is, and whether somebody may. They are answered and not kept."""

import copy
from collections.abc import Callable
from typing import Any

from tests.cluster_api import objects, statuses
from tests.cluster_api.rbac import Rbac
from tests.cluster_api.resources import Resource
from tests.cluster_api.routes import Target
from tests.cluster_api.users import AUDIENCE, User, Users

Object = dict[str, Any]


class Reviews:
    """All kinds of review."""

    def __init__(self, users: Users, rbac: Rbac) -> None:
        self.users, self.rbac = users, rbac
        self.kinds: dict[str, Callable[[Resource, User, str, Object], Object]] = {
            "TokenReview": self.token,
            "SelfSubjectReview": lambda _resource, user, _namespace, _spec: {"userInfo": user.document()},
            "SubjectAccessReview": self.access,
            "LocalSubjectAccessReview": self.access,
            "SelfSubjectAccessReview": self.own_access,
            "SelfSubjectRulesReview": self.rules,
        }

    def review(self, resource: Resource, user: User, namespace: str, body: Any) -> Object:
        """The review that was asked for, with its status."""
        found = objects.read(resource, body, namespace)
        found["metadata"].setdefault("creationTimestamp", None)
        spec = copy.deepcopy(found.get("spec") or {})
        return {**found, "status": self.kinds[resource.kind](resource, user, namespace, spec)}

    def token(self, _resource: Resource, _user: User, _namespace: str, spec: Object) -> Object:
        """Whose token this is."""
        if not spec.get("token"):
            raise statuses.bad_request("token is required for TokenReview in authentication")
        for audience in spec.get("audiences") or [AUDIENCE]:
            if (found := self.users.find(spec["token"], audience)) is not None:
                return {"authenticated": True, "user": found.document(), "audiences": [audience]}
        return {"user": {}, "error": "[invalid bearer token, token lookup failed]"}

    def access(self, resource: Resource, _user: User, namespace: str, spec: Object) -> Object:
        """Whether the one named may."""
        if not spec.get("user") and not spec.get("groups"):
            fault = ("spec.user", 'Invalid value: "": at least one of user or group must be specified')
            raise statuses.invalid(resource, "", [fault])
        asked = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""))
        if namespace and (spec.get("resourceAttributes") or {}).get("namespace") != namespace:
            what = f'Invalid value: "{namespace}": must match metadata.namespace'
            raise statuses.invalid(resource, "", [("spec.resourceAttributes.namespace", what)])
        return self.verdict(resource, asked, spec)

    def own_access(self, resource: Resource, user: User, _namespace: str, spec: Object) -> Object:
        """Whether the one who asks may."""
        return self.verdict(resource, user, spec)

    def verdict(self, resource: Resource, user: User, spec: Object) -> Object:
        """The status of an access review."""
        of_resource, of_path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if (of_resource is None) == (of_path is None):
            what = "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise statuses.invalid(resource, "", [("spec", what)])
        if of_resource is None:
            path = of_path or {}
            target = Target(path.get("verb", ""), path.get("path", ""))
        else:
            target = Target(
                of_resource.get("verb", ""), "", of_resource.get("group", ""), of_resource.get("version", ""),
                of_resource.get("resource", ""), of_resource.get("subresource", ""), of_resource.get("namespace", ""),
                of_resource.get("name", ""),
            )  # fmt: skip
        found = self.rbac.judge(user, target)
        return {"allowed": found.allowed, **({"reason": found.reason} if found.reason else {})}

    def rules(self, _resource: Resource, user: User, _namespace: str, spec: Object) -> Object:
        """What the one who asks may in a namespace."""
        if not spec.get("namespace"):
            raise statuses.bad_request("no namespace on request")
        found = self.rbac.every_rule(user, spec["namespace"])
        return {
            "resourceRules": [rule for rule in found if "resources" in rule],
            "nonResourceRules": [rule for rule in found if "nonResourceURLs" in rule], "incomplete": False,
        }  # fmt: skip
