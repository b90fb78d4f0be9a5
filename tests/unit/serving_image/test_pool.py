"""The bounded pool: order, bounds, time-outs, failures; with slots that do what a test needs."""

import asyncio
import threading
import time

import numpy as np
import pytest

from serving_image import pool as pool_module
from serving_image.faults import TimedOutError, UnavailableError
from serving_image.pool import Pool


class Slot:
    """Gives its input back, when the gate is open or it is cancelled."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.cancelled = threading.Event()
        self.ran: list[float] = []

    def run(self, arrays):
        while not self.gate.wait(0.005) and not self.cancelled.is_set():
            pass
        if self.cancelled.is_set():
            self.cancelled.clear()
            raise RuntimeError("cancelled")
        self.ran.append(float(arrays[0][0]))
        if arrays[0][0] < 0:
            raise RuntimeError("negative")
        return [arrays[0] * 2]

    def cancel(self) -> None:
        self.cancelled.set()


def value(number: float):
    return [np.array([number])]


def test_answers_come_back_in_order_with_their_time() -> None:
    async def body() -> None:
        slot = Slot()
        pool = Pool([slot], 10)
        answers = await asyncio.gather(*(pool.run(value(at), 5) for at in range(5)))
        assert [outputs[0].tolist() for outputs, _ in answers] == [[0.0], [2.0], [4.0], [6.0], [8.0]]
        assert all(0 <= seconds < 5 for _, seconds in answers)
        assert slot.ran == [0, 1, 2, 3, 4]
        assert pool.pending == 0
        assert pool.close()

    asyncio.run(body())


def test_over_the_bound_the_answer_comes_at_once() -> None:
    async def body() -> None:
        slot = Slot()
        slot.gate.clear()
        pool = Pool([slot], 2)
        waiting = [asyncio.create_task(pool.run(value(at), 5)) for at in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="3 requests wait") as caught:
            await pool.run(value(9), 5)
        assert caught.value.headers() == [(b"retry-after", b"1")]
        slot.gate.set()
        assert len(await asyncio.gather(*waiting)) == 3
        await pool.run(value(9), 5)
        pool.close()

    asyncio.run(body())


def test_a_time_out_cancels_what_runs_and_skips_what_waits() -> None:
    async def body() -> None:
        slot = Slot()
        slot.gate.clear()
        pool = Pool([slot], 5)
        running = asyncio.create_task(pool.run(value(1), 0.05))
        waiting = asyncio.create_task(pool.run(value(2), 0.05))
        for task in (running, waiting):
            with pytest.raises(TimedOutError, match=r"0\.05 s"):
                await task
        slot.gate.set()
        outputs, _ = await pool.run(value(3), 5)
        assert outputs[0].tolist() == [6.0]
        assert slot.ran == [3.0]
        assert pool.pending == 0
        pool.close()

    asyncio.run(body())


def test_whoever_gives_up_frees_the_slot() -> None:
    async def body() -> None:
        slot = Slot()
        slot.gate.clear()
        pool = Pool([slot], 5)
        task = asyncio.create_task(pool.run(value(1), 5))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        deadline = time.monotonic() + 30
        while pool.pending and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert pool.pending == 0
        pool.close()

    asyncio.run(body())


def test_a_failure_is_raised_where_it_is_awaited_and_the_next_one_runs() -> None:
    async def body() -> None:
        pool = Pool([Slot(), Slot()], 5)
        with pytest.raises(RuntimeError, match="negative"):
            await pool.run(value(-1), 5)
        assert (await pool.run(value(1), 5))[0][0].tolist() == [2.0]
        pool.close()

    asyncio.run(body())


def test_close_says_when_a_thread_is_still_at_work() -> None:
    async def body() -> Pool:
        pool = Pool([slot], 5)
        task = asyncio.create_task(pool.run(value(1), 0.02))
        with pytest.raises(TimedOutError):
            await task
        return pool

    slot = Slot()
    slot.gate.clear()
    slot.cancel = lambda: None
    pool = asyncio.run(body())
    assert not pool.close(0.01)
    slot.gate.set()
    assert pool.close(5)


class Timed:
    """Takes as long as its input says, in seconds; notes the thread of each run."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def run(self, arrays):
        self.threads.append(threading.current_thread().name)
        time.sleep(float(arrays[0][0]))
        if arrays[0][0] == 0 and len(arrays[0]) == 3:
            raise RuntimeError("three")
        return [arrays[0]]

    def cancel(self) -> None:
        """Nothing runs long here."""


def test_what_is_proven_quick_runs_on_the_event_loop_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "QUICK_S", 0.05)  # what sleeps 0 s is quick on any machine, 0.25 s is not
    monkeypatch.setattr(pool_module, "SLOW_S", 0.3)

    async def body() -> None:
        slot = Timed()
        pool = Pool([slot], 10)

        async def where(*given: float) -> str:
            await pool.run([np.array(given)], 5)
            return slot.threads[-1]

        here = threading.current_thread().name
        learned = [await where(0.0) for _ in range(40)]
        assert learned[:5] == ["infer-0"] * 5 and learned[-1] == here
        assert await where(0.0, 0.0) == "infer-0", "larger than any that was quick"
        assert await where(0.0, 0.0) == here
        with pytest.raises(RuntimeError, match="three"):
            await where(0.0, 0.0, 0.0)
        assert [await where(0.25), await where(0.0)] == [here, here], "one interruption is no reason"
        assert "infer-0" in [await where(0.25) for _ in range(4)]
        assert [await where(0.0) for _ in range(40)][-1] == here
        assert [await where(0.31), await where(0.0)] == [here, "infer-0"]
        assert [await where(0.0) for _ in range(40)][-1] == here
        together = await asyncio.gather(pool.run(value(0.06), 5), pool.run(value(0.0), 5))
        assert len(together) == 2 and pool.pending == 0
        assert pool.close()

    asyncio.run(body())


def test_an_unforeseen_exception_leaves_the_thread_at_work() -> None:
    class Odd(Slot):
        def run(self, arrays):
            if arrays[0][0] == 7:
                raise SystemError("returned a result with an exception set")
            return super().run(arrays)

    async def body() -> None:
        pool = Pool([Odd()], 5)
        for _ in range(3):
            with pytest.raises(SystemError):
                await pool.run(value(7), 5)
        assert (await pool.run(value(1), 5))[0][0].tolist() == [2.0]
        assert pool.pending == 0 and pool.close()

    asyncio.run(body())
