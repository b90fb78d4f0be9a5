"""How many follow logs at once: each costs a look every half second, so there is an end to it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from nearedge.api.problems import ProblemError
from nearedge.api.streams import ServerEvent

MOST = 100


@dataclass
class Followers:
    """Those that follow now."""

    count: int = 0

    def counted(self, events: AsyncIterator[ServerEvent]) -> AsyncIterator[ServerEvent]:
        """`events`, counted while they go on. Raises ProblemError 503 where too many follow already."""
        if self.count >= MOST:
            raise ProblemError(503, f"{MOST} follow logs already; try again later", {"Retry-After": "5"})
        return self.run(events)

    async def run(self, events: AsyncIterator[ServerEvent]) -> AsyncIterator[ServerEvent]:
        """As `counted`."""
        self.count += 1
        try:
            async for event in events:
                yield event
        finally:
            self.count -= 1
