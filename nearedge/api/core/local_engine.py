"""Runs on this machine: each a process of its own, its state the files that the runner writes (ADR 0028)."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from anyio import to_thread

from nearedge import catalog as shipped
from nearedge.api.core import keys, local_logs, run_documents, run_files, run_release
from nearedge.api.core.declarations import Declarations
from nearedge.api.core.engine import Change, LogQuery, Started
from nearedge.api.core.launch import Signals, launch
from nearedge.api.core.local_starts import Starts
from nearedge.api.core.models import ENDED, Declared, LogLine, NewRun, Run, RunSummary
from nearedge.api.core.run_index import RunIndex
from nearedge.api.problems import conflict, missing
from nearedge.errors import InputError
from nearedge.release.record import Record
from nearedge.runner import store
from nearedge.runner.store import RunFolder

POLL_S = 0.5
"""Seconds between two looks of a watcher."""


class LocalEngine:
    """nearedge.api.core.engine.Engine on the local runner. `home` is NEAREDGE_HOME, `catalog` holds the Pipelines."""

    place = "this machine"

    def __init__(self, home: Path | None = None, catalog: Path | None = None) -> None:
        """Nothing is read yet, and nothing made."""
        self.home = home.absolute() if home is not None else store.runs_root().parent
        self.index = RunIndex(self.home / "runs")
        self.declarations = Declarations(catalog or shipped.root())
        self.starts = Starts(self.home, self.index, self.declarations)
        self.signals = Signals()
        if self.starts.keys.is_dir():
            keys.forget_old(self.starts.keys)

    async def declared(self, token: str) -> Sequence[Declared]:
        """The Pipelines and Tasks of the catalog, by kind and name."""
        return await to_thread.run_sync(self.declarations.every)

    async def runs(self, token: str) -> Sequence[RunSummary]:
        """All runs, the newest first, whoever started them."""
        await to_thread.run_sync(self.index.look)
        return self.index.newest_first()

    async def run(self, name: str, token: str) -> Run:
        """One run."""
        return await to_thread.run_sync(self.read, name)

    async def start(self, wanted: NewRun, key: str, token: str) -> Started:
        """Start a run in a process of its own."""
        name, new = await to_thread.run_sync(self.starts.start, wanted, key)
        run = await self.run(name, token)
        return Started(run if new else run.model_copy(update={"reused": run.state in ENDED}), new)

    async def cancel(self, name: str, token: str) -> Run:
        """Stop a run as Ctrl-C does; asked again it stops at once, asked a third time its process is killed."""
        return await to_thread.run_sync(self.cancel_now, name)

    async def retry(self, name: str, token: str) -> Run:
        """Run again what failed, with --resume."""
        return await to_thread.run_sync(self.retry_now, name)

    async def delete(self, name: str, token: str) -> None:
        """Remove a run that has ended, its logs and what the API keeps of it."""
        await to_thread.run_sync(self.delete_now, name)

    async def aclose(self) -> None:
        """Nothing is open: runs are processes of their own, and go on."""

    def changes(self, after: str, token: str, name: str = "") -> AsyncIterator[Change]:
        """Changes of all runs from this call on; a number is good after a restart too, and one of nobody's is none."""
        return self.behind(self.index.place(after))

    async def behind(self, seen: int) -> AsyncIterator[Change]:
        """Changes behind the one of the number `seen`, as they are found."""
        while True:
            await to_thread.run_sync(self.index.look)
            for change in await to_thread.run_sync(self.index.behind, seen):
                seen = int(change.number)
                yield change
            await asyncio.sleep(POLL_S)

    def logs(self, name: str, query: LogQuery, token: str) -> AsyncIterator[LogLine]:
        """The lines of a run's steps."""
        return local_logs.lines(self.folder(name), query)

    async def record(self, name: str, token: str) -> Record:
        """The release record, from the folder that was the run's workspace `release`."""
        run = await self.run(name, token)
        return await to_thread.run_sync(run_release.release_record, self.folder(name), run)

    async def report(self, name: str, token: str) -> Sequence[str]:
        """The files of its report."""
        run = await self.run(name, token)
        return await to_thread.run_sync(run_release.report_files, self.folder(name), run)

    async def report_file(self, name: str, file: str, token: str) -> bytes:
        """One of them."""
        run = await self.run(name, token)
        return await to_thread.run_sync(run_release.report_file, self.folder(name), run, file)

    async def health(self) -> dict[str, str]:
        """The folder of the runs, and the catalog."""
        catalog = await to_thread.run_sync(self.declarations.health)
        return {"runs": await to_thread.run_sync(self.writable), "catalog": catalog}

    def writable(self) -> str:
        """ok, or why no run could be started."""
        there = next(path for path in (self.home, *self.home.parents) if path.exists())
        return "ok" if os.access(there, os.W_OK | os.X_OK) and there.is_dir() else f"{there}: cannot be written to"

    def folder(self, name: str) -> RunFolder:
        """A run's folder. Raises ProblemError 404."""
        try:
            folder = store.folder(name, self.index.root)
        except InputError as error:
            raise missing(str(error)) from error
        if self.index.refresh(name) is None:
            raise missing(f"run {name}: there is none; GET /api/v1/runs lists those there are")
        return folder

    def read(self, name: str) -> Run:
        """One run."""
        folder = self.folder(name)
        return run_documents.whole(folder, self.index.entries[name].summary)

    def cancel_now(self, name: str) -> Run:
        """Signal the run's process."""
        folder, run = self.folder(name), self.read(name)
        if run.state in ENDED:
            raise conflict(f"run {name}: has ended ({run.state}); there is nothing to cancel")
        asked = run_files.asked(folder)
        if asked is not None:
            replace(asked, cancelled=True).write(folder)
        self.signals.stop(folder)
        return self.read(name)

    def retry_now(self, name: str) -> Run:
        """Start the run's process again."""
        with self.starts.lock:
            folder, run = self.folder(name), self.read(name)
            if run.state not in ENDED:
                raise conflict(f"run {name}: goes on ({run.state}); cancel it first")
            if run.state == "Succeeded":
                raise conflict(f"run {name}: has ended well; there is nothing to retry")
            if not (folder.path / "request.json").is_file():
                raise conflict(f"run {name}: never began ({run.message or run.reason}); start it anew")
            run_files.await_end(folder)
            asked = run_files.asked(folder)
            if asked is not None:
                replace(asked, cancelled=False).write(folder)
            launch(folder, ["run", f"--resume={name}", "--quiet"], self.home)
            run_files.touch(folder)
        return self.read(name)

    def delete_now(self, name: str) -> None:
        """Put the run's folder aside and remove it; nobody sees half of it."""
        with self.starts.lock:
            folder, run = self.folder(name), self.read(name)
            if run.state not in ENDED:
                raise conflict(f"run {name}: goes on ({run.state}); cancel it first")
            run_files.await_end(folder)
            trash = self.home / "api" / "deleted"
            trash.mkdir(parents=True, exist_ok=True)
            aside = trash / f"{name}-{secrets.token_hex(4)}"
            try:
                with folder.locked():
                    folder.path.rename(aside)
            except InputError as error:
                raise conflict(str(error)) from error
        self.index.refresh(name)
        shutil.rmtree(aside, ignore_errors=True)
