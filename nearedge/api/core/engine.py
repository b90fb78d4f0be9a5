"""What runs Pipelines: the local runner, or Tekton on a cluster. Routes know this protocol and nothing else."""

from collections.abc import AsyncIterator, Sequence
from typing import Literal, NamedTuple, Protocol

from nearedge.api.core.models import Declared, LogLine, NewRun, Run, RunSummary
from nearedge.api.models import Document
from nearedge.release.record import Record


class Change(Document):
    """A run changed; `number` is what a watcher that comes back says it has seen."""

    number: str
    kind: Literal["changed", "deleted"]
    run: RunSummary


class LogQuery(Document):
    """Which lines: of one Task or step, the last `tail`, and whether to go on until the run ends."""

    task: str | None = None
    step: str | None = None
    tail: int | None = None
    follow: bool = False


class Started(NamedTuple):
    """A run that was asked for; `new` is false where an earlier one is given back."""

    run: Run
    new: bool


class Engine(Protocol):
    """Raises ProblemError (404 no such run, 409 its state does not allow that) and nearedge's own errors.

    `token` is the caller's bearer token, empty where there is none: a cluster judges it, the local runner ignores it.
    """

    place: str
    """Where it runs Pipelines, for a person: "this machine", or Tekton in a namespace."""

    async def declared(self, token: str) -> Sequence[Declared]:
        """The Pipelines and Tasks there are, by kind and name."""

    async def runs(self, token: str) -> Sequence[RunSummary]:
        """All runs, the newest first."""

    async def run(self, name: str, token: str) -> Run:
        """One run."""

    async def start(self, wanted: NewRun, key: str, token: str) -> Started:
        """Start a run; the same `key` (not empty) with the same content is one run, with another ProblemError 409."""

    async def cancel(self, name: str, token: str) -> Run:
        """Stop a run; `finally` Tasks still run. ProblemError 409 for one that has ended."""

    async def retry(self, name: str, token: str) -> Run:
        """Run again what failed. ProblemError 409 for one that goes on or ended well."""

    async def delete(self, name: str, token: str) -> None:
        """Remove a run that has ended."""

    def changes(self, after: str, token: str, name: str = "") -> AsyncIterator[Change]:
        """Changes of all runs from now on, or behind the change `after`; ends when the caller goes.

        `name`: who asks minds that run alone; of its Tasks and steps, too, where others are not told of.
        """

    def logs(self, name: str, query: LogQuery, token: str) -> AsyncIterator[LogLine]:
        """The lines of a run, while they are written and after."""

    async def record(self, name: str, token: str) -> Record:
        """The release record that a run made. ProblemError 404 where it has none."""

    async def report(self, name: str, token: str) -> Sequence[str]:
        """The names of the files of a run's report: html, md, png. ProblemError 404 where it has none."""

    async def report_file(self, name: str, file: str, token: str) -> bytes:
        """A file of it. ProblemError 404 where there is none of that name."""

    async def health(self) -> dict[str, str]:
        """What it stands on: "ok" or what is wrong, by name."""

    async def aclose(self) -> None:
        """Let go of what is open; the application ends."""
