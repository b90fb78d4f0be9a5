"""Moves of sites as they are asked for: by whom, so many at once, once for each key, and written to the audit log."""

import threading
from dataclasses import dataclass, field

from nearedge.api.access import Caller
from nearedge.api.audit import Audit
from nearedge.api.core import moves
from nearedge.api.core.fleet_source import FleetSource
from nearedge.api.core.moves import Move
from nearedge.api.core.release_models import Moved
from nearedge.api.core.remembered import Remembered
from nearedge.api.problems import ProblemError, conflict
from nearedge.delivery.gitops.timeline import Timeline
from nearedge.errors import NearedgeError

AT_ONCE = 8
"""Moves that go on at the same time; each has a clone of its own."""
Held = tuple[str, str]
"""Whose key, and the key."""


@dataclass
class Doing:
    """What moves go on, and what the earlier ones answered; one for a process, whoever asks and how."""

    source: FleetSource
    audit: Audit
    answers: Remembered
    slots: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(AT_ONCE))
    under_way: dict[Held, threading.Event] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def audited(self, caller: Caller, move: Move, key: str, now: Timeline, patience_s: float = 0) -> Moved:
        """Do it and log who did what and what came of it; blocks. Raises ProblemError and nearedge's own errors.

        Where the same request goes on already, its answer is waited for `patience_s` seconds.
        """
        action = "promote" if move.forward else "rollback"
        what: dict[str, object] = {"model": move.name, "to": move.to, "sites": list(move.sites)}
        if move.dry_run:
            what["dry_run"] = True
        try:
            done, again = self.once(caller, move, key, now, patience_s)
        except (ProblemError, NearedgeError) as error:
            self.audit.say(caller, action, what, "refused", str(error))
            raise
        detail = f"commit {done.commit}: {', '.join(one.site for one in done.sites) or 'no site'}"
        if again:
            self.audit.say(caller, action, what, "unchanged", f"asked for again; {detail}")
            return done
        self.audit.say(caller, action, what, "done" if done.changed and not done.dry_run else "unchanged", detail)
        return done

    def once(self, caller: Caller, move: Move, key: str, now: Timeline, patience_s: float) -> tuple[Moved, bool]:
        """Do it, unless the key says that it was done; and whether it was."""
        if not key:
            return self.within_slots(move, now), False
        asked = (move.name, move.to, move.sites, move.expected, move.dry_run, move.forward)
        request = "\n".join(map(str, (*asked, move.plan) if move.plan else asked))
        held = (caller.name, key)
        self.take(held, patience_s)
        try:
            found = self.answers.find(*held, request)
            if found is not None:
                return Moved.model_validate_json(found), True
            done = self.within_slots(move, now)
            self.answers.keep(*held, request, done.model_dump_json())
            return done, False
        finally:
            with self.lock:
                self.under_way.pop(held).set()

    def take(self, held: Held, patience_s: float) -> None:
        """Be the one who works at a key. Raises ProblemError 409 where another does for longer than that."""
        while True:
            with self.lock:
                other = self.under_way.get(held)
                if other is None:
                    self.under_way[held] = threading.Event()
                    return
            if not other.wait(patience_s):
                raise conflict("Idempotency-Key: that request goes on; ask again when it has ended")

    def within_slots(self, move: Move, now: Timeline) -> Moved:
        """Do it, where not too many go on. Raises ProblemError 503."""
        if not self.slots.acquire(blocking=False):
            raise ProblemError(503, f"{AT_ONCE} others move sites just now; try again", {"Retry-After": "5"})
        try:
            return moves.do(self.source, move, now)
        finally:
            self.slots.release()

    def answered(self, caller: Caller, key: str) -> Moved | None:
        """What came of the caller's earlier move with that key; None where nothing is kept of it."""
        found = self.answers.read(caller.name, key)
        return None if found is None else Moved.model_validate_json(found.answer)


def doing(source: FleetSource, audit: Audit) -> Doing:
    """Moves in the repository of `source`, whose answers are kept beside its mirror."""
    return Doing(source, audit, Remembered(source.settings.state / "moves"))
