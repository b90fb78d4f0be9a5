"""Argo CD's application controller: compares what an Application wants with what it had, and syncs.

It renders nothing: what git holds is told by the test in annotations of the Application: `world/head` (the revision
of targetRevision) and, for a sync that fails, `world/fault` (its message). Health is the Deployment's of the
Application's name in its destination's namespace, where there is one. Modelled: automated sync on and off, `operation`
carried out and taken away, operationState, history (ten entries), the annotation `refresh` taken away once done,
`skip-reconcile`. Not modelled: resources, waves, hooks, prune, self-heal, retries, windows.
"""

import asyncio

from nearedge.api.cluster.resources import APPLICATIONS, DEPLOYMENTS, Object
from tests.cluster_world import documents
from tests.cluster_world.world import Hands

REFRESH, SKIP = "argocd.argoproj.io/refresh", "argocd.argoproj.io/skip-reconcile"
MOST_HISTORY = 10
HEALTHY_S = 0.2
"""Between looks at health."""


class ArgoCD:
    """The controller."""

    def __init__(self, hands: Hands) -> None:
        """Nothing happens yet."""
        self.hands = hands
        self.known: dict[str, Object] = {}
        self.deployments: dict[str, Object] = {}
        self.news = asyncio.Event()

    async def run(self) -> None:
        """Look after all Applications."""

        def changed(document: Object) -> None:
            self.known[document["metadata"]["name"]] = document
            self.news.set()

        def gone(name: str) -> None:
            self.known.pop(name, None)

        def deployed(document: Object) -> None:
            self.deployments[document["metadata"]["name"]] = document
            self.news.set()

        def undeployed(name: str) -> None:
            self.deployments.pop(name, None)
            self.news.set()

        self.hands.spawn(self.hands.follow(APPLICATIONS, changed, gone))
        self.hands.spawn(self.hands.follow(DEPLOYMENTS, deployed, undeployed))
        while True:
            await self.news.wait()
            self.news.clear()
            for application in list(self.known.values()):
                await self.reconcile(application)

    async def reconcile(self, application: Object) -> None:
        """Compare, sync where it is asked for or automatic, say how it is."""
        metadata, annotations = application["metadata"], application["metadata"].get("annotations") or {}
        if annotations.get(SKIP) == "true" or "deletionTimestamp" in metadata:
            return
        status: Object = application.setdefault("status", {})
        head = annotations.get("world/head", "0" * 40)
        operation = application.get("operation")
        running = operation is not None
        synced = status.get("sync", {}).get("revision") == head and status["sync"]["status"] == "Synced"
        automated = (application["spec"].get("syncPolicy") or {}).get("automated")
        wants = automated is not None and (automated.get("enabled", True))
        failed = status.get("operationState", {}).get("phase") == "Failed"
        tried = status.get("operationState", {}).get("syncResult", {}).get("revision")
        patch: Object = {}
        if running or (wants and not synced and not (failed and tried == head)):
            given = operation or {"sync": {"revision": head}, "initiatedBy": {"automated": True}}
            patch["status"] = self.synced(application, given, head)
            patch["operation"] = None
        elif not synced:
            patch["status"] = self.compared(
                application, head, status.get("history") and status["history"][-1]["revision"]
            )
        health = self.health(application)
        if status.get("health", {}).get("status") != health:
            patch.setdefault("status", {})["health"] = {"status": health, "lastTransitionTime": documents.now()}
        if REFRESH in annotations:
            patch["metadata"] = {"annotations": {REFRESH: None}}
            patch.setdefault("status", {})["reconciledAt"] = documents.now()
        if patch and not self.same(application, patch):
            await self.hands.patch(APPLICATIONS, metadata["name"], patch)

    def same(self, application: Object, patch: Object) -> bool:
        """Whether the patch says nothing new, as of times."""
        if set(patch) != {"status"} or set(patch["status"]) != {"sync", "reconciledAt"}:
            return False
        return bool(application["status"].get("sync", {}) == patch["status"]["sync"])

    def compared(self, application: Object, head: str, live: str | None) -> Object:
        """The status after a comparison alone."""
        spec = application["spec"]
        sync = {
            "status": "Synced" if live == head else "OutOfSync", "revision": head,
            "comparedTo": {"source": spec["source"], "destination": spec["destination"]},
        }  # fmt: skip
        return {"sync": sync, "reconciledAt": documents.now()}

    def synced(self, application: Object, operation: Object, head: str) -> Object:
        """The status after a sync."""
        annotations = application["metadata"].get("annotations") or {}
        fault, begun = annotations.get("world/fault", ""), documents.now()
        revision = (operation.get("sync") or {}).get("revision") or head
        revision = head if len(revision) != 40 else revision
        source = application["spec"]["source"]
        state = {
            "operation": operation, "phase": "Failed" if fault else "Succeeded",
            "message": fault or "successfully synced (all tasks run)", "startedAt": begun,
            "finishedAt": documents.now(), "syncResult": {"revision": revision, "source": source, "resources": []},
        }  # fmt: skip
        before = application["status"]
        live = revision if not fault else before["history"][-1]["revision"] if before.get("history") else None
        status = self.compared(application, head, live)
        status["operationState"] = documents.replacing(before.get("operationState"), state)
        if not fault:
            history = list(application["status"].get("history") or [])
            number = history[-1]["id"] + 1 if history else 0
            entry = {
                "id": number, "revision": revision, "source": source, "deployStartedAt": begun,
                "deployedAt": documents.now(), "initiatedBy": operation.get("initiatedBy", {}),
            }  # fmt: skip
            status["history"] = [*history, entry][-MOST_HISTORY:]
        return status

    def health(self, application: Object) -> str:
        """Healthy, Progressing or Missing."""
        found = self.deployments.get(application["metadata"].get("annotations", {}).get("world/deployment", ""))
        if found is None:
            return "Healthy" if application["status"].get("history") else "Missing"
        conditions = found.get("status", {}).get("conditions") or ()
        available = any(one["type"] == "Available" and one["status"] == "True" for one in conditions)
        return "Healthy" if available else "Progressing"
