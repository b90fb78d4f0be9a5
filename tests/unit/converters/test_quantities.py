"""Figures as a person reads them."""

import pytest

from converters import quantities


@pytest.mark.parametrize("value,text", [
    (0.0123, "12.3 µs"), (0.9994, "999 µs"), (0.9996, "1 ms"), (12.345, "12.3 ms"), (999.4, "999 ms"),
    (999.6, "1 s"), (12_345, "12.3 s"),
])  # fmt: skip
def test_milliseconds(value, text):
    assert quantities.milliseconds(value) == text


@pytest.mark.parametrize("size,text", [(999, "1.0 kB"), (1_000_000, "1.0 MB"), (1_234_567_890, "1,234.6 MB")])
def test_megabytes(size, text):
    assert quantities.megabytes(size) == text


@pytest.mark.parametrize("number,text", [(0, "0 threads"), (1, "1 thread"), (2, "2 threads")])
def test_counted(number, text):
    assert quantities.counted(number, "thread") == text


@pytest.mark.parametrize("value,text", [(0.97222, "0.9722"), (-1e-9, "0.0000"), (-0.01, "-0.0100"), (0.0, "0.0000")])
def test_share(value, text):
    assert quantities.share(value) == text


@pytest.mark.parametrize("ratio,text", [
    (6.71, "6.7 times as fast"), (1, "1.0 times as fast"), (0.2, "5.0 times as slow"),
])  # fmt: skip
def test_pace(ratio, text):
    assert quantities.pace(ratio) == text
