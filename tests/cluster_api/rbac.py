"""Whether somebody may, judged from the Roles, ClusterRoles and bindings that lie in the cluster.

As the RBAC authorizer of k8s.io/kubernetes judges: rules only allow; the group system:masters may everything; an
aggregated ClusterRole has the rules of those that its selectors find. Not modelled: that nobody may give rights that
they do not have.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.cluster_api import statuses
from tests.cluster_api.routes import Target
from tests.cluster_api.store import Key, Store
from tests.cluster_api.users import User

Object = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"


@dataclass(frozen=True)
class Verdict:
    """Allowed or not, and by what."""

    allowed: bool
    reason: str = ""


class Rbac:
    """The authorizer."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def judge(self, user: User, target: Target) -> Verdict:
        """Whether `user` may do that."""
        if MASTERS in user.groups:
            return Verdict(True)
        missing = []
        for binding, subject in self.bindings(user, target.namespace):
            rules, fault = self.rules(binding)
            if fault:
                missing.append(fault)
            if any(allows(rule, target) for rule in rules):
                return Verdict(True, f"RBAC: allowed by {words(binding)} to {subject}")
        if not missing:
            return Verdict(False)
        return Verdict(False, "RBAC: " + (missing[0] if len(missing) == 1 else "[" + ", ".join(missing) + "]"))

    def check(self, user: User, target: Target) -> None:
        """Raise 403 where `user` may not."""
        verdict = self.judge(user, target)
        if not verdict.allowed:
            raise statuses.forbidden(refusal(user, target, verdict.reason), details(target))

    def bindings(self, user: User, namespace: str) -> Iterator[tuple[Object, str]]:
        """The bindings of a user, cluster-wide and in a namespace, each with the subject that is theirs."""
        kinds = [("clusterrolebindings", ""), *([("rolebindings", namespace)] if namespace else [])]
        for plural, where in kinds:
            for key, binding in self.store.items(GROUP, plural, where):
                for subject in binding.get("subjects") or ():
                    if is_subject(subject, user, key.namespace):
                        yield binding, subject_words(subject)

    def rules(self, binding: Object) -> tuple[list[Object], str]:
        """A binding's rules; and what is wrong where its role is not there."""
        reference = binding["roleRef"]
        kind, name = reference["kind"], reference["name"]
        namespace = binding["metadata"].get("namespace", "") if kind == "Role" else ""
        found = self.store.get(Key(GROUP, kind.lower() + "s", namespace, name))
        if found is None:
            return [], f'{kind.lower()}.{GROUP} "{name}" not found'
        return self.aggregated(found), ""

    def aggregated(self, role: Object) -> list[Object]:
        """A role's own rules, and those of the ClusterRoles that it gathers."""
        rules = list(role.get("rules") or ())
        for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
            wanted = (selector.get("matchLabels") or {}).items()
            for _, other in self.store.items(GROUP, "clusterroles"):
                if wanted and wanted <= (other["metadata"].get("labels") or {}).items():
                    rules += self.aggregated(other)
        return rules

    def every_rule(self, user: User, namespace: str) -> list[Object]:
        """All rules that hold for a user in a namespace."""
        if MASTERS in user.groups:
            return [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        return [rule for binding, _ in self.bindings(user, namespace) for rule in self.rules(binding)[0]]


def is_subject(subject: Object, user: User, namespace: str) -> bool:
    """Whether a subject of a binding is this user; `namespace` is the binding's."""
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "Group":
        return name in user.groups
    if kind == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
    return kind == "User" and name == user.name


def allows(rule: Object, target: Target) -> bool:
    """Whether a rule is about that."""
    if not {"*", target.verb} & set(rule.get("verbs") or ()):
        return False
    if not target.resource:
        return any(path_fits(pattern, target.path) for pattern in rule.get("nonResourceURLs") or ())
    wanted = {"*", target.combined} | ({f"*/{target.subresource}"} if target.subresource else set())
    return (
        bool({"*", target.group} & set(rule.get("apiGroups") or ()))
        and bool(wanted & set(rule.get("resources") or ()))
        and (not rule.get("resourceNames") or target.name in rule["resourceNames"])
    )


def path_fits(pattern: str, path: str) -> bool:
    """A path of a rule: a star stands only at its end."""
    return path == pattern or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def words(binding: Object) -> str:
    """A binding and its role, for a person."""
    metadata, reference = binding["metadata"], binding["roleRef"]
    place = f"{metadata['name']}/{metadata['namespace']}" if "namespace" in metadata else metadata["name"]
    return f'{binding["kind"]} "{place}" of {reference["kind"]} "{reference["name"]}"'


def subject_words(subject: Object) -> str:
    """A subject, for a person."""
    name = subject.get("name")
    place = f"{name}/{subject['namespace']}" if subject.get("namespace") else name
    return f'{subject.get("kind")} "{place}"'


def refusal(user: User, target: Target, reason: str) -> str:
    """The message of a 403."""
    if not target.resource:
        text = f'forbidden: User "{user.name}" cannot {target.verb} path "{target.path}"'
    else:
        what = f"{target.resource}.{target.group}" if target.group else target.resource
        what += f' "{target.name}"' if target.name else ""
        where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
        text = (
            f'{what} is forbidden: User "{user.name}" cannot {target.verb} resource "{target.combined}" '
            f'in API group "{target.group}" {where}'
        )
    return f"{text}: {reason}" if reason else text


def details(target: Target) -> Object:
    """The details of a 403."""
    found = {"name": target.name, "group": target.group, "kind": target.resource}
    return {key: value for key, value in found.items() if value}
