"""Bringing an image to a site's node before a model is to run it, by a pod in the models' namespace."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from nearedge.api.cluster.connection import Cluster, StatusError
from nearedge.api.cluster.resources import DEPLOYMENTS, EVENTS, PODS, Object, path
from nearedge.api.edge.cluster import pulls, reduced
from nearedge.api.edge.control import no_pre_pull
from nearedge.api.edge.desired import Image
from nearedge.api.edge.held import state_of
from nearedge.api.edge.manage_documents import PrePull
from nearedge.api.problems import ProblemError, conflict
from nearedge.errors import OutsideError

PATIENCE_S = 3.0
"""How long an answer that only looks waits for the cluster."""
GOES_S, LOOK_S = 10.0, 0.2
"""How long the pod before may take to go, and how often we look."""
MOST_EVENTS = 50
NONE = "nobody asked for one"
Wanted = Callable[[str, str | None], Awaitable[Image]]
"""The image of a model by its digest, or that which git wants. Raises ProblemError 409 where there is none."""


class Pulling:
    """The pre-pulls of a site."""

    def __init__(self, cluster: Cluster, namespace: str, wanted: Wanted) -> None:
        """`namespace` is that of the models."""
        self.cluster, self.namespace, self.wanted = cluster, namespace, wanted

    def where(self, model: str) -> str:
        """The path of a model's pod."""
        return path(PODS, self.namespace, pulls.name_of(model))

    async def pod(self, model: str) -> Object | None:
        """The pod of a model's newest pre-pull, None where there is none. Raises what the cluster says."""
        try:
            return await self.cluster.get(self.where(model))
        except StatusError as error:
            if error.code != 404:
                raise
            return None

    async def stands(self, model: str) -> PrePull:
        """How the newest stands. Never fails: the answer says what is missing."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                made = await self.pod(model)
                if made is not None:
                    return await self.told(model, made)
                return self.none(model, NONE, "")
        except TimeoutError:
            fault = f"no answer of the cluster within {PATIENCE_S:g} s"
        except (ProblemError, OutsideError) as error:
            fault = str(error)
        return self.none(model, fault, fault)

    @staticmethod
    def none(model: str, reason: str, fault: str) -> PrePull:
        """There is none, or we do not know."""
        source = state_of("cluster", None if fault else time.time(), fault)
        return no_pre_pull(model, reason).model_copy(update={"sources": [source]})

    async def told(self, model: str, made: Object) -> PrePull:
        """The document of a pod; where the cluster does not tell of events it is without a size."""
        fields = f"involvedObject.kind=Pod,involvedObject.name={made['metadata']['name']}"
        try:
            found = await self.cluster.get(path(EVENTS, self.namespace), fieldSelector=fields, limit=MOST_EVENTS)
        except (ProblemError, OutsideError):
            found = {}
        own = made["metadata"].get("uid")
        events = [one for one in found.get("items") or [] if (one.get("involvedObject") or {}).get("uid") == own]
        try:
            return pulls.document(model, made, events, state_of("cluster", time.time(), ""))
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise OutsideError(f"pod {pulls.name_of(model)} is none of ours: {error!r}"[:300]) from error

    async def begin(self, model: str, digest: str | None, who: str) -> PrePull:
        """Have a pod pull an image. Raises ProblemError 409 where there is none to pull, and what the cluster says."""
        image = await self.wanted(model, digest)
        deployment = await self.deployment(model)
        workload = reduced.of_deployment(deployment)
        if workload is not None and workload.digest == image.digest:
            raise conflict(f"model {model!r}: its Deployment asks for {image.digest} already")
        before = await self.pod(model)
        if before is not None:
            if not pulls.is_ours(before):
                raise conflict(f"model {model!r}: the pod {pulls.name_of(model)} is somebody else's")
            same = before["spec"]["containers"][0]["image"] == image.name
            if same and pulls.state(before)[0] != "failed" and not pulls.old(before):
                return await self.told(model, before)
            if not pulls.stuck(before):
                other = before["spec"]["containers"][0]["image"]
                raise conflict(f"model {model!r}: {other} is on its way; wait for its end")
            await self.removed(model, before)
        made = await self.cluster.create(path(PODS, self.namespace), pulls.pod(model, image, deployment, who))
        return await self.told(model, made)

    async def deployment(self, model: str) -> Object:
        """The Deployment that serves a model. Raises ProblemError 409 where there is none."""
        labels = f"{reduced.SELECTOR},{reduced.NAME}={model}"
        found = await self.cluster.get(path(DEPLOYMENTS, self.namespace), labelSelector=labels, limit=1)
        for one in found.get("items") or []:
            return {"apiVersion": "apps/v1", "kind": "Deployment", **one}
        raise conflict(f"model {model!r}: the cluster has no Deployment of it, so where it is to run is not known")

    async def removed(self, model: str, before: Object) -> None:
        """Remove that pod and wait until it is gone. Raises ProblemError 409 where it stays, or another is there."""
        uid = before["metadata"]["uid"]
        body: Object = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        try:
            await self.cluster.delete(self.where(model), body=body)
        except StatusError as error:
            if error.code != 404:
                raise
        end = time.monotonic() + GOES_S
        while (there := await self.pod(model)) is not None and there["metadata"]["uid"] == uid:
            if time.monotonic() > end:
                raise conflict(f"model {model!r}: the pod of the pre-pull before does not go; try again")
            await asyncio.sleep(LOOK_S)
