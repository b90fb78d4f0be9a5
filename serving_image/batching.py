"""Dynamic batching: rows of requests that come together are computed in one inference, and the answers split again.

It stands between the data plane and the pool and is awaited like the pool. Requests go together where their inputs
agree in all dimensions but the first. What one of them does to the model is not the others' fault: when a batch fails,
each of its requests is computed by itself.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import numpy as np

from serving_image.faults import TimedOutError, UnavailableError
from serving_image.logs import event
from serving_image.model import Model
from serving_image.pool import Answer, Pool
from serving_image.tensors import Array

Key = tuple[tuple[int, ...], ...]
"""The inputs' shapes without their first dimensions."""


class Member:
    """One request on its way into a batch, and what computes it once it is there."""

    __slots__ = ("arrays", "batch", "future", "rows", "timeout")

    def __init__(self, arrays: Sequence[Array], timeout: float, future: "asyncio.Future[Answer]") -> None:
        """Its rows are those of its first input."""
        self.arrays = arrays
        self.rows = arrays[0].shape[0]
        self.timeout = timeout
        self.future = future
        self.batch: asyncio.Task[None] | None = None


class Group:
    """Members that wait for company."""

    __slots__ = ("members", "rows", "timer")

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        """`timer` ends the wait."""
        self.members: list[Member] = []
        self.rows = 0
        self.timer = timer


class Batcher:
    """Gathers requests for a pool."""

    def __init__(self, pool: Pool, max_batch: int, max_wait: float, observe: Callable[[int], None]) -> None:
        """At most `max_batch` rows go into one inference; none waits longer than `max_wait` seconds for the others.

        `observe` is told the rows of each inference. As many requests may wait as for the pool alone, each slot being
        worth a batch.
        """
        self.pool = pool
        self.max_batch = max_batch
        self.max_wait = max_wait
        self.observe = observe
        self.limit = pool.limit + len(pool.threads) * (max_batch - 1)
        self.pending = 0
        self.groups: dict[Key, Group] = {}
        self.batches: dict[asyncio.Task[None], list[Member]] = {}

    async def run(self, arrays: Sequence[Array], timeout: float) -> Answer:
        """The answer of one request: its outputs, and the seconds that its batch was computed.

        Raises UnavailableError at once when too many wait, TimedOutError after `timeout` seconds, and what the slot
        raises.
        """
        if self.pending >= self.limit:
            raise UnavailableError(f"{self.pending} requests wait for this model already; try again later")
        rows = {array.shape[0] for array in arrays}
        self.pending += 1
        try:
            if len(rows) != 1 or max(rows) >= self.max_batch:
                answer = await self.pool.run(arrays, timeout)
                self.observe(max(rows))
                return answer
            member = Member(arrays, timeout, asyncio.get_running_loop().create_future())
            self.join(member)
            try:
                async with asyncio.timeout(timeout):
                    return await member.future
            except TimeoutError:
                raise TimedOutError(f"no answer within {timeout:g} s") from None
            finally:
                self.leave(member)
        finally:
            self.pending -= 1

    def join(self, member: Member) -> None:
        """Put a member with others of its shapes."""
        key = tuple(array.shape[1:] for array in member.arrays)
        group = self.groups.get(key)
        if group is not None and group.rows + member.rows > self.max_batch:
            self.flush(key)
            group = None
        if group is None:
            timer = asyncio.get_running_loop().call_later(self.max_wait, self.flush, key)
            group = self.groups[key] = Group(timer)
        group.members.append(member)
        group.rows += member.rows
        if group.rows == self.max_batch:
            self.flush(key)

    def flush(self, key: Key) -> None:
        """Compute what has gathered."""
        group = self.groups.pop(key)
        group.timer.cancel()
        members = [member for member in group.members if not member.future.done()]
        if not members:
            return
        task = asyncio.get_running_loop().create_task(self.compute(members))
        self.batches[task] = list(members)
        task.add_done_callback(self.batches.pop)
        for member in members:
            member.batch = task

    def leave(self, member: Member) -> None:
        """The client of `member` has its answer, or does not wait any more: nobody computes what nobody waits for."""
        if not member.future.cancelled():
            return
        key = tuple(array.shape[1:] for array in member.arrays)
        group = self.groups.get(key)
        if group is not None and member in group.members:
            group.members.remove(member)
            group.rows -= member.rows
        elif member.batch is not None and all(other.future.done() for other in self.batches.get(member.batch, [])):
            member.batch.cancel()

    async def compute(self, members: list[Member]) -> None:
        """Compute members in one inference and hand them their rows. Raises nothing but CancelledError."""
        try:
            rows = sum(member.rows for member in members)
            columns = zip(*(member.arrays for member in members), strict=True)
            arrays = members[0].arrays if len(members) == 1 else [np.concatenate(column) for column in columns]
            outputs, seconds = await self.pool.run(arrays, max(member.timeout for member in members))
        except RuntimeError as error:  # OpenVINO's: one of them is at fault
            await self.each_alone(members, error)
        except Exception as error:  # handed to whoever awaits
            settle(members, error)
        else:
            self.observe(rows)
            if all(output.ndim and output.shape[0] == rows for output in outputs):
                split(members, outputs, seconds)
                return
            event(logging.WARNING, "batching ends: outputs do not have as many rows as inputs", rows=rows)
            self.max_batch = 1
            await self.each_alone(members, None)

    async def each_alone(self, members: list[Member], error: Exception | None) -> None:
        """Compute members one after the other; `error` is what all of them together gave, if they gave one."""
        if len(members) == 1 and error is not None:
            settle(members, error)
            return
        for member in members:
            if member.future.done():
                continue
            try:
                answer = await self.pool.run(member.arrays, member.timeout)
            except Exception as fault:  # handed to whoever awaits
                settle([member], fault)
            else:
                self.observe(member.rows)
                if not member.future.done():
                    member.future.set_result(answer)


def split(members: list[Member], outputs: list[Array], seconds: float) -> None:
    """Hand each member its rows of the outputs."""
    start = 0
    for member in members:
        end = start + member.rows
        if not member.future.done():
            member.future.set_result(([output[start:end] for output in outputs], seconds))
        start = end


def settle(members: list[Member], error: Exception) -> None:
    """Hand the members that still wait an exception."""
    for member in members:
        if not member.future.done():
            member.future.set_exception(error)


def obstacle(model: Model) -> str:
    """Why the rows of several requests cannot go into one inference of this model; empty where they can."""
    if not model.inputs:
        return "it has no inputs"
    for kind, specs in (("input", model.inputs), ("output", model.outputs)):
        for spec in specs:
            if not spec.bounds or spec.bounds[0][0] == spec.bounds[0][1]:
                return f"{kind} {spec.name!r} has the shape {spec.shape}, whose first dimension does not vary"
    return ""


def most_rows(model: Model, wanted: int) -> int:
    """Rows that may go together: `wanted`, or fewer where the model's own bounds are lower."""
    bounds = [spec.bounds[0][1] for spec in model.inputs if spec.bounds[0][1] != -1]
    return min([wanted, *bounds])
