"""What manifests/ say of the APIs' pods: their arguments, and what their accounts may do."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.kustomize import Object, of_kind

MANIFESTS = Path(__file__).parents[1] / "manifests"
VARIABLE = re.compile(r"\$\(([A-Z_]+)\)")

Rights = dict[tuple[str, str, str, str], set[str]]
"""Verbs by namespace (empty: the whole cluster), group, resource and name (empty: all)."""


def deployment(objects: list[Object]) -> Object:
    """The API's."""
    (found,) = [one for one in of_kind(objects, "Deployment") if one["metadata"]["name"] == "nearedge-api"]
    return found


def pod_of(objects: list[Object]) -> Object:
    """The spec of its pod."""
    spec: Object = deployment(objects)["spec"]["template"]["spec"]
    return spec


def environment(container: Object) -> dict[str, str]:
    """Its variables."""
    return {one["name"]: one["value"] for one in container["env"]}


def arguments(container: Object) -> list[str]:
    """What the kubelet starts the program with. KeyError where a variable is not set."""
    values = environment(container)
    return [VARIABLE.sub(lambda found: values[found[1]], text) for text in container["args"]]


def rights(objects: list[Object], namespace: str, account: str = "nearedge-api") -> Rights:
    """What an account may do by the bindings that lie in `objects`; a role of the platform's is a right by its name."""
    roles = {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in objects}
    found: Rights = {}
    for binding in (*of_kind(objects, "RoleBinding"), *of_kind(objects, "ClusterRoleBinding")):
        who = [(one["kind"], one.get("namespace"), one["name"]) for one in binding["subjects"]]
        if ("ServiceAccount", namespace, account) not in who:
            continue
        place = binding["metadata"].get("namespace", "")
        kind, name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
        role = roles.get((kind, place if kind == "Role" else "", name))
        for group, resource, only, verb in rules(role) if role else [("", name, "", "bound")]:
            found.setdefault((place, group, resource, only), set()).add(verb)
    return found


def rules(role: Object) -> Iterator[tuple[str, str, str, str]]:
    """Group, resource, name and verb of each right in a role."""
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    for verb in rule["verbs"]:
                        yield group, resource, name, verb
