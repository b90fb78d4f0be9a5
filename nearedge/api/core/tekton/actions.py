"""What is done to a run that is there: cancel, retry, delete; safe where two do it at once."""

from dataclasses import dataclass

from nearedge.api.cluster.connection import StatusError
from nearedge.api.cluster.resources import PIPELINE_RUNS, Object
from nearedge.api.core.models import ENDED, State
from nearedge.api.core.tekton import declared, pipelineruns, summaries
from nearedge.api.core.tekton.looking import Looking
from nearedge.api.core.tekton.starts import refused
from nearedge.api.problems import conflict
from nearedge.errors import InputError

TRIES = 5
"""Times that a run is read again where it changed under our hands."""
GENTLE, AT_ONCE = "CancelledRunFinally", "Cancelled"
STOPPING = ("CancelledRunFinally", "StoppedRunFinally", "Cancelled")
"""Values of spec.status with which a run ends (Tekton, "Cancelling a PipelineRun")."""
OF_THE_CLUSTER = ("tekton.dev/", "nearedge.dev/", pipelineruns.MANAGED_BY)
"""Labels that the run that takes a failed one's place gets anew."""


@dataclass(frozen=True)
class Actions:
    """Changes runs."""

    looking: Looking

    async def cancel(self, name: str, token: str) -> None:
        """Stop a run; its `finally` Tasks run. Asked again, they are stopped as well. Raises ProblemError 409."""
        for left in reversed(range(TRIES)):
            item = await self.looking.item(name, token)
            state = state_of(item)
            if state in ENDED:
                raise conflict(f"run {name}: has ended ({state}); there is nothing to cancel")
            before = item["spec"].get("status", "")
            if before == AT_ONCE:
                return
            version = item["metadata"]["resourceVersion"]
            wanted = AT_ONCE if before in STOPPING else GENTLE
            body = {"metadata": {"resourceVersion": version}, "spec": {"status": wanted}}
            reach = self.looking.reach
            try:
                await reach.cluster.patch(reach.path(PIPELINE_RUNS, name), body, token=reach.token(token))
                return
            except StatusError as error:  # 400: Tekton refuses it where the run has ended meanwhile
                if error.code not in (400, 409) or not left:
                    raise refused(error) from error

    async def retry(self, name: str, token: str) -> str:
        """Start another run of the same; its name. Raises ProblemError 409 where the run goes on or ended well."""
        item = await self.looking.item(name, token)
        state = state_of(item)
        if state not in ENDED:
            raise conflict(f"run {name}: goes on ({state}); cancel it first")
        if state == "Succeeded":
            raise conflict(f"run {name}: has ended well; there is nothing to retry")
        reach, again = self.looking.reach, retry_name(item)
        caller = await reach.name(token)
        spec = {key: value for key, value in item["spec"].items() if key != "status"}
        own = {key: text for key, text in summaries.summary(item).labels.items() if not key.startswith(OF_THE_CLUSTER)}
        labels = pipelineruns.labels_for(own, caller) | {summaries.RETRY_OF: name}
        notes = {summaries.OWNER_NAME: caller, summaries.CONTENT: await self.content(spec, token)}
        body = pipelineruns.document(spec, labels, notes, name=again)
        try:
            await reach.cluster.create(reach.path(PIPELINE_RUNS), body, token=reach.token(token))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise refused(error) from error
            await self.check_retry(name, again, token)
        return again

    async def check_retry(self, name: str, again: str, token: str) -> None:
        """Raise ProblemError 409 where the run that took this one's place has ended, or is none of ours."""
        there = await self.looking.item(again, token)
        if (there["metadata"].get("labels") or {}).get(summaries.RETRY_OF) != name:
            raise conflict(f"run {again}: is there already, and no retry of {name}; delete it first")
        state = state_of(there)
        if state in ENDED:
            raise conflict(f"run {name}: was tried again as {again} ({state}); retry that one")

    async def content(self, spec: Object, token: str) -> str:
        """The digest of what a run does, as the Pipeline is now; empty where there is none to name."""
        try:
            pipeline = await declared.pipeline(
                self.looking.reach, token, str((spec.get("pipelineRef") or {}).get("name"))
            )
            given = summaries.named(spec.get("params"))
            values = pipelineruns.values_of(pipeline, given, "Pipeline")
            tasks = await declared.used_tasks(self.looking.reach, token, pipeline)
        except InputError:
            return ""
        return pipelineruns.content_of(spec, values, pipeline, tasks)

    async def delete(self, name: str, token: str) -> None:
        """Remove a run that has ended, with its TaskRuns and pods. Raises ProblemError 409."""
        item = await self.looking.item(name, token)
        state = state_of(item)
        if state not in ENDED:
            raise conflict(f"run {name}: goes on ({state}); cancel it first")
        metadata, reach = item["metadata"], self.looking.reach
        options = {
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        }  # fmt: skip
        try:
            await reach.cluster.delete(reach.path(PIPELINE_RUNS, name), token=reach.token(token), body=options)
        except StatusError as error:
            if error.code != 404:  # 404: somebody was faster
                raise


def state_of(item: Object) -> State:
    """The state of a PipelineRun."""
    return summaries.state_of(summaries.condition_of(item.get("status") or {}))


def retry_name(item: Object) -> str:
    """The name of the run that takes a failed one's place: there is one, however often it is asked for."""
    metadata = item["metadata"]
    base = metadata["name"].partition("-retry-")[0][:48].rstrip("-.")
    return f"{base}-retry-{pipelineruns.sha256(metadata['uid'])[:6]}"
