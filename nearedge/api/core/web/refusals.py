"""What a cluster's RBAC refused, taken from the line in which it says so."""

import re
from dataclasses import dataclass

BY_SERVER = re.compile(
    r'User "(?P<who>[^"]+)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<where>[^"]+)"| at the cluster scope)?'
)
"""As the API server words it (k8s.io/apiserver, responsewriters)."""
BY_US = re.compile(
    r"(?P<who>\S+) may not (?P<verb>\S+) (?P<resource>[^\s.]+)\.(?P<group>\S*) in the namespace (?P<where>\S+)"
)
"""As nearedge.api.cluster.reviews words it."""


@dataclass(frozen=True)
class Lacking:
    """Who lacks which right; `where` empty: in the whole cluster."""

    who: str
    verb: str
    resource: str
    where: str


def lacking(detail: str) -> Lacking | None:
    """The right that is lacking, None where the line speaks of none."""
    found = BY_SERVER.search(detail) or BY_US.search(detail)
    if found is None:
        return None
    resource = ".".join(filter(None, (found["resource"], found["group"])))
    return Lacking(found["who"], found["verb"], resource, found["where"] or "")
