"""What every object is held to: its kind, its name, its labels; and what the server writes into its metadata.

The rules are those of k8s.io/apimachinery/pkg/api/validation and of `rest.BeforeCreate` and `rest.BeforeUpdate`
in k8s.io/apiserver. There is no schema of a kind: a spec is whatever it is.
"""

import copy
import random
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from tests.cluster_api import statuses
from tests.cluster_api.resources import Resource
from tests.cluster_api.store import Key

Object = dict[str, Any]

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SEGMENT = re.compile(r"(?!\.\.?$)[^/%]+")
QUALIFIED = re.compile(
    r"(?=.{1,317}$)([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?(?=[^/]{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
)
VALUE = re.compile(r"(?=.{0,63}$)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
MOST_ANNOTATIONS = 256 << 10
"""Bytes of all annotations of an object together."""
KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
"""Metadata that only the server writes."""
WITHOUT_GENERATION = {
    "bindings", "configmaps", "endpoints", "endpointslices", "events", "namespaces", "nodes", "secrets", "services",
    "serviceaccounts", "roles", "rolebindings", "clusterroles", "clusterrolebindings", "leases", "persistentvolumes",
    "persistentvolumeclaims", "resourcequotas", "limitranges",
}  # fmt: skip


def now() -> str:
    """As in creationTimestamp."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def name_faults(resource: Resource, name: str) -> list[str]:
    """What is wrong with a name."""
    if resource.group == "rbac.authorization.k8s.io":
        return [] if SEGMENT.fullmatch(name) else [f"Invalid value: \"{name}\": may not contain '/' or '%'"]
    if resource.plural in ("namespaces", "services"):
        if len(name) <= 63 and LABEL.fullmatch(name):
            return []
        return [
            f'Invalid value: "{name}": a lowercase RFC 1123 label must consist of lower case alphanumeric characters '
            "or '-', and must start and end with an alphanumeric character"
        ]
    if len(name) <= 253 and SUBDOMAIN.fullmatch(name):
        return []
    return [
        f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '
        "'-' or '.', and must start and end with an alphanumeric character"
    ]


def label_faults(metadata: Object) -> list[tuple[str, str]]:
    """What is wrong with labels and annotations."""
    faults = []
    for name, value in (metadata.get("labels") or {}).items():
        for part, rule in ((name, QUALIFIED), (value, VALUE)):
            if not isinstance(part, str) or not rule.fullmatch(part):
                faults.append(("metadata.labels", f'Invalid value: "{part}": a valid label must be an empty string or '
                               "consist of alphanumeric characters, '-', '_' or '.'"))  # fmt: skip
    annotations = metadata.get("annotations") or {}
    for name in annotations:
        if not QUALIFIED.fullmatch(name.lower()):
            faults.append(("metadata.annotations", f'Invalid value: "{name}": name part must consist of alphanumerics'))
    if sum(len(name) + len(str(value)) for name, value in annotations.items()) > MOST_ANNOTATIONS:
        faults.append(("metadata.annotations", f"Too long: may not be more than {MOST_ANNOTATIONS} bytes"))
    return faults


def owner_faults(metadata: Object) -> list[tuple[str, str]]:
    """What is wrong with references to owners."""
    faults = []
    rows = metadata.get("ownerReferences") or ()
    for index, row in enumerate(rows):
        for part in ("apiVersion", "kind", "name", "uid"):
            if not row.get(part):
                faults.append((f"metadata.ownerReferences[{index}].{part}", 'Invalid value: "": must not be empty'))
    if sum(bool(row.get("controller")) for row in rows) > 1:
        faults.append(("metadata.ownerReferences", "Invalid value: Only one reference can have Controller set to true"))
    return faults


def read(resource: Resource, body: Any, namespace: str) -> Object:
    """A copy of what was sent, of the kind and the namespace that the path says."""
    if not isinstance(body, dict) or not body.get("kind"):
        raise statuses.bad_request("Object 'Kind' is missing in the body of the request")
    if body.get("apiVersion") != resource.group_version:
        raise statuses.bad_request(
            f"the API version in the data ({body.get('apiVersion', '')}) does not match the expected API version "
            f"({resource.group_version})"
        )
    if body["kind"] != resource.kind:
        raise statuses.bad_request(
            f'{body["kind"]} in version "{resource.version}" cannot be handled as a {resource.kind}'
        )
    found: Object = copy.deepcopy(body)
    metadata = found["metadata"] = found.get("metadata") or {}
    if metadata.get("namespace", namespace) not in ("", namespace):
        raise statuses.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata.pop("namespace", None)
    if namespace:
        metadata["namespace"] = namespace
    return found


def has_generation(resource: Resource) -> bool:
    """Whether the kind counts the changes of what is wanted."""
    return resource.plural not in WITHOUT_GENERATION and resource.verbs != ("create",)


def wanted(resource: Resource, found: Object) -> Any:
    """What a change of makes another generation.

    Of a custom resource everything but metadata (and the status, where that is written apart); of a Deployment its
    annotations count as well, as they do in the real one.
    """
    if resource.custom:
        left = {"metadata", "status"} if resource.has_status else {"metadata"}
        return {name: value for name, value in found.items() if name not in left}
    if resource.plural == "deployments":
        return found.get("spec"), found["metadata"].get("annotations") or {}
    return found.get("spec")


def named(resource: Resource, metadata: Object) -> str:
    """The name of a new object, drawn where it only says how it begins."""
    if not metadata.get("name") and metadata.get("generateName"):
        drawn = "".join(random.choices(LETTERS, k=5))
        metadata["name"] = metadata["generateName"][:58] + drawn
    name = metadata.get("name") or ""
    faults: list[tuple[str, str]] = []
    if not name:
        faults.append(("metadata.name", "Required value: name or generateName is required"))
    else:
        faults += [("metadata.name", what) for what in name_faults(resource, name)]
    faults += label_faults(metadata) + owner_faults(metadata)
    if faults:
        raise statuses.invalid(resource, name, faults)
    return str(name)


def new(resource: Resource, body: Any, namespace: str) -> tuple[Key, Object]:
    """The object that a creation makes of what was sent."""
    found = read(resource, body, namespace)
    metadata = found["metadata"]
    if metadata.get("resourceVersion"):
        raise statuses.bad_request("resourceVersion should not be set on objects to be created")
    name = named(resource, metadata)
    for field in (*KEPT, "resourceVersion", "generation", "managedFields"):
        metadata.pop(field, None)
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
    if has_generation(resource):
        metadata["generation"] = 1
    if resource.has_status:
        found.pop("status", None)
    return Key(resource.group, resource.plural, namespace, name), found


def changed(resource: Resource, old: Object, sent: Object, sub: str) -> Object:
    """The object that an update of the object, or of its status, makes of what was sent."""
    metadata, before = sent["metadata"], old["metadata"]
    metadata["name"] = before["name"]
    if sub == "status":
        allowed = before | {key: metadata[key] for key in ("labels", "annotations", "finalizers") if key in metadata}
        metadata = before if resource.custom else allowed
        result = {**old, "metadata": metadata, "status": sent.get("status")}
        return result if sent.get("status") is not None else {k: v for k, v in result.items() if k != "status"}
    for field in (*KEPT, "generation", "generateName", "managedFields"):
        metadata.pop(field, None)
        if field in before:
            metadata[field] = before[field]
    faults = label_faults(metadata) + owner_faults(metadata)
    added = set(metadata.get("finalizers") or ()) - set(before.get("finalizers") or ())
    if "deletionTimestamp" in before and added:
        what = f"no new finalizers can be added if the object is being deleted, found new finalizers {sorted(added)}"
        faults.append(("metadata.finalizers", f"Forbidden: {what}"))
    if faults:
        raise statuses.invalid(resource, before["name"], faults)
    if resource.has_status:
        sent.pop("status", None)
        sent |= {"status": old["status"]} if "status" in old else {}
    if has_generation(resource) and wanted(resource, sent) != wanted(resource, old):
        metadata["generation"] = int(before.get("generation", 0)) + 1
    return sent
