"""What a source last said: asked again when it is old, by one asker at a time, and never waited for long."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from nearedge.api.edge.documents import SourceState
from nearedge.errors import NearedgeError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Said(Generic[Value]):
    """The newest that a source said (None: nothing yet), when (seconds since 1970), and what is wrong with it now."""

    value: Value | None
    at: float | None
    fault: str

    def state(self, name: str) -> SourceState:
        """For the answer."""
        return state_of(name, self.at, self.fault)


class Held(Generic[Value]):
    """One source. `read` may take as long as it likes: who asks waits `patience_s` and gets what was known."""

    def __init__(self, read: Callable[[], Awaitable[Value]], max_age_s: float, patience_s: float) -> None:
        """A value younger than `max_age_s` is given back without asking; so is a fault."""
        self.read, self.max_age_s, self.patience_s = read, max_age_s, patience_s
        self.said: Said[Value] = Said(None, None, "not asked yet")
        self.task: asyncio.Task[None] | None = None
        self.tried = 0.0

    async def get(self, *, anew: bool = False, patience_s: float | None = None) -> Said[Value]:
        """What is known, asked `anew` or where it is old. Never raises what the source does."""
        patience_s = self.patience_s if patience_s is None else patience_s
        if not anew and self.task is None and self.tried and time.monotonic() - self.tried < self.max_age_s:
            return self.said
        if self.task is None:
            self.task = asyncio.create_task(self.refresh())
        done, _ = await asyncio.wait({self.task}, timeout=patience_s)
        if done:
            return self.said
        return Said(self.said.value, self.said.at, f"no answer within {patience_s:g} s")

    async def refresh(self) -> None:
        """Ask the source, and keep what it says or what is wrong."""
        try:
            self.said = Said(await self.read(), time.time(), "")
        except (NearedgeError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            self.said = Said(self.said.value, self.said.at, in_a_line(error))
        finally:
            self.tried, self.task = time.monotonic(), None

    def forget(self) -> None:
        """Ask at the next chance, such as after something was changed there."""
        self.tried = 0.0

    async def close(self) -> None:
        """Stop asking."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=1)


def in_a_line(error: BaseException) -> str:
    """An error for the answer; what is none of ours is named by its type."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, NearedgeError) else f"{type(error).__name__}: {text}"


def when(seconds: float) -> str:
    """RFC 3339 of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def seconds(text: str) -> float | None:
    """Seconds since 1970 of a time in RFC 3339, None where it is none."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def state_of(name: str, at: float | None, fault: str) -> SourceState:
    """A source for the answer."""
    return SourceState(
        name=name, state="missing" if fault else "ok", as_of=None if at is None else when(at),
        age_s=None if at is None else round(max(0.0, time.time() - at), 3), reason=fault,
    )  # fmt: skip


def absent(name: str, how: str) -> SourceState:
    """A source that nobody configured."""
    return SourceState(name=name, state="not configured", as_of=None, age_s=None, reason=how)
