"""Which groups, versions and resources there are."""

from typing import Any

from tests.cluster_api import statuses
from tests.cluster_api.resources import Resource, Resources

Object = dict[str, Any]

VERSION = {
    "major": "1", "minor": "34", "gitVersion": "v1.34.0+fake", "gitCommit": "0" * 40, "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.25", "compiler": "gc", "platform": "linux/amd64",
}  # fmt: skip
HEALTH = ("/healthz", "/livez", "/readyz")
OF_SUBRESOURCE = {"log": ["get"], "token": ["create"], "status": ["get", "patch", "update"]}


def document(resources: Resources, path: str) -> Object:
    """What is at a path of discovery; PlainError 404."""
    path = path.rstrip("/")
    rows = list(resources)
    if path == "/version":
        return VERSION
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        groups = [group(rows, name) for name in sorted({row.group for row in rows} - {""})]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    parts = path.split("/")[1:]
    if parts[0] == "apis" and len(parts) == 2 and any(row.group == parts[1] for row in rows):
        return {"kind": "APIGroup", "apiVersion": "v1", **group(rows, parts[1])}
    version = parts[1:] if parts[0] == "apis" else ["", *parts[1:]]
    found = [row for row in rows if [row.group, row.version] == version]
    if not found or parts[0] not in ("api", "apis"):
        raise statuses.nothing_there()
    listed = [entry for row in found for entry in entries(row)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": found[0].group_version, "resources": listed}


def group(rows: list[Resource], name: str) -> Object:
    """A group and its versions."""
    versions = sorted({row.version for row in rows if row.group == name}, key=lambda text: ("beta" in text, text))
    found = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def entries(row: Resource) -> list[Object]:
    """A resource and its subresources."""
    base = {"namespaced": row.namespaced, "kind": row.kind}
    names = {"shortNames": list(row.short)} if row.short else {}
    own = {"name": row.plural, "singularName": row.kind.lower(), **base, "verbs": list(row.verbs), **names}
    subs = [sub for sub in row.subresources if sub in OF_SUBRESOURCE]
    return [
        own,
        *({"name": f"{row.plural}/{sub}", "singularName": "", **base, "verbs": OF_SUBRESOURCE[sub]} for sub in subs),
    ]
