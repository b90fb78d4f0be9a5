"""The front: what no other candidate beats, and by which loss they are compared."""

import itertools

import pytest

from converters import pareto
from converters.report_scatter import labelled, scaled
from nearedge.release.sections import Candidate


def candidate(precision, p50, size, drop=0.0, top1=1.0, relative=0.0, memory=None):
    return Candidate(precision=precision, metric=None if drop is None else 1 - drop, drop=drop, top1_agreement=top1,
                     max_relative=relative, p50_ms=p50, size_bytes=size, outcome="holds",
                     peak_rss_mib=memory)  # fmt: skip


LEFT_OUT = Candidate(precision="bf16", metric=None, drop=None, top1_agreement=None, max_relative=None, p50_ms=None,
                     size_bytes=None, outcome="not possible: x")  # fmt: skip


@pytest.mark.parametrize("rows,front", [
    ([("f32", 1.0, 4), ("fp16", 1.0, 2)], {"fp16"}),
    ([("f32", 1.0, 4), ("fp16", 1.0, 4)], {"f32", "fp16"}),
    ([("fp16", 1.0, 2), ("int8", 0.5, 1, 0.2)], {"fp16", "int8"}),
    ([("fp16", 1.0, 2), ("int8", 0.5, 1, -0.1)], {"int8"}),
    ([("fp16", 1.0, 2), ("int8", 1.5, 1, 0.1), ("int8-weights", 1.5, 1, 0.0)], {"fp16", "int8-weights"}),
    ([], set()),
])  # fmt: skip
def test_the_front(rows, front):
    assert pareto.front([*(candidate(*row) for row in rows), LEFT_OUT]) == front


@pytest.mark.parametrize("f32,fp16,front", [
    ((1.0, 100.0), (1.0, 90.0), {"fp16"}), ((1.0, 90.0), (1.0, 100.0), {"f32", "fp16"}),
    ((1.0, 100.4), (1.04, 100.0), {"fp16"}), ((1.0, 100.0), (1.2, 100.0), {"f32", "fp16"}),
    ((1.0, 100.0), (1.0, None), {"fp16"}),
])  # fmt: skip
def test_the_front_is_of_memory_too_and_of_no_more_digits_than_are_known(f32, fp16, front):
    rows = [("f32", *f32), ("fp16", *fp16)]
    made = [candidate(name, p50, 4 if name == "f32" else 2, memory=memory) for name, p50, memory in rows]
    assert pareto.front(made) == front


@pytest.mark.parametrize("drop,top1,kind,loss", [
    (0.3, 0.9, "drop", 0.3), (None, 0.9, "top1", 0.1), (None, None, "relative", 0.5),
])  # fmt: skip
def test_loss_is_the_best_that_is_known(drop, top1, kind, loss):
    found = [candidate("int8", 1.0, 1, drop, top1, 0.5), LEFT_OUT]
    assert pareto.measure(found) == kind
    [place] = pareto.places(found)
    assert place.loss == pytest.approx(loss) and place.holds


def test_labels_keep_apart_and_inside():
    rows = labelled([100.0, 101.0, 100.5, 250.0, 251.0])
    ordered = sorted(rows)
    assert all(other - one >= 18 for one, other in itertools.pairwise(ordered)) and ordered[-1] <= 270
    assert rows.index(min(rows)) == 0


def test_values_keep_their_proportion():
    low, middle, high = scaled([0.0, 5.0, 10.0], 0, 100)
    assert 0 < low < middle < high < 100 and middle == pytest.approx(50)
    assert scaled([3.0, 3.0], 0, 100) == [50, 50]
