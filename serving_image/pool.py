"""A bounded pool of inference requests, each run by a thread of its own, off the event loop.

A thread for each of OpenVINO's InferRequests rather than its AsyncInferQueue: the queue's callbacks are not called when
an inference fails, and the wrapper costs more than a small model. What has proven to take less time than a thread takes
to be woken is computed on the event loop.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Protocol

from serving_image.faults import TimedOutError, UnavailableError
from serving_image.tensors import Array

Answer = tuple[list[Array], float]
"""Output arrays, and seconds of computing."""

QUICK_S = 0.0004
"""What takes less is quick: a thread that is woken and answers costs 100 to 200 us of CPU time."""

SLOW_S = 50 * QUICK_S
"""A single run that takes longer ends the trust in quick ones. Shorter ones are weighed (`Pool.learn`): on a busy
machine even the quickest inference is interrupted now and then, and threads for those behind it made the slowest
answers of all."""

WEIGHT = 1 / 8
"""What one run counts for in the mean of the latest ones."""


class Slot(Protocol):
    """One inference request that is used again and again, by one thread at a time."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Outputs for inputs, both in the model's order; what is given back is the caller's to keep."""

    def cancel(self) -> None:
        """Make a running inference end soon, with an exception."""


class Job:
    """One inference that was asked for."""

    __slots__ = ("arrays", "cost", "expired", "future", "lock", "loop", "slot")

    def __init__(self, arrays: Sequence[Array], loop: asyncio.AbstractEventLoop) -> None:
        """`loop` is where the answer is awaited."""
        self.arrays = arrays
        self.loop = loop
        self.future: asyncio.Future[Answer] = loop.create_future()
        self.lock = threading.Lock()
        self.slot: Slot | None = None
        self.expired = False
        self.cost = 0.0

    def begin(self, slot: Slot) -> bool:
        """Whether it is still wanted; it then runs on `slot`."""
        with self.lock:
            self.slot = None if self.expired else slot
            return not self.expired

    def end(self) -> None:
        """It no longer runs: the slot may be at the next job, which must not be cancelled."""
        with self.lock:
            self.slot = None

    def expire(self) -> None:
        """Nobody waits for it any more."""
        with self.lock:
            self.expired = True
            if self.slot is not None:
                self.slot.cancel()


class Pool:
    """Slots, and the jobs that wait for one."""

    def __init__(self, slots: Sequence[Slot], queue: int, clock: Callable[[], float] = time.perf_counter) -> None:
        """At most `queue` jobs wait beside those that run.

        `clock` says how long a run takes a slot, in seconds. `time.thread_time` is right for slots that compute on
        the thread that asks, and better there: it leaves out what the thread waited for a core or for Python's lock.
        """
        self.clock = clock
        self.limit = len(slots) + queue
        self.pending = 0
        self.slots = slots
        self.mean = 2 * QUICK_S  # of the latest runs' seconds; nothing is known yet, so not quick
        self.quick_bytes = 0
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.threads = [
            threading.Thread(target=self.work, args=(slot,), name=f"infer-{at}", daemon=True)
            for at, slot in enumerate(slots)
        ]
        for thread in self.threads:
            thread.start()

    async def run(self, arrays: Sequence[Array], timeout: float) -> Answer:
        """The answer of one inference.

        Raises UnavailableError at once when too many wait, TimedOutError after `timeout` seconds, and what the slot
        raises.
        """
        if self.pending >= self.limit:
            raise UnavailableError(f"{self.pending} requests wait for this model already; try again later")
        if (answer := self.at_once(arrays)) is not None:
            return answer
        loop = asyncio.get_running_loop()
        job = Job(arrays, loop)
        self.pending += 1
        timer = loop.call_later(timeout, self.expire, job, timeout)
        self.jobs.put(job)
        try:
            return await job.future
        finally:
            timer.cancel()
            if not job.future.done() or job.future.cancelled():
                job.expire()

    def at_once(self, arrays: Sequence[Array]) -> Answer | None:
        """The answer, computed on the event loop; None where that might take long.

        While nothing is pending, no thread is at any slot. Raises what the slot raises.
        """
        if not self.is_quick() or size(arrays) > self.quick_bytes:
            return None
        start, began = time.perf_counter(), self.clock()
        try:
            outputs = self.slots[0].run(arrays)
        finally:
            seconds = time.perf_counter() - start
            self.learn(arrays, self.clock() - began)
        return outputs, seconds

    def is_quick(self) -> bool:
        """Whether inferences of proven sizes are computed on the event loop now."""
        return self.mean < QUICK_S and not self.pending

    def learn(self, arrays: Sequence[Array], seconds: float) -> None:
        """Note how long inputs of that size took. About six quick runs are believed, about three slow ones end it."""
        if seconds > SLOW_S:
            self.mean = 2 * QUICK_S
        else:
            self.mean += WEIGHT * (min(seconds, 4 * QUICK_S) - self.mean)
        if self.mean >= QUICK_S:
            self.quick_bytes = 0
        if seconds <= QUICK_S:
            self.quick_bytes = max(self.quick_bytes, size(arrays))

    def expire(self, job: Job, timeout: float) -> None:
        """The time-out of a job: stop it and tell who waits for it. Runs on the event loop."""
        if not job.future.done():
            job.expire()
            job.future.set_exception(TimedOutError(f"no answer within {timeout:g} s"))

    def work(self, slot: Slot) -> None:
        """Run jobs on `slot` until the pool is closed: the body of one thread."""
        while (job := self.jobs.get()) is not None:
            outcome: Answer | Exception | None = None
            if job.begin(slot):
                start, began = time.perf_counter(), self.clock()
                try:
                    outcome = (slot.run(job.arrays), time.perf_counter() - start)
                    job.cost = self.clock() - began
                except Exception as error:  # handed to whoever awaits the job
                    outcome = error
                job.end()
            try:
                job.loop.call_soon_threadsafe(self.finish, job, outcome)
            except RuntimeError:  # the loop is closed: the server is gone, nobody waits
                return

    def finish(self, job: Job, outcome: Answer | Exception | None) -> None:
        """Hand the outcome over. Runs on the event loop."""
        self.pending -= 1
        if outcome is not None and not isinstance(outcome, Exception):
            self.learn(job.arrays, job.cost)
        if job.future.done() or outcome is None:
            return
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)

    def close(self, timeout: float = 1.0) -> bool:
        """Let the threads end; whether all did within `timeout` seconds."""
        for _ in self.threads:
            self.jobs.put(None)
        deadline = time.monotonic() + timeout
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)


def size(arrays: Sequence[Array]) -> int:
    """Bytes of all arrays."""
    return sum(array.nbytes for array in arrays)
