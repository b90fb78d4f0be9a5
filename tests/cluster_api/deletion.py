"""What a deletion is asked to keep to, and what it makes of an object that may not go yet."""

from dataclasses import dataclass
from typing import Any

from tests.cluster_api import objects, statuses
from tests.cluster_api.resources import Resource

Object = dict[str, Any]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
POLICIES = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True)
class Options:
    """DeleteOptions."""

    uid: str = ""
    resource_version: str = ""
    propagation: str = "Background"
    grace_s: int | None = None
    dry: bool = False


def options(body: Any, query: dict[str, str]) -> Options:
    """From a request's body and query; 400 or 422."""
    found = body if isinstance(body, dict) else {}
    if found.get("kind", "DeleteOptions") != "DeleteOptions":
        raise statuses.bad_request(f"{found['kind']} cannot be handled as DeleteOptions")
    conditions = found.get("preconditions") or {}
    propagation = found.get("propagationPolicy") or query.get("propagationPolicy") or "Background"
    if propagation not in POLICIES:
        raise statuses.ApiError(
            422,
            "Invalid",
            f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "{propagation}"',
        )
    grace = found.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    dry = found.get("dryRun") or ([query["dryRun"]] if "dryRun" in query else [])
    return Options(
        conditions.get("uid", ""), conditions.get("resourceVersion", ""), propagation,
        None if grace is None else int(grace), "All" in dry,
    )  # fmt: skip


def check(resource: Resource, old: Object, asked: Options) -> None:
    """Raise 409 where the object is not the one that was meant."""
    metadata = old["metadata"]
    if asked.uid and asked.uid != metadata["uid"]:
        raise statuses.conflict(resource, metadata["name"], (
            f"the UID in the precondition ({asked.uid}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated"
        ))  # fmt: skip
    if asked.resource_version and asked.resource_version != metadata["resourceVersion"]:
        raise statuses.conflict(resource, metadata["name"], (
            f"the ResourceVersion in the precondition ({asked.resource_version}) does not match the ResourceVersion in "
            f"record ({metadata['resourceVersion']}). The object might have been modified"
        ))  # fmt: skip


def may_go(found: Object) -> bool:
    """Whether nothing holds an object that is being deleted."""
    metadata = found["metadata"]
    held = metadata.get("finalizers") or (found["kind"] == "Namespace" and found.get("spec", {}).get("finalizers"))
    return not held and not metadata.get("deletionGracePeriodSeconds")


def marked(resource: Resource, old: Object, asked: Options, grace_s: int) -> Object | None:
    """The object marked as being deleted; None where it may go at once."""
    before = old["metadata"]
    held = list(before.get("finalizers") or ())
    if asked.propagation != "Background" or "deletionTimestamp" not in before:
        own = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN], "Background": []}[asked.propagation]
        held = [name for name in held if name not in (FOREGROUND, ORPHAN)] + own
    metadata: Object = {**before, "finalizers": held}
    if not held:
        del metadata["finalizers"]
    metadata["deletionGracePeriodSeconds"] = min(grace_s, before.get("deletionGracePeriodSeconds", grace_s))
    result = {**old, "metadata": metadata}
    if may_go(result):
        return None
    if "deletionTimestamp" not in before:
        metadata["deletionTimestamp"] = objects.now()
        if "generation" in before:
            metadata["generation"] = before["generation"] + 1
    if resource.qualified == "namespaces":
        result["status"] = {**old.get("status", {}), "phase": "Terminating"}
    return result
