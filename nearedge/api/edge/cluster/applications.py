"""Argo CD's Applications: what they tell of a sync, and how their automatic sync is taken out and put back.

A pause takes `spec.syncPolicy.automated` out, which every release of Argo CD understands, and keeps it in annotations
beside who did it, so that resuming puts back what was there. The annotation skip-reconcile would stop the status, too.
"""

import json
from collections.abc import Mapping
from typing import Any

from nearedge.api.cluster.resources import Api, Object
from nearedge.api.edge.documents import SourceState
from nearedge.api.edge.manage_documents import LastSync, Sync
from nearedge.api.problems import conflict

APPLICATION_SETS = Api("argoproj.io", "v1alpha1", "applicationsets")
PAUSED_BY, PAUSED_AT = "nearedge.dev/paused-by", "nearedge.dev/paused-at"
PAUSED_POLICY = "nearedge.dev/paused-policy"
"""What `automated` was, as JSON."""
OURS = (PAUSED_BY, PAUSED_AT, PAUSED_POLICY)
REFRESH, SKIP = "argocd.argoproj.io/refresh", "argocd.argoproj.io/skip-reconcile"
COVERING = ("", "/spec", "/spec/syncPolicy", "/spec/syncPolicy/automated")
CARRIED = "AppliedManifestWork"
"""Owner of what Advanced Cluster Management carries to a cluster; it puts back whatever is changed there."""
SERVES = ("Deployment", "InferenceService")
MOST_MODELS, LONGEST = 64, 1000


def automated(application: Object) -> Object | None:
    """The policy of automatic sync, None where it is off."""
    policy = (application["spec"].get("syncPolicy") or {}).get("automated")
    return policy if policy is not None and policy.get("enabled") is not False else None


def annotations(application: Object) -> Mapping[str, str]:
    """Its annotations."""
    return application["metadata"].get("annotations") or {}


def under_way(application: Object) -> bool:
    """Whether a sync was asked for or runs."""
    state = (application.get("status") or {}).get("operationState") or {}
    return bool(application.get("operation")) or state.get("phase") in ("Running", "Terminating")


def document(name: str, application: Object, source: SourceState) -> Sync:
    """What it tells of a model's sync. Raises LookupError, TypeError or AttributeError for what is no Application."""
    metadata, status, said = application["metadata"], application.get("status") or {}, annotations(application)
    policy, compared, history = automated(application), status.get("sync") or {}, status.get("history") or []
    paused = policy is None and PAUSED_BY in said
    return Sync(
        name=name, application=f"{metadata['namespace']}/{metadata['name']}", models=models(name, status),
        automated=policy is not None, paused=paused, paused_by=said.get(PAUSED_BY) if paused else None,
        paused_at=said.get(PAUSED_AT) if paused else None, status=compared.get("status"),
        revision=history[-1].get("revision") if history else None, wanted=compared.get("revision") or None,
        health=(status.get("health") or {}).get("status"), last=last(application), reason=reason(application),
        sources=[source],
    )  # fmt: skip


def models(name: str, status: Object) -> list[str]:
    """The models of an Application, this one and those that it has brought into the cluster."""
    served = {str(one.get("name")) for one in status.get("resources") or [] if one.get("kind") in SERVES}
    return sorted({name, *sorted(served)[:MOST_MODELS]})


def last(application: Object) -> LastSync | None:
    """The newest operation, or that which was asked for and has not begun."""
    asked = application.get("operation")
    state: Object = (application.get("status") or {}).get("operationState") or {}
    if asked and state.get("phase") not in ("Running", "Terminating"):
        state = {"operation": asked, "phase": "Running", "message": "asked for; Argo CD has not begun it"}
    if not state:
        return None
    operation = state.get("operation") or {}
    asked_by = operation.get("initiatedBy") or {}
    by = asked_by.get("username") or ("automatic" if asked_by.get("automated") else "not known")
    wanted = (operation.get("sync") or {}).get("revision")
    return LastSync(
        phase=state.get("phase") or "Running",
        revision=(state.get("syncResult") or {}).get("revision") or wanted or None,
        message=in_a_line(str(state.get("message") or "")), started=state.get("startedAt"),
        finished=state.get("finishedAt"), by=by,
    )  # fmt: skip


def reason(application: Object) -> str:
    """What stands in the way; empty where all is well."""
    said, status = annotations(application), application.get("status") or {}
    told = [str(one.get("message")) for one in status.get("conditions") or [] if "Error" in str(one.get("type"))]
    if said.get(SKIP) == "true":
        told.insert(0, f"Argo CD passes over it: its annotation {SKIP} is true")
    if automated(application) is not None and PAUSED_BY in said:
        told.append(f"{said[PAUSED_BY]} paused it, and somebody turned automatic sync on again without this API")
    if automated(application) is None and PAUSED_BY not in said:
        told.append("its automatic sync is off, and not by this API")
    return in_a_line("; ".join(told))


def in_a_line(text: str) -> str:
    """A message of Argo CD's, which often has the lines of another program in it."""
    return " ".join(text.split())[:LONGEST]


def pause(application: Object, who: str, now: str) -> Object | None:
    """The merge patch that pauses; None where that is done. Raises ProblemError 409."""
    policy = automated(application)
    if policy is None:
        if PAUSED_BY in annotations(application):
            return None
        raise conflict(f"{title(application)} has no automatic sync, so there is nothing to pause")
    kept = {PAUSED_BY: who, PAUSED_AT: now, PAUSED_POLICY: json.dumps(policy, sort_keys=True)}
    return {"metadata": {"annotations": kept}, "spec": {"syncPolicy": {"automated": None}}}


def resume(application: Object) -> Object | None:
    """The merge patch that undoes `pause`; None where nothing is paused. Raises ProblemError 409."""
    said, clean = annotations(application), dict.fromkeys(OURS)
    if automated(application) is not None:
        return {"metadata": {"annotations": clean}} if PAUSED_BY in said else None
    if PAUSED_BY not in said:
        raise conflict(f"{title(application)} was not paused here; turn its automatic sync on where it was turned off")
    policy = kept_policy(application)
    if policy is None:
        raise conflict(f"{title(application)}: what its automatic sync was is lost ({PAUSED_POLICY}); set it by hand")
    return {"metadata": {"annotations": clean}, "spec": {"syncPolicy": {"automated": policy}}}


def kept_policy(application: Object) -> Object | None:
    """What automatic sync was before the pause, None where that is not to be read."""
    try:
        policy = json.loads(annotations(application).get(PAUSED_POLICY, ""))
    except (ValueError, RecursionError):
        return None
    return policy if isinstance(policy, dict) else None


def sync_now(application: Object, who: str, site: str) -> Object:
    """The merge patch that starts a sync to the newest commit, as Argo CD's own API does. Raises ProblemError 409."""
    if annotations(application).get(SKIP) == "true":
        raise conflict(f"{title(application)}: Argo CD passes over it, its annotation {SKIP} is true")
    if under_way(application):
        raise conflict(f"{title(application)}: a sync is under way; wait for its end")
    policy = application["spec"].get("syncPolicy") or {}
    chosen = automated(application) or kept_policy(application) or {}
    sync: dict[str, Any] = {"syncStrategy": {"hook": {}}, "prune": chosen.get("prune") is True}
    if policy.get("syncOptions"):
        sync["syncOptions"] = policy["syncOptions"]
    operation = {
        "initiatedBy": {"username": who}, "info": [{"name": "Asked by", "value": f"the edge's API of {site}"}],
        "sync": sync, **({"retry": policy["retry"]} if policy.get("retry") else {}),
    }  # fmt: skip
    return {"metadata": {"annotations": {REFRESH: "normal"}}, "operation": operation}


def carried(application: Object) -> str:
    """Why a change of it would not last, because the core carries it here; empty where it does not."""
    for owner in application["metadata"].get("ownerReferences") or []:
        if owner.get("kind") == CARRIED:
            return f"{title(application)} is carried here by the core, which would put it back; pause it there"
    return ""


def made_by(application: Object) -> str:
    """The name of the ApplicationSet that makes it, empty where none does."""
    owners = application["metadata"].get("ownerReferences") or []
    return next((str(one.get("name")) for one in owners if one.get("kind") == "ApplicationSet"), "")


def overruled(application: Object, maker: Object) -> str:
    """Why its ApplicationSet would put a change of it back; empty where it would not."""
    spec, name = maker["spec"], application["metadata"]["name"]
    rules = [one for one in spec.get("ignoreApplicationDifferences") or [] if one.get("name") in (None, "", name)]
    pointers = {pointer for one in rules for pointer in one.get("jsonPointers") or []}
    if not pointers.intersection(COVERING):
        return f"its ApplicationSet would put it back; add {COVERING[-1]} to its ignoreApplicationDifferences"
    kept = (spec.get("preservedFields") or {}).get("annotations") or []
    lost = [one for one in OURS if one not in kept]
    return (
        f"its ApplicationSet would take {', '.join(lost)} away; add it to preservedFields.annotations" if lost else ""
    )


def title(application: Object) -> str:
    """How messages name it."""
    return f"Application {application['metadata']['namespace']}/{application['metadata']['name']}"
