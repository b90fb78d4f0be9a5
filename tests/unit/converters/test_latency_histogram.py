"""How latencies are put into bins."""

import numpy as np
import pytest

from converters.measured import BINS, histogram


@pytest.mark.parametrize(
    "latencies",
    [
        np.random.default_rng(0).lognormal(0, 0.3, 5000), np.array([0.25]), np.full(9, 3.0), np.array([0.0, 0.5]),
        np.append(np.linspace(0.1, 0.12, 1000), 50.0),
    ],
)  # fmt: skip
def test_every_latency_is_in_a_bin(latencies):
    found = histogram(latencies)
    assert sum(found.counts) == len(latencies) and len(found.counts) == BINS == len(found.edges_ms) - 1
    assert found.edges_ms == sorted(found.edges_ms) and found.edges_ms[0] <= latencies.min()


def test_a_stray_request_leaves_the_rest_in_more_than_one_bin():
    found = histogram(np.append(np.random.default_rng(0).lognormal(0, 0.3, 1000), 100.0))
    assert sum(1 for count in found.counts if count > 10) > 5
