"""One run as the cluster has it now, with its TaskRuns, and the pods of those that wait."""

import asyncio
from dataclasses import dataclass

from nearedge.api.cluster.connection import StatusError
from nearedge.api.cluster.resources import PIPELINE_RUNS, PODS, TASK_RUNS, Object
from nearedge.api.core.models import Run
from nearedge.api.core.tekton import summaries, task_statuses
from nearedge.api.core.tekton.listing import RUN_LABEL
from nearedge.api.core.tekton.reach import Reach
from nearedge.api.problems import missing

MOST_PODS = 20
"""Pods that are looked at for why they wait."""


@dataclass(frozen=True)
class Looking:
    """Asks the cluster about single runs."""

    reach: Reach

    async def run(self, name: str, token: str) -> Run:
        """One run. Raises ProblemError 404."""
        item, taskruns = await self.documents(name, token)
        return await self.whole(item, taskruns, token)

    async def whole(self, item: Object, taskruns: list[Object], token: str) -> Run:
        """A PipelineRun and its TaskRuns as the API shows them."""
        summary = summaries.summary(item)
        pods = await self.waiting_pods(taskruns, token)
        return Run(
            **summary.model_dump(),
            params=summaries.named((item.get("spec") or {}).get("params")),
            results=summaries.named((item.get("status") or {}).get("results")),
            tasks=task_statuses.statuses(item, taskruns, pods),
        )

    async def documents(self, name: str, token: str) -> tuple[Object, list[Object]]:
        """A PipelineRun and its TaskRuns. Raises ProblemError 404."""
        item = await self.item(name, token)
        return item, await self.reach.every(TASK_RUNS, token, f"{RUN_LABEL}={name}")

    async def item(self, name: str, token: str) -> Object:
        """A PipelineRun. Raises ProblemError 404."""
        try:
            return await self.reach.cluster.get(self.reach.path(PIPELINE_RUNS, name), token=self.reach.token(token))
        except StatusError as error:
            if error.code == 404:
                raise missing(f"run {name}: there is none; GET /api/v1/runs lists those there are") from error
            raise

    async def waiting_pods(self, taskruns: list[Object], token: str) -> dict[str, Object]:
        """The pods of TaskRuns that wait, by name, as far as the caller may see them."""
        names = [
            str(one["status"].get("podName") or "")
            for one in taskruns
            if task_statuses.waiting(one) and one.get("status")
        ]
        found = await asyncio.gather(*(self.pod(name, token) for name in names[:MOST_PODS] if name))
        return {str(pod["metadata"]["name"]): pod for pod in found if pod is not None}

    async def pod(self, name: str, token: str) -> Object | None:
        """A pod, None where there is none, or it is not for the caller to see."""
        try:
            return await self.reach.cluster.get(self.reach.path(PODS, name), token=self.reach.token(token))
        except StatusError as error:
            if error.code in (403, 404):
                return None
            raise
