"""The controllers of Deployments, ReplicaSets and Jobs: they make Pods and say how many there are.

Modelled: revisions, pod-template-hash, RollingUpdate (a new Pod first, the old one when that is ready) and Recreate,
scale, pause, the conditions Available and Progressing, Jobs of one Pod. Not modelled: maxSurge and maxUnavailable as
figures, progress deadlines, rollback, history limits, back-off of Jobs.
"""

import asyncio
import hashlib
import json
from typing import Any

from nearedge.api.cluster.resources import DEPLOYMENTS, JOBS, PODS, REPLICA_SETS, Object
from tests.cluster_world import documents
from tests.cluster_world.world import Hands

LETTERS = "bcdfghjklmnpqrstvwxz2456789"
REVISION = "deployment.kubernetes.io/revision"


class Deployments:
    """The controller of Deployments and their ReplicaSets."""

    def __init__(self, hands: Hands) -> None:
        """Nothing happens yet."""
        self.hands = hands
        self.known: dict[str, Object] = {}
        self.pods: dict[str, Object] = {}
        self.sets: dict[str, Object] = {}
        self.news = asyncio.Event()

    async def run(self) -> None:
        """Look after all of them: whatever changed, each is looked at again."""
        for api, known in ((DEPLOYMENTS, self.known), (PODS, self.pods), (REPLICA_SETS, self.sets)):
            self.hands.spawn(self.follow(api, known))
        while True:
            await self.news.wait()
            self.news.clear()
            for deployment in list(self.known.values()):
                await self.reconcile(deployment)

    async def follow(self, api: Any, known: dict[str, Object]) -> None:
        """Keep one kind."""

        def changed(document: Object) -> None:
            known[document["metadata"]["name"]] = document
            self.news.set()

        def gone(name: str) -> None:
            known.pop(name, None)
            self.news.set()

        await self.hands.follow(api, changed, gone)

    def of(self, owner: Object, known: dict[str, Object]) -> list[Object]:
        """What an object owns and is not going."""
        uid = owner["metadata"]["uid"]
        return [
            one
            for one in known.values()
            if any(row["uid"] == uid for row in one["metadata"].get("ownerReferences") or ())
            and "deletionTimestamp" not in one["metadata"]
        ]

    async def reconcile(self, deployment: Object) -> None:
        """Bring a Deployment nearer to what it should be."""
        if "deletionTimestamp" in deployment["metadata"]:
            return
        spec = deployment["spec"]
        sets = self.of(deployment, self.sets)
        mark = template_hash(spec["template"])
        new = next((one for one in sets if one["metadata"]["labels"]["pod-template-hash"] == mark), None)
        if new is None and not spec.get("paused"):
            new = await self.replica_set(deployment, mark, 1 + max((revision(one) for one in sets), default=0))
            self.sets[new["metadata"]["name"]] = new
        wanted = spec.get("replicas", 1)
        old = [one for one in sets if new is not None and one["metadata"]["uid"] != new["metadata"]["uid"]]
        recreate = spec.get("strategy", {}).get("type") == "Recreate"
        if new is not None:
            waiting = recreate and any(self.of(one, self.pods) for one in old)
            mine = self.of(new, self.pods)
            await self.scale(new, 0 if waiting else wanted)
            ready = sum(is_ready(pod) for pod in mine)
            for one in old:
                if recreate or ready >= wanted:
                    await self.scale(one, 0)
        await self.tell(deployment, new, [*old, *([new] if new is not None else [])])

    async def replica_set(self, deployment: Object, mark: str, number: int) -> Object:
        """A new ReplicaSet."""
        metadata, spec = deployment["metadata"], deployment["spec"]
        template = json.loads(json.dumps(spec["template"]))
        labels = {**template.setdefault("metadata", {}).get("labels", {}), "pod-template-hash": mark}
        template["metadata"]["labels"] = labels
        await self.hands.patch(DEPLOYMENTS, metadata["name"], {"metadata": {"annotations": {REVISION: str(number)}}})
        body: Object = {
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{mark}", "namespace": metadata["namespace"], "labels": labels,
                "annotations": {REVISION: str(number)}, "ownerReferences": [documents.owner(deployment)],
            },
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }  # fmt: skip
        return await self.hands.create(REPLICA_SETS, body)

    async def scale(self, replica_set: Object, wanted: int) -> None:
        """As many Pods as wanted."""
        mine = sorted(self.of(replica_set, self.pods), key=is_ready)
        name = replica_set["metadata"]["name"]
        for number in range(len(mine), wanted):
            template = replica_set["spec"]["template"]
            body: Object = {
                "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
                "metadata": {
                    **template["metadata"], "name": f"{name}-{letters(f'{name}{number}{documents.precise()}', 5)}",
                    "namespace": self.hands.namespace, "ownerReferences": [documents.owner(replica_set)],
                },
            }  # fmt: skip
            made = await self.hands.create(PODS, body)
            self.pods[made["metadata"]["name"]] = made
            told = f"Created pod: {made['metadata']['name']}"
            await self.hands.tell(documents.event(replica_set, "SuccessfulCreate", told, by="replicaset-controller"))
        for pod in mine[: max(0, len(mine) - wanted)]:
            self.pods.pop(pod["metadata"]["name"], None)
            await self.hands.delete(PODS, pod["metadata"]["name"])
        counted = {"replicas": wanted, "readyReplicas": sum(map(is_ready, mine))}
        if replica_set.get("status", {}) | counted != replica_set.get("status"):
            replica_set["status"] = replica_set.get("status", {}) | counted
            await self.hands.patch(REPLICA_SETS, name, {"spec": {"replicas": wanted}})
            await self.hands.patch(REPLICA_SETS, name, {"status": counted}, "status")

    async def tell(self, deployment: Object, new: Object | None, sets: list[Object]) -> None:
        """The status, where it is another."""
        metadata, wanted = deployment["metadata"], deployment["spec"].get("replicas", 1)
        every = [pod for one in sets for pod in self.of(one, self.pods)]
        ready = sum(map(is_ready, every))
        updated = len(self.of(new, self.pods)) if new is not None else 0
        enough = ready >= wanted
        done = enough and updated == wanted == len(every)
        name = new["metadata"]["name"] if new is not None else ""
        counts = {
            "observedGeneration": metadata["generation"], "replicas": len(every), "updatedReplicas": updated,
            "readyReplicas": ready, "availableReplicas": ready, "unavailableReplicas": max(0, wanted - ready),
        }  # fmt: skip
        before = deployment.get("status") or {}
        if counts == {key: before.get(key, 0) for key in counts} and before.get("conditions"):
            return
        conditions = [
            documents.condition("Available", True, "MinimumReplicasAvailable", "Deployment has minimum availability.")
            if enough
            else documents.condition(
                "Available", False, "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
            ),
            documents.condition("Progressing", True, "NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
                                f'ReplicaSet "{name}" has successfully progressed.' if done
                                else f'ReplicaSet "{name}" is progressing.'),
        ]  # fmt: skip
        deployment["status"] = {**counts, "conditions": conditions}
        await self.hands.patch(DEPLOYMENTS, metadata["name"], {"status": deployment["status"]}, "status")


class Jobs:
    """The controller of Jobs with one Pod."""

    def __init__(self, hands: Hands) -> None:
        """Nothing happens yet."""
        self.hands = hands
        self.known: dict[str, Object] = {}

    async def run(self) -> None:
        """Look after all of them."""
        self.hands.spawn(self.hands.follow(PODS, self.pod_changed, lambda _: None))
        await self.hands.follow(JOBS, self.changed, self.gone)

    def changed(self, job: Object) -> None:
        """A new one gets its Pod."""
        uid = job["metadata"]["uid"]
        if uid not in self.known and "deletionTimestamp" not in job["metadata"]:
            self.known[uid] = job
            self.hands.spawn(self.begin(job))

    def gone(self, name: str) -> None:
        """Forget it."""
        self.known = {uid: job for uid, job in self.known.items() if job["metadata"]["name"] != name}

    async def begin(self, job: Object) -> None:
        """Its Pod."""
        metadata, template = job["metadata"], job["spec"]["template"]
        own = {"batch.kubernetes.io/job-name": metadata["name"], "job-name": metadata["name"]}
        labels = {**(template.get("metadata") or {}).get("labels", {}), **own}
        body: Object = {
            "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": {
                **(template.get("metadata") or {}), "namespace": metadata["namespace"], "labels": labels,
                "name": f"{metadata['name']}-{letters(metadata['uid'], 5)}",
                "ownerReferences": [documents.owner(job)],
            },
        }  # fmt: skip
        await self.hands.create(PODS, body)
        status = {"active": 1, "startTime": documents.now()}
        await self.hands.patch(JOBS, metadata["name"], {"status": status}, "status")

    def pod_changed(self, pod: Object) -> None:
        """A Pod that has ended ends its Job."""
        phase = pod.get("status", {}).get("phase")
        owner = next((one["uid"] for one in pod["metadata"].get("ownerReferences") or ()), "")
        if owner in self.known and phase in ("Succeeded", "Failed"):
            self.hands.spawn(self.end(self.known[owner], phase == "Succeeded"))

    async def end(self, job: Object, well: bool) -> None:
        """Its status."""
        kind = "Complete" if well else "Failed"
        reason = "CompletionsReached" if well else "BackoffLimitExceeded"
        count = {"succeeded": 1} if well else {"failed": 1}
        status = {"active": 0, **count, "conditions": [documents.condition(kind, True, reason)]}
        if well:
            status["completionTime"] = documents.now()
        await self.hands.patch(JOBS, job["metadata"]["name"], {"status": status}, "status")


def letters(text: str, count: int) -> str:
    """So many letters of a name that is made up."""
    return "".join(LETTERS[byte % len(LETTERS)] for byte in hashlib.sha256(text.encode()).digest()[:count])


def template_hash(template: Object) -> str:
    """The pod-template-hash."""
    return letters(json.dumps(template, sort_keys=True), 10)


def revision(replica_set: Object) -> int:
    """Of a ReplicaSet."""
    return int(replica_set["metadata"].get("annotations", {}).get(REVISION, 0))


def is_ready(pod: Object) -> bool:
    """Whether its condition Ready holds."""
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions") or ()
    )
