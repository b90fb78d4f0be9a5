"""What a request asks for, as `RequestInfo` of k8s.io/apiserver reads it from method, path and query."""

from dataclasses import dataclass

from tests.cluster_api import selection

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}


@dataclass(frozen=True)
class Target:
    """What is asked for; without a `resource`, it is a path like /version."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def combined(self) -> str:
        """As in a rule: resource/subresource."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    @property
    def words(self) -> str:
        """For a person: "list pods"."""
        return f"{self.verb} {self.combined or self.path}"


def target(method: str, path: str, query: dict[str, str]) -> Target:
    """The reading of a request."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return Target(method.lower(), path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    verb = VERBS.get(method, method.lower())
    if not name and verb in ("get", "delete"):
        if verb == "delete":
            verb = "deletecollection"
        else:
            verb = "watch" if query.get("watch", "") in ("1", "true", "True") else "list"
            name = selection.name_in(query.get("fieldSelector", ""))
    return Target(verb, path, group, version, resource, subresource, namespace, name)
