"""Tekton's pipelinerun controller: PipelineRuns become TaskRuns by the rules of order, skipping and `finally`.

The rules themselves (graph, when, matrix, skip reasons, results) are the runner's, which was held against Tekton's own
sources. Modelled: pipelineRef by name and pipelineSpec, params and their faults, runAfter and order by results, when,
matrix, retries, onError, finally, results, spec.status (Cancelled, CancelledRunFinally, StoppedRunFinally,
PipelineRunPending), unschedulable Pods, images that cannot be pulled. Not modelled: resolvers, custom tasks, timeouts,
sidecars, StepActions, the affinity assistant, admission by the webhook.
"""

from pathlib import Path

from nearedge.api.cluster.resources import PIPELINE_RUNS, Object
from tests.cluster_world.tekton_runs import Run
from tests.cluster_world.world import Hands


class Tekton:
    """The controller."""

    def __init__(self, hands: Hands) -> None:
        """Nothing happens yet."""
        self.hands = hands
        self.runs: dict[str, Run] = {}
        self.claims: dict[str, Path] = {}

    async def run(self) -> None:
        """Look after all PipelineRuns."""
        await self.hands.follow(PIPELINE_RUNS, self.changed, self.gone)

    def changed(self, document: Object) -> None:
        """A new one is begun; an older one may have another spec.status by now."""
        metadata = document["metadata"]
        known = self.runs.get(metadata["name"])
        if known is not None and known.uid == metadata["uid"]:
            known.ask(document["spec"].get("status", ""))
            return
        if is_over(document) or metadata.get("deletionTimestamp"):
            return
        run = self.runs[metadata["name"]] = Run(self.hands, self.claim, document)
        run.work = self.hands.spawn(run.begin())

    def gone(self, name: str) -> None:
        """Deleted: what runs ends."""
        run = self.runs.pop(name, None)
        if run is not None and run.work is not None:
            run.work.cancel()

    def claim(self, name: str) -> Path:
        """The folder of a volume claim, the same for every run that names it."""
        return self.claims.setdefault(name, self.claims.get(name) or self.hands.folder(f"claim-{name}"))


def is_over(document: Object) -> bool:
    """Whether it had ended before we came."""
    return any(one.get("status") != "Unknown" for one in (document.get("status") or {}).get("conditions") or ())
