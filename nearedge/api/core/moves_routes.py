"""Routes that move sites to a release: promote and roll back. Each is audited, and done once for an Idempotency-Key."""

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Header, Request

from nearedge.api import pages
from nearedge.api.access import Caller
from nearedge.api.application import PREFIX, RESPONSES, Manager
from nearedge.api.audit import Audit
from nearedge.api.core import moves
from nearedge.api.core.fleet_source import FleetSource
from nearedge.api.core.moves import Move
from nearedge.api.core.release_models import ModelName, Moved, Promote, Rollback
from nearedge.api.core.remembered import LONGEST_KEY, Remembered
from nearedge.api.problems import ProblemError, conflict
from nearedge.delivery.gitops.timeline import Timeline
from nearedge.errors import NearedgeError

AT_ONCE = 8
"""Moves that go on at the same time; each has a clone of its own."""
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=LONGEST_KEY,
        description="any text of yours; a repeated request with the same key and body is done once",
    ),
]  # fmt: skip
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=1024, description="ETag of GET /models/{name}: only if nothing changed since"),
]


@dataclass
class Doing:
    """What moves go on, and what the earlier ones answered."""

    source: FleetSource
    audit: Audit
    answers: Remembered
    slots: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(AT_ONCE))
    keys: set[tuple[str, str]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def audited(self, caller: Caller, move: Move, key: str, now: Timeline) -> Moved:
        """Do it and log who did what and what came of it; blocks. Raises ProblemError and nearedge's own errors."""
        action = "promote" if move.forward else "rollback"
        what: dict[str, object] = {"model": move.name, "to": move.to, "sites": list(move.sites)}
        if move.dry_run:
            what["dry_run"] = True
        try:
            done = self.once(caller, move, key, now)
        except (ProblemError, NearedgeError) as error:
            self.audit.say(caller, action, what, "refused", str(error))
            raise
        detail = f"commit {done.commit}: {', '.join(one.site for one in done.sites) or 'no site'}"
        self.audit.say(caller, action, what, "done" if done.changed and not done.dry_run else "unchanged", detail)
        return done

    def once(self, caller: Caller, move: Move, key: str, now: Timeline) -> Moved:
        """Do it, unless the key says that it was done."""
        if not key:
            return self.within_slots(move, now)
        request = "\n".join(map(str, (move.name, move.to, move.sites, move.expected, move.dry_run, move.forward)))
        held = (caller.name, key)
        with self.lock:
            if held in self.keys:
                raise conflict("Idempotency-Key: that request goes on; ask again when it has ended")
            self.keys.add(held)
        try:
            found = self.answers.find(*held, request)
            if found is not None:
                return Moved.model_validate_json(found)
            done = self.within_slots(move, now)
            self.answers.keep(*held, request, done.model_dump_json())
            return done
        finally:
            with self.lock:
                self.keys.discard(held)

    def within_slots(self, move: Move, now: Timeline) -> Moved:
        """Do it, where not too many go on. Raises ProblemError 503."""
        if not self.slots.acquire(blocking=False):
            raise ProblemError(503, f"{AT_ONCE} others move sites just now; try again", {"Retry-After": "5"})
        try:
            return moves.do(self.source, move, now)
        finally:
            self.slots.release()


def router(source: FleetSource, audit: Audit) -> APIRouter:
    """`/models/{name}/promote` and `/models/{name}/rollback`."""
    found = APIRouter(prefix=f"{PREFIX}/models", tags=["releases"], responses=RESPONSES)
    doing = Doing(source, audit, Remembered(source.settings.state / "moves"))

    async def run(caller: Caller, move: Move, key: str | None) -> Moved:
        now = (await source.known()).value or Timeline()
        return await to_thread.run_sync(doing.audited, caller, move, key or "", now)

    @found.post("/{name}/promote")
    async def promote(
        caller: Manager, request: Request, name: ModelName, wanted: Promote, key: Key = None, _: IfMatch = None
    ) -> Moved:
        """Move sites that run the model to a release which the branch holds or held, by one commit."""
        sites, state = tuple(sorted(set(wanted.sites))), partial(pages.unchanged, request)
        move = Move(name, wanted.release, sites, wanted.expected, wanted.dry_run, forward=True, state=state)
        return await run(caller, move, key)

    @found.post("/{name}/rollback")
    async def roll_back(
        caller: Manager, request: Request, name: ModelName, wanted: Rollback, key: Key = None, _: IfMatch = None
    ) -> Moved:
        """Set sites back by one commit on top: to what each ran before, or to a release that is named."""
        sites, state = tuple(sorted(set(wanted.sites))), partial(pages.unchanged, request)
        move = Move(name, wanted.to, sites, wanted.expected, wanted.dry_run, forward=False, state=state)
        return await run(caller, move, key)

    return found
