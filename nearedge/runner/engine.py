"""Running a whole plan: which Task when, what is skipped, time limits, interruption, and the state on disk as it goes."""

import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from nearedge.errors import InputError, NearedgeError
from nearedge.runner import children, conditions, events, graph, results, resume, store, verdict, workspaces
from nearedge.runner.children import Child
from nearedge.runner.conditions import Decision, Facts, Skip, State
from nearedge.runner.durations import go
from nearedge.runner.events import OnEvent
from nearedge.runner.model import PipelineTask
from nearedge.runner.plan import Plan
from nearedge.runner.status import Child as ChildDocument
from nearedge.runner.status import RunStatus
from nearedge.runner.status import taskrun as taskrun_document
from nearedge.runner.store import RunFolder
from nearedge.runner.substitution import Scope
from nearedge.runner.verdict import RunResult

TICK_S = 0.5
# How many TaskRuns run at the same time, unless told otherwise; a cluster's nodes set this limit there.
PARALLEL = 8


@dataclass(frozen=True)
class Changed:
    """A thread says that a TaskRun's status changed; `ended` that it is over."""

    child: Child
    ended: bool


@dataclass(frozen=True)
class Interrupt:
    """Somebody wants the run to stop; `kill` at once."""

    kill: bool


@dataclass
class Progress:
    """Where a Task is."""

    task: PipelineTask
    state: State = State.WAITING
    skip: Skip | None = None
    running: int = 0
    children: list[Child] = field(default_factory=list)
    reused: bool = False


class Engine:
    """One run of one plan. `run` does it on the calling thread; `interrupt` may be called from anywhere."""

    def __init__(self, plan: Plan, folder: RunFolder, on_event: OnEvent, parallel: int = PARALLEL) -> None:
        """Nothing starts yet. `on_event` is called on the thread that calls `run`."""
        self.plan, self.folder, self.on_event = plan, folder, on_event
        self.queue: SimpleQueue[Changed | Interrupt] = SimpleQueue()
        self.pool = ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="taskrun")
        self.scope = Scope(plan.scope.values)
        self.progress = {task.name: Progress(task) for task in plan.pipeline.every()}
        self.parents = graph.dependencies(plan.pipeline.tasks)
        self.finals = {task.name for task in plan.pipeline.final}
        self.verdict = verdict.Verdict()
        self.sources = dict(plan.sources)
        self.steps_seen: set[tuple[str, int, str]] = set()
        self.final_phase = False
        self.started = time.monotonic()
        self.finals_started = 0.0

    def interrupt(self, kill: bool = False) -> None:
        """Stop what runs, then run `finally`; with `kill` stop at once. Safe in a signal handler."""
        self.queue.put(Interrupt(kill))

    def run(self, past: resume.Past | None = None) -> RunResult:
        """Run it to its end and return what came of it. Never raises for what a Task does."""
        self.status = RunStatus(self.plan)
        self.sources = workspaces.make(self.plan.sources, self.folder.volumes)
        self.say(events.RunStarted(self.plan.name, self.folder.path, tuple(self.progress)))
        for text in self.plan.warnings:
            self.say(events.Note(text, warning=True))
        for text in self.plan.accepted:
            self.say(events.Note(text, warning=False))
        self.save()
        try:
            if past is not None:
                self.reuse(past)
            self.loop(self.plan.pipeline.tasks)
            if not self.verdict.killed and not self.verdict.missing:
                self.run_finally()
        finally:
            self.stop_all("the runner is ending", kill=True)
            self.pool.shutdown(wait=True)
        return self.end()

    def say(self, event: events.Event) -> None:
        """Tell whoever follows."""
        self.on_event(event)

    def save(self) -> None:
        """Write run.json."""
        self.folder.write_run(self.status.document)

    def reuse(self, past: resume.Past) -> None:
        """Take over the Tasks of an earlier run of this name that need not run again."""
        for name, records in resume.reusable(self.plan, self.sources, past).items():
            progress = self.progress[name]
            progress.state, progress.reused = State.SUCCEEDED, True
            self.scope.values |= results.of_tasks(
                [record.results for record in records], name, progress.task.matrix is not None
            )
            self.verdict.reused[name] = [record.results for record in records]
            for record in records:
                self.status.status["childReferences"].append(record.reference)
                self.say(events.TaskReused(record.label))

    def loop(self, tasks: Iterable[PipelineTask]) -> None:
        """Decide, start, wait, until all of `tasks` are done."""
        mine = [self.progress[task.name] for task in tasks]
        while True:
            self.check_time()
            while any(self.advance(progress) for progress in mine if progress.state is State.WAITING):
                pass
            if all(progress.state.done for progress in mine):
                return
            self.take()

    def facts(self) -> Facts:
        """How the run stands, for the skip rules."""
        return Facts(
            states={name: progress.state for name, progress in self.progress.items()},
            skipped={name: progress.skip for name, progress in self.progress.items() if progress.skip is not None},
            stopping=self.verdict.stopping,
            cancelled=self.verdict.cancelled,
            pipeline_timed_out=self.verdict.timed_out == "pipeline",
            tasks_timed_out=self.verdict.timed_out == "tasks",
            finally_timed_out=self.verdict.finally_timed_out,
        )

    def advance(self, progress: Progress) -> bool:
        """Start or skip a waiting Task where its time has come; whether anything changed."""
        task = progress.task
        try:
            decision = (
                conditions.decide_final(task, self.facts(), self.scope)
                if task.name in self.finals
                else conditions.decide(task, self.parents[task.name], self.facts(), self.scope)
            )
        except InputError as error:
            self.give_up(progress, f"Task {task.name}: {error}")
            return True
        if decision is Decision.WAIT:
            return False
        if decision is Decision.MISSING:
            absent = results.missing(graph.result_references(task), self.scope)
            self.give_up(
                progress, f"Task {task.name}: needs $({absent[0].text}), which Task {absent[0].key[1]} did not give"
            )
        elif isinstance(decision, Skip):
            self.skip(progress, decision)
        else:
            self.start(progress)
        return True

    def give_up(self, progress: Progress, message: str) -> None:
        """A Task needs a result that is not there: as in Tekton the run fails at once, without `finally`."""
        self.verdict.missing = self.verdict.missing or message
        self.skip(progress, Skip.MISSING_RESULTS)
        self.stop_all(message, kill=False)

    def skip(self, progress: Progress, reason: Skip) -> None:
        """A Task will not run."""
        progress.state, progress.skip = State.SKIPPED, reason
        self.status.add_skipped(progress.task, reason)
        self.save()
        self.say(events.TaskSkipped(progress.task.name, reason.value))

    def start(self, progress: Progress) -> None:
        """Start a Task's TaskRuns."""
        task = progress.task
        progress.state = State.RUNNING
        for pattern in (f"{task.name}.json", f"{task.name}.*.json"):
            for record in self.folder.records.glob(pattern):
                record.unlink()
        try:
            runs = children.resolve(task, self.plan, self.scope)
            for label, params in runs:
                name = children.child_name(self.plan.name, label)
                child = Child(label, name, secrets.token_hex(8), task, params, Scope(self.scope.values))
                progress.children.append(child)
                children.bind(child, self.plan, self.sources, self.scope, self.folder.work(label))
        except NearedgeError as error:
            self.refuse(progress, error)
            return
        progress.running = len(progress.children)
        for child in progress.children:
            self.pool.submit(self.work, child)

    def refuse(self, progress: Progress, error: NearedgeError) -> None:
        """A Task whose params or workspaces do not fit: it fails without having run."""
        if not progress.children:
            child = Child(progress.task.name, self.plan.name, "", progress.task, {}, self.scope)
            progress.children.append(child)
        for child in progress.children:
            child.outcomes.append(children.fault(error))
        progress.running = 1
        self.ended(progress.children[-1])

    def work(self, child: Child) -> None:
        """Run a TaskRun; this is a thread of the pool."""
        try:
            if not child.control.stopping.is_set():
                before = resume.before(child, self.folder.path)
                children.run(child, self.plan, self.folder, lambda one: self.queue.put(Changed(one, ended=False)))
                resume.record(child, before, self.plan, self.folder)
            else:
                child.outcomes.append(verdict.not_started(child.control.message))
        except Exception as error:  # a bug must end the run, not hang it
            child.outcomes.append(verdict.bug(error))
        self.queue.put(Changed(child, ended=True))

    def take(self) -> None:
        """Wait for something to happen, at most one tick."""
        try:
            message = self.queue.get(timeout=TICK_S)
        except Empty:
            return
        if isinstance(message, Interrupt):
            self.interrupted(message.kill)
        elif message.ended:
            self.ended(message.child)
        else:
            self.changed(message.child)

    def interrupted(self, kill: bool) -> None:
        """Ctrl-C: the Tasks stop and `finally` runs; a second time everything stops."""
        self.verdict.killed = self.verdict.killed or kill or self.verdict.cancelled
        self.verdict.cancelled = True
        if self.verdict.killed or not self.final_phase:
            self.stop_all("the run was interrupted", kill=self.verdict.killed)
        if self.verdict.killed:
            for progress in self.progress.values():
                if progress.state is State.WAITING:
                    self.skip(progress, Skip.CANCELLED)

    def stop_all(self, message: str, kill: bool) -> None:
        """Stop every TaskRun that runs."""
        for progress in self.progress.values():
            if progress.state is State.RUNNING:
                for child in progress.children:
                    child.control.stop(message, kill)

    def changed(self, child: Child) -> None:
        """Keep the state on disk, and tell of attempts, steps and sidecars that began."""
        number = len(child.outcomes) - 1
        outcome = child.outcomes[number]
        if (child.label, number, "") not in self.steps_seen:
            self.steps_seen.add((child.label, number, ""))
            if number:
                last = child.outcomes[number - 1]
                self.say(events.TaskRetried(child.label, number, last.exit_status, last.message))
            self.say(events.TaskStarted(child.label, number))
        for name, backend in list(outcome.sidecars):
            if (child.label, number, f"sidecar {name}") not in self.steps_seen:
                self.steps_seen.add((child.label, number, f"sidecar {name}"))
                self.say(events.SidecarStarted(child.label, name, backend))
        for step in list(outcome.steps):
            if step.started is not None and (child.label, number, step.name) not in self.steps_seen:
                self.steps_seen.add((child.label, number, step.name))
                self.say(events.StepStarted(child.label, step.name, step.log))
        self.keep(child)

    def keep(self, child: Child) -> None:
        """Write a TaskRun's document, and the run's where it is new there."""
        folders = {name: str(path) for name, path in child.folders.items() if path is not None}
        document = ChildDocument(child.label, child.name, child.task, child.params, folders, child.uid)
        self.folder.write_taskrun(child.label, taskrun_document(document, self.plan, list(child.outcomes)))
        self.status.add_child(document)
        self.save()

    def ended(self, child: Child) -> None:
        """A TaskRun is over; the Task is when all of its TaskRuns are."""
        progress = self.progress[child.task.name]
        last = child.last
        self.keep(child)
        self.say(
            events.TaskEnded(
                child.label, last.succeeded, last.reason, last.message, last.duration_s, last.exit_status, last.log,
                dict(last.results), ignored=not last.succeeded and child.task.ignore_failure,
            )
        )  # fmt: skip
        progress.running -= 1
        if progress.running:
            return
        progress.state = verdict.state_of(progress.children)
        self.verdict.note(progress.task, progress.state, progress.children, final=child.task.name in self.finals)
        found = [one.last.results for one in progress.children]
        if child.task.name not in self.finals or child.task.matrix is None:
            self.scope.values |= results.of_tasks(found, child.task.name, child.task.matrix is not None)

    def check_time(self) -> None:
        """Stop what runs where a limit of the run has passed."""
        limits = self.plan.timeouts
        elapsed = time.monotonic() - self.started
        if limits.pipeline_s and elapsed > limits.pipeline_s and self.verdict.timed_out != "pipeline":
            self.verdict.timed_out = "pipeline"
            self.stop_all(f"the run failed to finish within {go(limits.pipeline_s)}", kill=False)
        if limits.tasks_s and not self.final_phase and elapsed > limits.tasks_s and not self.verdict.timed_out:
            self.verdict.timed_out = "tasks"
            self.stop_all(f"the Tasks failed to finish within {go(limits.tasks_s)}", kill=False)
        late = self.final_phase and limits.finally_s and time.monotonic() - self.finals_started > limits.finally_s
        if late and limits.finally_s and not self.verdict.finally_timed_out:
            self.verdict.finally_timed_out = True
            self.stop_all(f"finally failed to finish within {go(limits.finally_s)}", kill=False)

    def run_finally(self) -> None:
        """Run `finally`, which may ask how the Tasks ended."""
        self.final_phase, self.finals_started = True, time.monotonic()
        states = {task.name: self.progress[task.name].state for task in self.plan.pipeline.tasks}
        for name, state in states.items():
            self.scope.values[("tasks", name, "status")] = conditions.task_status(state)
            self.scope.values[("tasks", name, "reason")] = verdict.reason_of(self.progress[name].children, state)
        self.scope.values[("tasks", "status")] = conditions.aggregate_status(states)
        self.loop(self.plan.pipeline.final)

    def end(self) -> RunResult:
        """Settle the run's own status and results."""
        states = {name: progress.state for name, progress in self.progress.items()}
        outcomes = {name: progress.children for name, progress in self.progress.items()}
        skipped = {name: progress.skip for name, progress in self.progress.items() if progress.skip is not None}
        found = verdict.settle(
            self.plan,
            self.verdict,
            states,
            outcomes,
            skipped,
            self.scope,
            self.folder.path,
            time.monotonic() - self.started,
        )
        self.status.end(found.reason, found.message, found.succeeded, found.results)
        self.save()
        for source in self.sources.values() if found.succeeded else ():
            if source.temporary and source.folder is not None:
                shutil.rmtree(source.folder, ignore_errors=True)
        self.say(
            events.RunEnded(
                found.name,
                found.succeeded,
                found.reason,
                found.message,
                found.duration_s,
                found.exit_status,
                found.results,
            )
        )
        return found


def run(plan: Plan, on_event: OnEvent, *, root: Path | None = None, parallel: int = PARALLEL) -> RunResult:
    """Run a plan in a folder of its own under `root`. Raises InputError where a run of this name is there already."""
    return start(plan, on_event, again=False, root=root, parallel=parallel)


def start(
    plan: Plan,
    on_event: OnEvent,
    *,
    again: bool,
    root: Path | None = None,
    parallel: int = PARALLEL,
    control: "Interrupts | None" = None,
    asked: Mapping[str, object] | None = None,
) -> RunResult:
    """The same; with `again`, in the folder of the run of this name, whose finished Tasks are taken over where they can be."""
    folder = store.folder(plan.name, root)
    with folder.locked():
        there = (folder.path / "run.json").is_file()
        if there and not again:
            raise InputError(f"run {plan.name}: is there already; give another --name, or --resume {plan.name}")
        past = resume.Past.read(folder) if there else None
        if asked is not None:
            folder.write_request(asked)
        engine = Engine(plan, folder, on_event, parallel)
        if control is not None:
            control.engine = engine
        return engine.run(past)


class Interrupts:
    """Hands Ctrl-C to whichever engine runs now."""

    def __init__(self) -> None:
        """No engine yet."""
        self.engine: Engine | None = None
        self.count = 0

    def __call__(self, number: int, frame: object) -> None:  # noqa: ARG002  (a signal handler's arguments)
        """A signal handler: the first asks, the second insists."""
        self.count += 1
        if self.engine is None:
            raise KeyboardInterrupt
        self.engine.interrupt(kill=self.count > 1)
