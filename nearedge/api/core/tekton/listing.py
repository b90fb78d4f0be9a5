"""All runs that a caller may see, from a watch: lists are answered from memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from nearedge.api.cluster.changes import Changed, Entry
from nearedge.api.cluster.resources import PIPELINE_RUNS, TASK_RUNS, Object
from nearedge.api.core.engine import Change
from nearedge.api.core.models import RunSummary
from nearedge.api.core.run_index import key
from nearedge.api.core.tekton.following import merged
from nearedge.api.core.tekton.summaries import Kept, kept
from nearedge.api.core.tekton.watches import Shared, Wanted, Watches, denial

RUNS = Wanted(PIPELINE_RUNS, "", kept, 300.0)
RUN_LABEL = "tekton.dev/pipelineRun"


def version(item: Object) -> str:
    """What is kept of a TaskRun of a run that somebody watches: only that it changed."""
    return str(item["metadata"].get("resourceVersion", ""))


def of_one_run(name: str) -> Wanted:
    """The TaskRuns of a run."""
    return Wanted(TASK_RUNS, f"{RUN_LABEL}={name}", version, 5.0)


@dataclass(frozen=True)
class Listing:
    """The runs as a watch has them."""

    watches: Watches

    async def newest_first(self, token: str) -> list[RunSummary]:
        """All, in the order of `run_index.key`; not to be changed."""
        async with self.watches.of(RUNS, token) as shared:
            return ordered(shared)

    async def of_key(self, mark: str, token: str) -> str:
        """The name of the run that was started with an idempotency key, as far as it is known yet; or empty."""
        async with self.watches.of(RUNS, token) as shared:
            return next((name for name, one in entries(shared).items() if one.value.key == mark), "")

    async def of_content(self, content: str, token: str) -> str:
        """The name of the newest run with that content that ended well; or empty."""
        async with self.watches.of(RUNS, token) as shared:
            found = [one.value.summary for one in entries(shared).values() if one.value.content == content]
        ended_well = [one for one in found if one.state == "Succeeded"]
        return min(ended_well, key=key).name if ended_well else ""

    async def changes(self, after: str, token: str) -> AsyncIterator[Change]:
        """Changes of all runs, from now on or behind the resourceVersion `after`."""
        async with self.watches.of(RUNS, token) as shared:
            seen = int(after) if after.isascii() and after.isdecimal() and len(after) <= 20 else None
            if seen is None and shared.fresh:  # what changed between the call and the first list
                for entry in list(entries(shared).values()):
                    if entry.value.summary.state in ("Pending", "Running"):
                        yield Change(number=str(entry.version), kind="changed", run=entry.value.summary)
            async with merged(shared.watched.changes(seen), denial(shared.watched)) as found:
                async for one in found:
                    yield of_change(one)

    async def changes_of(self, name: str, token: str) -> AsyncIterator[Change]:
        """Changes of one run, the first at once: whenever it or one of its TaskRuns is another."""
        async with (
            self.watches.of(RUNS, token) as runs,
            self.watches.of(of_one_run(name), token) as tasks,
            merged(runs.watched.changes(), tasks.watched.changes(), denial(runs.watched)) as all_of_them,
        ):
            yield now(runs, name)
            async for one in all_of_them:
                if not isinstance(one.value, Kept):
                    yield now(runs, name)
                elif one.name == name:
                    yield of_change(one)


def entries(shared: Shared) -> dict[str, Entry[Kept]]:
    """What the watch knows."""
    return shared.watched.known


def ordered(shared: Shared) -> list[RunSummary]:
    """The runs in order; sorted again only where one changed."""
    watched = shared.watched
    state = (id(watched.known), watched.recent.count, len(watched.known))
    if shared.sorted[0] != state:
        shared.sorted = (state, sorted((one.value.summary for one in entries(shared).values()), key=key))
    return shared.sorted[1]


def of_change(one: Changed[Kept]) -> Change:
    """A change of the watch."""
    return Change(number=str(one.version), kind=one.kind, run=one.value.summary)


def now(shared: Shared, name: str) -> Change:
    """A run as the watch has it; one that was only just made, it may not have yet."""
    entry = entries(shared).get(name)
    if entry is not None:
        return Change(number=str(entry.version), kind="changed", run=entry.value.summary)
    run = RunSummary(
        name=name, pipeline="", state="Pending", reason="", message="", started=None, ended=None, labels={}
    )
    return Change(number="", kind="changed", run=run)
