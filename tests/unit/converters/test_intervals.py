"""Intervals that gates work on: their width on made-up turns, and how often they hold the truth."""

import numpy as np
import pytest

from converters import intervals


@pytest.mark.parametrize("freedom,true", [(4, 2.7764), (9, 2.2622), (14, 2.1448), (29, 2.0452)])
def test_students_quantile(freedom, true):
    assert intervals.student_975(freedom) == pytest.approx(true, rel=1e-3)


def test_turns_are_paired_so_what_slows_both_does_not_count():
    slowed = np.array([1.0, 5.0, 2.0, 9.0])
    found = intervals.faster(list(2 * slowed), list(slowed))
    assert (found.low, found.value, found.high) == pytest.approx((2, 2, 2))


def test_a_ratio_and_its_inverse_agree():
    one, other = [1.0, 1.1, 0.9, 1.05], [2.0, 2.5, 1.8, 2.1]
    there, back = intervals.faster(one, other), intervals.faster(other, one)
    assert (1 / back.high, 1 / back.value, 1 / back.low) == pytest.approx((there.low, there.value, there.high))


def test_the_interval_holds_the_true_ratio_19_times_of_20():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        found = intervals.faster(list(1.2 * rng.lognormal(0, 0.1, 15)), list(rng.lognormal(0, 0.1, 15)))
        held += found.low <= 1.2 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_p99_of_few_requests_is_bounded_by_the_largest_alone():
    few = [[1.0, 2.0, 30.0], [1.0, 1.0, 1.0]]
    assert intervals.p99(few)[1] == 30.0
    rng = np.random.default_rng(0)
    many = [list(rng.exponential(1, 500)) for _ in range(15)]
    low, high = intervals.p99(many)
    assert low < -np.log(0.01) < high < max(map(max, many)) and intervals.p99(many) == (low, high)
