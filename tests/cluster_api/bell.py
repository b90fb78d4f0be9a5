"""Wakes coroutines of a server's loop when another thread has changed something."""

import asyncio
import threading
from contextlib import suppress


class Bell:
    """`take` the event before looking at what may change, then wait for it: no ring is lost."""

    def __init__(self) -> None:
        """Made in the loop that waits."""
        self.loop = asyncio.get_running_loop()
        self.event = asyncio.Event()
        self.lock, self.rung = threading.Lock(), False

    def take(self) -> asyncio.Event:
        """What is set at the next ring."""
        return self.event

    def ring(self) -> None:
        """From any thread."""
        with self.lock:
            if self.rung:
                return
            self.rung = True
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self.loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        with self.lock:
            self.rung = False
        event, self.event = self.event, asyncio.Event()
        event.set()


async def rung(event: asyncio.Event, patience_s: float | None) -> bool:
    """Whether it was set within that time."""
    try:
        await asyncio.wait_for(event.wait(), patience_s)
    except TimeoutError:
        return False
    return True
