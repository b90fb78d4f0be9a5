"""One PipelineRun's life: which Task runs when, what is said of it meanwhile, and what comes of it; see `tekton`."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from nearedge.api.cluster.resources import PIPELINE_RUNS, TASK_RUNS, Object
from nearedge.runner import (
    children,
    conditions,
    graph,
    matrix,
    parameters,
    results,
    substitution,
)
from nearedge.runner.conditions import Decision, Facts, Skip, State
from nearedge.runner.model import Pipeline, PipelineTask
from nearedge.runner.substitution import Scope, Value, references
from tests.cluster_world import documents, tekton_documents
from tests.cluster_world.tekton_resolving import FaultError, Resolver
from tests.cluster_world.tekton_tasks import Child, TaskRunner
from tests.cluster_world.world import Hands

GRACEFUL = ("CancelledRunFinally", "StoppedRunFinally")


class Run:
    """One PipelineRun."""

    def __init__(self, hands: Hands, claim: Callable[[str], Path], document: Object) -> None:
        """Nothing happens yet. `claim` gives the folder of a volume claim."""
        self.hands, self.claim, self.document = hands, claim, document
        self.name: str = document["metadata"]["name"]
        self.uid: str = document["metadata"]["uid"]
        self.asked: str = document["spec"].get("status", "")
        self.news = asyncio.Event()
        self.work: asyncio.Task[None] | None = None
        self.states: dict[str, State] = {}
        self.skips: dict[str, Skip] = {}
        self.children: dict[str, list[Child]] = {}
        self.going: dict[asyncio.Task[None], Child] = {}
        self.scope = Scope({})
        self.params: dict[str, Value] = {}
        self.volumes: dict[str, Path] = {}
        self.status: Object = {}
        self.last: tuple[Object, str] | None = None

    def ask(self, status: str) -> None:
        """Its spec.status is this by now."""
        if status != self.asked:
            self.asked = status
            self.news.set()

    async def begin(self) -> None:
        """All of it."""
        while self.asked == "PipelineRunPending":
            await self.tell(None, "PipelineRunPending", f'PipelineRun "{self.name}" is pending')
            await self.wait()
        self.status = {"startTime": documents.now()}
        await self.tell(None, "Started", "")
        try:
            resolved = await Resolver(self.hands, self.claim, self.document).resolved()
        except FaultError as error:
            await self.tell(False, error.reason, str(error))
            return
        self.params, self.volumes, self.scope = resolved.params, resolved.volumes, resolved.scope
        self.status["pipelineSpec"] = resolved.pipeline.spec
        try:
            await self.carry_out(resolved.pipeline)
        except asyncio.CancelledError:
            for task in self.going:
                task.cancel()
            raise

    async def carry_out(self, pipeline: Pipeline) -> None:
        """`tasks`, then `finally`, then the end."""
        self.states = {task.name: State.WAITING for task in pipeline.every()}
        parents = graph.dependencies(pipeline.tasks)
        await self.loop(pipeline.tasks, "tasks", parents)
        if pipeline.final and self.asked != "Cancelled":
            self.status["finallyStartTime"] = documents.now()
            for task in pipeline.tasks:
                state = self.states[task.name]
                self.scope.values["tasks", task.name, "status"] = conditions.task_status(state)
            mine = {task.name: self.states[task.name] for task in pipeline.tasks}
            self.scope.values["tasks", "status"] = conditions.aggregate_status(mine)
            await self.loop(pipeline.final, "finally", {})
        await self.conclude(pipeline)

    async def loop(self, tasks: tuple[PipelineTask, ...], member: str, parents: dict[str, set[str]]) -> None:
        """Start what may start and wait, until all of them are done."""
        while True:
            if self.asked == "Cancelled" or (self.asked == "CancelledRunFinally" and member == "tasks"):
                await self.cancel_all()
            for task in tasks:
                if self.states[task.name] is State.WAITING:
                    await self.advance(task, member, parents)
            await self.going_on()
            if all(self.states[task.name].done for task in tasks):
                return
            if not self.going and any(self.states[task.name] is State.WAITING for task in tasks):
                continue
            await self.wait()

    async def wait(self) -> None:
        """Until a TaskRun has ended or something else is asked for."""
        asked = asyncio.create_task(self.news.wait())
        try:
            await asyncio.wait([asked, *self.going], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        self.news.clear()
        for task in [task for task in self.going if task.done()]:
            self.ended(self.going.pop(task))

    def ended(self, child: Child) -> None:
        """A TaskRun is over; the Task is when all of its TaskRuns are."""
        name = child.task.name
        mine = self.children[name]
        if not all(one.reason for one in mine) or any(one in mine for one in self.going.values()):
            return
        reasons = {one.reason for one in mine}
        if reasons <= {"Succeeded", "FailureIgnored"}:
            self.states[name] = State.SUCCEEDED
        else:
            self.states[name] = State.CANCELLED if reasons <= {"Succeeded", "TaskRunCancelled"} else State.FAILED
        found = [one.results for one in mine]
        self.scope.values |= results.of_tasks(found, name, child.task.matrix is not None)

    async def advance(self, task: PipelineTask, member: str, parents: dict[str, set[str]]) -> None:
        """Start or skip a Task whose time has come."""
        facts = Facts(
            self.states, self.skips, cancelled=(bool(self.asked) and member == "tasks") or self.asked == "Cancelled",
            stopping=member == "tasks" and any(one in (State.FAILED, State.CANCELLED) for one in self.states.values()),
        )  # fmt: skip
        if member == "tasks" or self.asked == "Cancelled":
            decision = conditions.decide(task, parents.get(task.name, set()), facts, self.scope)
        else:
            decision = conditions.decide_final(task, facts, self.scope)
        if decision is Decision.RUN:
            await self.start(task, member)
        elif decision is Decision.MISSING:
            self.skip(task, Skip.MISSING_RESULTS)
        elif isinstance(decision, Skip):
            self.skip(task, Skip.CANCELLED if self.asked else decision)

    def skip(self, task: PipelineTask, why: Skip) -> None:
        """It will not run."""
        self.states[task.name], self.skips[task.name] = State.SKIPPED, why

    async def start(self, task: PipelineTask, member: str) -> None:
        """Its TaskRun, or one for each combination of its matrix."""
        self.states[task.name] = State.RUNNING
        mine = self.children[task.name] = []
        given = {name: substitution.value(template, self.scope) for name, template in task.params.items()}
        if task.embedded:
            inherited = {param.name for param in task.task.params if param.default is None} & set(self.params)
            given = {name: self.params[name] for name in inherited} | given
        combinations = [{}] if task.matrix is None else matrix.combinations(task.matrix, self.scope)
        for number, combination in enumerate(combinations):
            where = f"Task {task.name}"
            params = parameters.resolve(task.task.params, given | combination, where)
            tail = task.name if task.matrix is None else f"{task.name}-{number}"
            name = children.child_name(self.name, tail)
            body = tekton_documents.task_run(self.document, task, name, given | combination, member)
            volumes = {
                one.name: self.volumes[one.workspace] for one in task.workspaces if one.workspace in self.volumes
            }
            around = self.scope if task.embedded else Scope({})
            child = Child(await self.hands.create(TASK_RUNS, body), task, params, around, volumes)
            mine.append(child)
            work = self.hands.spawn(TaskRunner(self.hands).run(child))
            self.going[work] = child
        self.last = None

    async def cancel_all(self) -> None:
        """All that runs."""
        for task in self.going:
            task.cancel()
        if self.going:
            await asyncio.wait(self.going)
        for task in list(self.going):
            self.ended(self.going.pop(task))

    async def going_on(self) -> None:
        """Say how far it is, where that is another than before."""
        self.status["childReferences"] = [
            tekton_documents.child_reference(child.document, child.task)
            for some in self.children.values()
            for child in some
        ]
        if self.skips:
            self.status["skippedTasks"] = [{"name": name, "reason": why.value} for name, why in self.skips.items()]
        reason = "Running"
        if self.asked in GRACEFUL:
            reason = self.asked.replace("RunFinally", "RunningFinally")
        elif any(state in (State.FAILED, State.CANCELLED) for state in self.states.values()) and self.going:
            reason = "Stopping"
        message = tekton_documents.tally(self.states, over=False)
        if self.last != (self.status, message):
            self.last = ({**self.status}, message)
            await self.tell(None, reason, message)

    async def conclude(self, pipeline: Pipeline) -> None:
        """What came of it."""
        states = set(self.states.values())
        message = tekton_documents.tally(self.states, over=True)
        failed = State.FAILED in states
        if self.asked == "Cancelled":
            reason, message = "Cancelled", f'PipelineRun "{self.name}" was cancelled'
        elif failed:
            reason = "Failed"
        elif self.asked in GRACEFUL or State.CANCELLED in states:
            reason = "Cancelled"
        else:
            reason = "Completed" if State.SKIPPED in states else "Succeeded"
        found: dict[str, Value] = {}
        for result in pipeline.results:
            template = result.value or ""
            if all(self.scope.find(one) is not None for one in references(template)):
                found[result.name] = substitution.value(template, self.scope)
        if found:
            self.status["results"] = tekton_documents.results(found)
        self.status["completionTime"] = documents.now()
        await self.tell(reason in ("Succeeded", "Completed"), reason, message)

    async def tell(self, done: bool | None, reason: str, message: str) -> None:
        """Write the status."""
        whole = self.status | {"conditions": tekton_documents.succeeded(done, reason, message)}
        if done is not None:
            whole.setdefault("completionTime", documents.now())
        await self.hands.patch(PIPELINE_RUNS, self.name, {"status": whole}, "status")
