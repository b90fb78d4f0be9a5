"""A TaskRun's life as Tekton's taskrun controller makes it: its Pod, its steps one after the other, its results."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.api.cluster.resources import PODS, TASK_RUNS, Object
from nearedge.runner import results, scopes, substitution
from nearedge.runner.model import PipelineTask
from nearedge.runner.scopes import Places, TaskIdentity
from nearedge.runner.substitution import Scope, Value
from tests.cluster_world import documents, tekton_documents
from tests.cluster_world.pods import ABSENT, Pod
from tests.cluster_world.world import Hands


@dataclass
class Child:
    """One TaskRun of a PipelineRun; `reason` is of its condition once it has ended."""

    document: Object
    task: PipelineTask
    params: Mapping[str, Value]
    around: Scope
    volumes: Mapping[str, Path]
    results: dict[str, Value] = field(default_factory=dict)
    reason: str = ""
    pod: Pod | None = None

    @property
    def name(self) -> str:
        """Of the TaskRun."""
        return str(self.document["metadata"]["name"])


class TaskRunner:
    """Carries out TaskRuns."""

    def __init__(self, hands: Hands) -> None:
        """Nothing happens yet."""
        self.hands = hands

    async def run(self, child: Child) -> None:
        """To its end, with its retries; cancelled: the TaskRun is cancelled and its Pod removed, as Tekton does."""
        past: list[Object] = []
        try:
            for attempt in range(child.task.retries + 1):
                status = await self.attempt(child, attempt, past)
                if child.reason == "Succeeded" or attempt == child.task.retries:
                    break
                past.append(status)
        except asyncio.CancelledError:
            child.reason = child.reason or "TaskRunCancelled"
            await asyncio.shield(self.hands.spawn(self.cut_off(child)))
            raise

    async def attempt(self, child: Child, number: int, past: list[Object]) -> Object:
        """One attempt; its status in the end."""
        child.reason, begun = "", documents.now()
        base: Object = {"startTime": begun, "taskSpec": child.task.task.spec, "retriesStatus": list(past) or None}
        await self.tell(child, base, None, "Started", "")
        places = Places(self.hands.folder(child.name), {name: child.volumes.get(name) for name in self.names(child)})
        for folder in (places.results, places.steps, places.temporary, places.work, places.home):
            folder.mkdir(parents=True)
        scope = self.scope(child, places, number)
        suffix = f"-retry{number}" if number else ""
        name = f"{child.name}-pod{suffix}"
        containers = [self.container(step, scope, places) for step in child.task.task.steps]
        body = tekton_documents.pod(child.document, name, containers)
        pod = child.pod = Pod(self.hands, await self.hands.create(PODS, body))
        base["podName"] = name
        await pod.write()
        await self.tell(child, base | {"steps": tekton_documents.steps(pod)}, None, "Pending", "Pending")
        if not await pod.land():
            return await self.never_started(child, base)
        return await self.carry_out(child, pod, places, base)

    async def never_started(self, child: Child, base: Object) -> Object:
        """The Pod has to wait for ever, or its image cannot be pulled."""
        assert child.pod is not None
        if child.pod.unschedulable:
            await self.tell(child, base, None, "ExceededNodeResources", "TaskRun Pod exceeded available resources")
            await asyncio.Event().wait()
        lacking = next(one for one in child.pod.containers if ABSENT in one["image"])
        child.reason = "TaskRunImagePullFailed"
        message = (
            f'the step "{lacking["name"].removeprefix("step-")}" in TaskRun "{child.name}" failed to pull the image '
            f'"{lacking["image"]}". The pod errored with the message: "Back-off pulling image "{lacking["image"]}"."'
        )
        await self.hands.delete(PODS, child.pod.name)
        steps = tekton_documents.cut_off(child.pod, child.reason, message)
        return await self.tell(child, base | {"steps": steps}, False, child.reason, message)

    async def carry_out(self, child: Child, pod: Pod, places: Places, base: Object) -> Object:
        """All steps; those behind one that failed are skipped."""
        for container in pod.containers:
            await pod.start(container["name"])
            pod.ready[container["name"]] = True
        pod.phase = "Running"
        await pod.write()
        running = "Not all Steps in the Task have finished executing"
        await self.tell(child, base | {"steps": tekton_documents.steps(pod)}, None, "Running", running)
        failed, skipped = "", []
        for step, container in zip(child.task.task.steps, pod.containers, strict=True):
            name = container["name"]
            if failed:
                skipped.append(name)
                pod.end(name, 1)
            else:
                code = await pod.carry_out(name, places.work)
                pod.end(name, code)
                failed = name if code and step.get("onError") != "continue" else ""
            await pod.write()
            if container is not pod.containers[-1]:
                await self.tell(child, base | {"steps": tekton_documents.steps(pod, skipped)}, None, "Running", running)
        return await self.conclude(child, pod, places, base, failed, skipped)

    async def conclude(
        self, child: Child, pod: Pod, places: Places, base: Object, failed: str, skipped: list[str]
    ) -> Object:
        """What came of it."""
        pod.phase = "Failed" if failed else "Succeeded"
        await pod.write()
        child.reason, message = "Succeeded", "All Steps have completed executing"
        try:
            child.results = results.read(child.task.task, places.results, Scope({}))
        except results.ResultsError as error:
            child.reason, message = error.reason, str(error)
        if failed:
            code = pod.states[failed]["terminated"]["exitCode"]
            child.reason, message = "Failed", f'"{failed}" exited with code {code}'
            if child.task.ignore_failure:
                child.reason = "FailureIgnored"
        more = {"steps": tekton_documents.steps(pod, skipped), "results": tekton_documents.typed(child.results)}
        return await self.tell(child, base | more, child.reason == "Succeeded", child.reason, message)

    async def tell(self, child: Child, status: Object, done: bool | None, reason: str, message: str) -> Object:
        """Write the TaskRun's status."""
        whole = status | {"conditions": tekton_documents.succeeded(done, reason, message)}
        if done is not None:
            whole["completionTime"] = documents.now()
        await self.hands.patch(TASK_RUNS, child.name, {"status": whole}, "status")
        return whole

    async def cut_off(self, child: Child) -> None:
        """Cancelled, or out of time: spec says so, the Pod goes, and with it its logs."""
        spec = {"status": "TaskRunCancelled", "statusMessage": tekton_documents.CANCELLED}
        await self.hands.patch(TASK_RUNS, child.name, {"spec": spec})
        message = f'TaskRun "{child.name}" was cancelled. {tekton_documents.CANCELLED}'
        status: Object = {}
        if child.pod is not None:
            await self.hands.delete(PODS, child.pod.name)
            status = {"steps": tekton_documents.cut_off(child.pod, child.reason, message)}
        await self.tell(child, status, False, child.reason, message)

    def names(self, child: Child) -> list[str]:
        """The Task's workspaces."""
        return [workspace.name for workspace in child.task.task.workspaces]

    def scope(self, child: Child, places: Places, number: int) -> Scope:
        """What its steps may name."""
        metadata = child.document["metadata"]
        identity = TaskIdentity(child.name, metadata["uid"], number)
        scope = scopes.of_task(child.task.task, child.params, places, identity, child.around)
        scope.values["context", "taskRun", "namespace"] = metadata["namespace"]
        return scope

    def container(self, step: Object, scope: Scope, places: Places) -> Object:
        """The container of a step; a script is handed to a shell."""
        own = Scope(scope.values | scopes.step_results(step, places))
        done = substitution.document({name: step[name] for name in FIELDS if name in step}, own)
        if "script" in done:
            done["command"], done["args"] = ["sh", "-c", done.pop("script"), "sh"], done.get("args") or []
        if "computeResources" in done:
            done["resources"] = done.pop("computeResources")
        return {"name": f"step-{step['name']}", **done}


FIELDS = ("image", "command", "args", "script", "env", "computeResources")
