"""One turn of timed requests: one after the other, or from as many clients as keep every request of a model busy.

Each worker has an inference request and a thread of its own, as the server has, and sends the next one as soon as the
last was answered. In a batch the rows of several requests are put together, computed at once and taken apart again; all
of that counts as latency of each.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Feed = dict[str, Any]
Predict = Callable[[Feed], dict[str, Any]]
Batch = Callable[[list[Feed]], list[dict[str, Any]]]

MOST_LATENCIES = 5000
"""A turn of a worker ends at so many; more would only lengthen the answer."""
FEWEST = 3


def together(feeds: Sequence[Feed]) -> Feed:
    """The rows of all feeds as one feed, along axis 0."""
    return {name: np.concatenate([one[name] for one in feeds]) for name in feeds[0]}


def apart(found: dict[str, Any], rows: Sequence[int]) -> list[dict[str, Any]]:
    """The answers to a batch, cut into those to each of its requests. Raises ValueError where rows are missing."""
    if any(len(array) != sum(rows) for array in found.values()):
        raise ValueError("an output has not as many rows as the batch")
    ends = np.cumsum(rows)[:-1]
    parts = {name: np.split(array, ends) for name, array in found.items()}
    return [{name: np.ascontiguousarray(parts[name][at]) for name in parts} for at in range(len(rows))]


def batched(predict: Predict, size: int) -> Batch:
    """Answers to any number of feeds, `size` of them computed at once."""

    def answers(feeds: list[Feed]) -> list[dict[str, Any]]:
        if size == 1:
            return [predict(feed) for feed in feeds]
        found: list[dict[str, Any]] = []
        for at in range(0, len(feeds), size):
            part = feeds[at : at + size]
            rows = [len(next(iter(one.values()))) for one in part]
            found += apart(predict(together(part)), rows)
        return found

    return answers


def timed(answers: Batch, feeds: list[Feed], size: int, lead: float, seconds: float) -> tuple[list[float], float]:
    """Latencies in milliseconds, one for each request, of batches one after the other, and the seconds of all.

    The first `lead` seconds are not counted. Three batches at least, whatever they take.
    """
    turn = [[feeds[(at + more) % len(feeds)] for more in range(size)] for at in range(0, max(len(feeds), size), size)]
    until = time.perf_counter() + lead
    while time.perf_counter() < until:
        answers(turn[0])
    latencies: list[float] = []
    start = time.perf_counter()
    while len(latencies) < FEWEST or (time.perf_counter() < start + seconds and len(latencies) < MOST_LATENCIES):
        part = turn[len(latencies) % len(turn)]
        began = time.perf_counter()
        answers(part)
        latencies.append((time.perf_counter() - began) * 1000)
    return [one for one in latencies for _ in range(size)], time.perf_counter() - start


def turn(
    workers: Sequence[Predict], feeds: list[Feed], size: int, lead: float, seconds: float
) -> dict[str, list[float] | float]:
    """One turn of all workers at once: latencies, requests a second, and cores that were busy.

    `inner` are the milliseconds that a worker's own engine counted for each inference, where it does.
    """
    found: list[tuple[list[float], float]] = []
    faults: list[BaseException] = []

    def work(predict: Predict) -> None:
        try:
            found.append(timed(batched(predict, size), feeds, size, lead, seconds))
        except (RuntimeError, ValueError) as error:
            faults.append(error)

    for predict in workers:
        getattr(predict, "inner", []).clear()
    used, start = time.process_time(), time.perf_counter()
    if len(workers) == 1:
        work(workers[0])
    else:
        threads = [threading.Thread(target=work, args=(predict,)) for predict in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if faults:
        raise faults[0]
    cores = (time.process_time() - used) / (time.perf_counter() - start)
    return {
        "latencies": [one for latencies, _ in found for one in latencies],
        "per_second": sum(len(latencies) / whole for latencies, whole in found),
        "cores": cores,
        "inner": [one for predict in workers for one in getattr(predict, "inner", [])],
    }
