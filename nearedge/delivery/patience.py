"""Trying again for hours: a thin link is down as often as it is up, and nobody sits beside it."""

import re
import time
from collections.abc import Callable
from typing import TypeVar

from nearedge.delivery.registry import PassingFaultError
from nearedge.errors import OutsideError, UsageError
from nearedge.progress import say

Result = TypeVar("Result")

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
DURATION = re.compile(r"(\d{1,7})([smh])")
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """A duration such as `90s`, `30m` or `4h` in seconds. Raises UsageError for what is none."""
    found = DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"{text[:40]!r} is no duration; write a whole number and s, m or h, such as 4h")
    return int(found[1]) * SECONDS[found[2]]


class Patience:
    """Tries until `give_up_after_s` seconds passed in which nothing came further."""

    def __init__(self, give_up_after_s: float) -> None:
        """0 gives up at the first fault."""
        self.give_up_after_s = give_up_after_s

    def persist(self, attempt: Callable[[], Result], far: Callable[[], int] = lambda: 0) -> Result:
        """What `attempt` returns at last. `far` says how far it came, in bytes; coming further starts the clock anew.

        A registry's Retry-After is obeyed where it asks for more than our own backoff.

        Raises OutsideError where faults that may pass did not pass in time; every other error at once.
        """
        wait_s, furthest, since = FIRST_WAIT_S, far(), time.monotonic()
        while True:
            try:
                return attempt()
            except PassingFaultError as fault:
                if far() > furthest:
                    wait_s, furthest, since = FIRST_WAIT_S, far(), time.monotonic()
                waited, pause_s = time.monotonic() - since, max(wait_s, fault.wait_s)
                if waited + pause_s > self.give_up_after_s:
                    kept = "what arrived is kept, and the next run goes on from there"
                    raise OutsideError(f"{fault}; gave up after {waited:.0f} s without progress; {kept}") from fault
                say(f"{fault}; again in {pause_s:.0f} s")
                time.sleep(pause_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
