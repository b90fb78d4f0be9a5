"""What a source outside said last: got anew in a thread at most every so often, and had while the source is away."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from nearedge.errors import NearedgeError

Value = TypeVar("Value")
STALE_AFTER = 3
"""Times `every_s`: what is older is stale, also where nothing is known to be wrong."""


@dataclass(frozen=True)
class Got(Generic[Value]):
    """What was got: as of what time (Unix seconds), and what was wrong all the same (empty: nothing)."""

    value: Value | None
    at: float | None
    problem: str = ""


@dataclass(frozen=True)
class Seen(Generic[Value]):
    """What is known now; `stale`: the source did not answer when it last should have."""

    value: Value | None
    at: float | None
    problem: str
    stale: bool

    @property
    def as_of(self) -> str | None:
        """The time in RFC 3339."""
        return None if self.at is None else timestamp(self.at)

    @property
    def age_s(self) -> int:
        """Whole seconds since then."""
        return 0 if self.at is None else max(0, round(time.time() - self.at))


class Kept(Generic[Value]):
    """One value. `get` may block and raise; it is called with what is known, by one thread at a time.

    Where something is known, it is handed out at once while it is got anew; who comes first, or after `expire`, waits
    `wait_s` seconds for it at the most.
    """

    def __init__(self, get: Callable[[Value | None], Got[Value]], every_s: float, wait_s: float) -> None:
        """Nothing is got yet."""
        self.get, self.every_s, self.wait_s = get, every_s, wait_s
        self.known: Got[Value] = Got(None, None)
        self.tried = float("-inf")
        self.begun = self.ended = self.wanted = 0
        self.lock = threading.Lock()
        self.under_way: Future[None] | None = None

    def expire(self) -> None:
        """Say that it is known to have changed."""
        with self.lock:
            self.wanted = self.begun + 1
            self.tried = float("-inf")

    async def now(self) -> Seen[Value]:
        """What is known, after waiting for it where that is called for."""
        deadline = time.monotonic() + self.wait_s
        going = self.started()
        while going is not None and self.waits() and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait({asyncio.wrap_future(going)}, timeout=left)
            going = None if self.ended >= self.wanted else self.started()
        return self.seen()

    def waits(self) -> bool:
        """Whether what is known is too little to be handed out while it is got anew."""
        late = self.known.at is None or time.time() - self.known.at > STALE_AFTER * self.every_s
        return self.ended < self.wanted or (late and not self.known.problem)

    def started(self) -> "Future[None] | None":
        """The attempt that goes on, or one that is begun now since it is time; None where neither is so."""
        with self.lock:
            if self.under_way is not None:
                return self.under_way
            if time.monotonic() - self.tried < self.every_s:
                return None
            self.tried, self.begun = time.monotonic(), self.begun + 1
            found: Future[None] = Future()
            self.under_way = found
            threading.Thread(target=self.attempt, args=(found,), daemon=True).start()
            return found

    def attempt(self, done: "Future[None]") -> None:
        """Get it; whatever happens, somebody may try again later."""
        before = self.known
        try:
            self.known = self.get(before.value)
        except (NearedgeError, OSError) as error:
            self.known = Got(before.value, before.at, str(error))
        except Exception as error:  # a fault of ours must not end the source for good
            self.known = Got(before.value, before.at, f"{type(error).__name__} in nearedge; see its log")
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))
        finally:
            with self.lock:
                self.under_way, self.ended = None, self.begun
            done.set_result(None)

    def seen(self) -> Seen[Value]:
        """What is known."""
        known = self.known
        old = known.at is None or time.time() - known.at > max(STALE_AFTER * self.every_s, self.wait_s)
        late = "" if known.value is not None or known.problem else "no answer yet; ask again soon"
        return Seen(known.value, known.at, known.problem or late, bool(known.problem) or old)


def timestamp(seconds: float) -> str:
    """A Unix time as RFC 3339 in UTC, whole seconds; what no calendar has is held to its ends."""
    return datetime.fromtimestamp(min(max(seconds, 0), 253402300799), UTC).isoformat(timespec="seconds")
