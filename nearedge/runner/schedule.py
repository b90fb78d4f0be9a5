"""Which Task runs when: skip rules, matrix, time limits, interruption, and what comes of it all."""

import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field

from nearedge.errors import InputError, NearedgeError
from nearedge.runner import children, conditions, graph, results, resume, verdict, workspaces
from nearedge.runner.children import Child
from nearedge.runner.conditions import Decision, Facts, Skip, State
from nearedge.runner.crew import PARALLEL, Crew, Interrupt
from nearedge.runner.events import OnEvent
from nearedge.runner.journal import Journal
from nearedge.runner.limits import Clock
from nearedge.runner.model import PipelineTask
from nearedge.runner.plan import Plan
from nearedge.runner.store import RunFolder
from nearedge.runner.substitution import Scope
from nearedge.runner.verdict import RunResult


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
        self.plan, self.folder = plan, folder
        self.journal = Journal(plan, folder, on_event)
        self.crew = Crew(plan, folder, parallel)
        self.clock = Clock(plan.timeouts)
        self.scope = Scope(plan.scope.values)
        self.progress = {task.name: Progress(task) for task in plan.pipeline.every()}
        self.parents = graph.dependencies(plan.pipeline.tasks)
        self.finals = {task.name for task in plan.pipeline.final}
        self.verdict = verdict.Verdict()
        self.sources = dict(plan.sources)

    def interrupt(self, kill: bool = False) -> None:
        """Stop what runs, then run `finally`; with `kill` stop at once. Safe in a signal handler."""
        self.crew.interrupt(kill)

    def run(self, past: resume.Past | None = None) -> RunResult:
        """Run it to its end and return what came of it. Never raises for what a Task does."""
        self.sources = workspaces.make(self.plan.sources, self.folder.volumes)
        self.journal.begin(list(self.progress))
        try:
            if past is not None:
                self.reuse(past)
            self.loop(self.plan.pipeline.tasks)
            if not self.verdict.killed and not self.verdict.missing:
                self.run_finally()
        finally:
            self.stop_all("the runner is ending", kill=True)
            self.crew.dismiss()
        return self.end()

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
                self.journal.reused(record.label, record.reference)

    def loop(self, tasks: Iterable[PipelineTask]) -> None:
        """Decide, start, wait, until all of `tasks` are done."""
        mine = [self.progress[task.name] for task in tasks]
        while True:
            late = self.clock.overdue(self.verdict)
            if late:
                self.stop_all(late, kill=False)
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
        self.skip(progress, Skip.MISSING_RESULTS)
        if progress.task.name not in self.finals:
            self.verdict.missing, self.verdict.stopping = self.verdict.missing or message, True
            self.stop_all(message, kill=False)

    def skip(self, progress: Progress, reason: Skip) -> None:
        """A Task will not run."""
        progress.state, progress.skip = State.SKIPPED, reason
        self.journal.skipped(progress.task, reason)

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
            self.crew.submit(child)

    def refuse(self, progress: Progress, error: NearedgeError) -> None:
        """A Task whose params or workspaces do not fit: it fails without having run."""
        if not progress.children:
            child = Child(progress.task.name, self.plan.name, "", progress.task, {}, self.scope)
            progress.children.append(child)
        for child in progress.children:
            child.outcomes.append(children.fault(error))
        progress.running = 1
        self.ended(progress.children[-1])

    def take(self) -> None:
        """Wait for something to happen, at most one tick."""
        message = self.crew.next()
        if isinstance(message, Interrupt):
            self.interrupted(message.kill)
        elif message is not None and message.ended:
            self.ended(message.child)
        elif message is not None:
            self.journal.changed(message.child)

    def interrupted(self, kill: bool) -> None:
        """Ctrl-C: the Tasks stop and `finally` runs; a second time everything stops."""
        self.verdict.killed = self.verdict.killed or kill or self.verdict.cancelled
        self.verdict.cancelled = True
        if self.verdict.killed or self.clock.finals_started is None:
            self.stop_all("the run was interrupted", kill=self.verdict.killed)
        if self.verdict.killed:
            for progress in self.progress.values():
                if progress.state is State.WAITING:
                    self.skip(progress, Skip.CANCELLED)

    def stop_all(self, message: str, kill: bool) -> None:
        """Stop every TaskRun that runs."""
        running = [progress for progress in self.progress.values() if progress.state is State.RUNNING]
        self.crew.stop([child for progress in running for child in progress.children], message, kill)

    def ended(self, child: Child) -> None:
        """A TaskRun is over; the Task is when all of its TaskRuns are."""
        progress = self.progress[child.task.name]
        self.journal.ended(child)
        progress.running -= 1
        if progress.running:
            return
        progress.state = verdict.state_of(progress.children)
        self.verdict.note(progress.task, progress.state, progress.children, final=child.task.name in self.finals)
        found = [one.last.results for one in progress.children]
        if child.task.name not in self.finals:
            self.scope.values |= results.of_tasks(found, child.task.name, child.task.matrix is not None)

    def run_finally(self) -> None:
        """Run `finally`, which may ask how the Tasks ended."""
        self.clock.begin_finally()
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
            self.clock.elapsed_s,
        )
        self.journal.end(found)
        for source in self.sources.values() if found.succeeded else ():
            if source.temporary and source.folder is not None:
                shutil.rmtree(source.folder, ignore_errors=True)
        return found
