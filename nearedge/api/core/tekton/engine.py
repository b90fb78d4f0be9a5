"""nearedge.api.core.engine.Engine on Tekton: the cluster decides whether the caller may (ADR 0033)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus

from anyio import to_thread

from nearedge.api.cluster.connection import StatusError
from nearedge.api.core.engine import Change, LogQuery, Started
from nearedge.api.core.models import Declared, LogLine, NewRun, Run, RunSummary
from nearedge.api.core.tekton import declared
from nearedge.api.core.tekton.actions import Actions
from nearedge.api.core.tekton.listing import RUNS, Listing
from nearedge.api.core.tekton.logs import Reading
from nearedge.api.core.tekton.looking import Looking
from nearedge.api.core.tekton.made import REPORT, Records, no_report
from nearedge.api.core.tekton.pipelineruns import Account
from nearedge.api.core.tekton.reach import Reach
from nearedge.api.core.tekton.starts import Starts, was_there
from nearedge.api.core.tekton.watches import Watches
from nearedge.api.problems import ProblemError, missing
from nearedge.delivery.access import Access
from nearedge.errors import OutsideError
from nearedge.release.record import Record

HEALTH_S = 3.0
"""Seconds that the cluster has to answer in for readiness."""


class TektonEngine:
    """Runs in the namespace of a cluster. `registry` is how to reach the registries that hold release records."""

    def __init__(self, reach: Reach, account: Account | None = None, registry: Access | None = None) -> None:
        """Nothing is asked yet."""
        self.reach = reach
        self.place = f"Tekton in the namespace {reach.namespace}"
        self.watches = Watches(reach)
        self.listing = Listing(self.watches)
        self.looking = Looking(reach)
        self.starts = Starts(reach, self.listing, account or Account())
        self.actions = Actions(self.looking)
        self.records = Records(registry or Access())

    async def aclose(self) -> None:
        """End the watches, and close the connections."""
        await self.watches.aclose()
        await self.reach.cluster.aclose()

    async def declared(self, token: str) -> Sequence[Declared]:
        """The Pipelines and Tasks in the namespace, by kind and name."""
        return await declared.every(self.reach, token)

    async def runs(self, token: str) -> Sequence[RunSummary]:
        """All runs, the newest first."""
        return await self.listing.newest_first(token)

    async def run(self, name: str, token: str) -> Run:
        """One run."""
        return await self.looking.run(name, token)

    async def start(self, wanted: NewRun, key: str, token: str) -> Started:
        """Create a PipelineRun."""
        name, new = await self.starts.start(wanted, key, token)
        run = await self.run(name, token)
        return Started(run.model_copy(update={"reused": was_there(run.state, new=new)}), new)

    async def cancel(self, name: str, token: str) -> Run:
        """Stop a run as spec.status has it: first CancelledRunFinally, asked again Cancelled."""
        await self.actions.cancel(name, token)
        return await self.run(name, token)

    async def retry(self, name: str, token: str) -> Run:
        """Another PipelineRun of the same spec, labelled with the one it is for."""
        return await self.run(await self.actions.retry(name, token), token)

    async def delete(self, name: str, token: str) -> None:
        """Remove a run that has ended, with its TaskRuns and pods."""
        await self.actions.delete(name, token)

    def changes(self, after: str, token: str, name: str = "") -> AsyncIterator[Change]:
        """Changes of all runs, or of one; numbers are resourceVersions, good after a restart too."""
        return self.listing.changes_of(name, token) if name else self.listing.changes(after, token)

    def logs(self, name: str, query: LogQuery, token: str) -> AsyncIterator[LogLine]:
        """The lines of a run's steps."""
        return Reading(self.looking, self.watches, name, query, token).lines()

    async def record(self, name: str, token: str) -> Record:
        """The release record, from the image's registry."""
        run = await self.run(name, token)
        return await to_thread.run_sync(self.records.of, run, abandon_on_cancel=True)

    async def report(self, name: str, token: str) -> Sequence[str]:
        """The one page that the image's registry has."""
        await self.page(name, token)
        return [REPORT]

    async def report_file(self, name: str, file: str, token: str) -> bytes:
        """That page."""
        if file != REPORT:
            raise missing(f"run {name}: its report has no file {file!r} but {REPORT}")
        return await self.page(name, token)

    async def page(self, name: str, token: str) -> bytes:
        """The report, from the image's registry; where there is none, the ProblemError 404 says where it lies."""
        run = await self.run(name, token)
        try:
            return await to_thread.run_sync(self.records.report, run, abandon_on_cancel=True)
        except ProblemError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            raise no_report(await self.looking.item(name, token)) from error

    async def health(self) -> dict[str, str]:
        """Whether the cluster answers; where we watch runs as ourselves, whether that works."""
        found = {"cluster": await self.answers()}
        if not self.reach.as_caller:
            found["pipelineruns"] = await self.watching()
        return found

    async def answers(self) -> str:
        """ok, or why the API server does not answer; a refusal is an answer."""
        try:
            async with asyncio.timeout(HEALTH_S):
                await self.reach.cluster.get("/version")
        except TimeoutError:
            return f"the cluster at {self.reach.cluster.server} does not answer within {HEALTH_S:.0f} s"
        except StatusError as error:
            return "ok" if error.code in (401, 403) else error.detail
        except OutsideError as error:
            return str(error)
        return "ok"

    async def watching(self) -> str:
        """ok, or why runs are not known."""
        try:
            async with asyncio.timeout(HEALTH_S), self.watches.of(RUNS, "") as shared:
                return shared.watched.fault or "ok"
        except TimeoutError:
            return f"pipelineruns were not listed within {HEALTH_S:.0f} s"
        except ProblemError as error:
            return error.detail
        except OutsideError as error:
            return str(error)
