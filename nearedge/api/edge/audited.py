"""What people did here: a line before each action, one after it. What cannot be written down is not done."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio

from nearedge.api.edge.documents import Action
from nearedge.api.edge.held import when
from nearedge.api.edge.journal import Journal
from nearedge.api.problems import ProblemError
from nearedge.errors import MachineError, NearedgeError

Result = TypeVar("Result")


class Audit:
    """The audit log: `audit.jsonl` and the earlier `audit.jsonl.1`, 1 MiB each at the most."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made where it is not there."""
        self.journal = Journal(folder / "audit.jsonl")

    async def done(
        self, who: str, what: str, model: str, act: Callable[[], Awaitable[Result]], told: Callable[[Result], str]
    ) -> Result:
        """The result of `act`, written down with what is `told` of it. Raises what `act` raises, after writing that."""
        await self.write(who, what, model, "begun", "")
        try:
            result = await act()
        except (NearedgeError, ProblemError) as error:
            await self.write(who, what, model, "failed", str(error))
            raise
        except BaseException as error:
            await self.write(who, what, model, "failed", type(error).__name__)
            raise
        await self.write(who, what, model, "done", told(result))
        return result

    async def write(self, who: str, what: str, model: str, outcome: str, detail: str) -> None:
        """Append a line. Raises MachineError where it cannot be written."""

        def add() -> None:
            now = when(time.time())
            self.journal.add(time=now, who=who, what=what, model=model, outcome=outcome, detail=detail)

        try:
            await anyio.to_thread.run_sync(add)
        except OSError as error:
            raise MachineError(f"{self.journal.path}: {error.strerror}; what cannot be audited is not done") from error

    async def lines(self) -> list[Action]:
        """All that is kept, the newest first."""
        lines = await anyio.to_thread.run_sync(self.journal.lines)
        return [Action.model_validate(dict(line)) for line in reversed(lines)]
