"""Batches put together and taken apart, and turns of several workers."""

import numpy as np
import pytest

from converters import crowd


def doubled(feed):
    return {"y": feed["x"] * 2}


def feeds(count):
    return [{"x": np.full((1, 2), at, "f4")} for at in range(count)]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_each_request_of_a_batch_gets_its_own_rows(size):
    found = crowd.batched(doubled, size)(feeds(5))
    assert [one["y"].tolist() for one in found] == [[[2.0 * at] * 2] for at in range(5)]


def test_what_mixes_rows_is_refused():
    with pytest.raises(ValueError, match="not as many rows"):
        crowd.batched(lambda feed: {"y": feed["x"].sum(axis=0, keepdims=True)}, 4)(feeds(4))


@pytest.mark.parametrize("workers,size", [(1, 1), (2, 1), (2, 4)])
def test_a_turn_counts_every_request(workers, size):
    found = crowd.turn([doubled] * workers, feeds(4), size, 0.01, 0.02)
    assert len(found["latencies"]) >= 3 * workers * size and found["per_second"] > 0 and found["cores"] > 0
    assert found["inner"] == []


def test_a_worker_that_fails_is_not_lost():
    def fail(_):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        crowd.turn([doubled, fail], feeds(2), 1, 0.0, 0.01)
