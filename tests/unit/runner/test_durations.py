"""Go durations."""

import pytest

from nearedge.errors import InputError
from nearedge.runner import durations


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1h", 3600), ("1h30m", 5400), ("90s", 90), ("500ms", 0.5), ("0", 0), ("0s", 0), ("1.5h", 5400), ("1m0.5s", 60.5)],
)
def test_seconds(text, expected):
    assert durations.seconds(text, "here") == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "1 h", "h", "-1s", "1h x", "1d"])
def test_what_is_no_duration(text):
    with pytest.raises(InputError, match=r"here: .* is no duration"):
        durations.seconds(text, "here")


@pytest.mark.parametrize(
    ("given", "expected"), [(0.04, "0.0 s"), (2.06, "2.1 s"), (59.9, "59.9 s"), (185, "3 min 05 s")]
)
def test_readable(given, expected):
    assert durations.readable(given) == expected


@pytest.mark.parametrize(("given", "expected"), [(3600, "1h0m0s"), (90, "1m30s"), (1.5, "1.5s"), (3661, "1h1m1s")])
def test_go(given, expected):
    assert durations.go(given) == expected
    assert durations.seconds(durations.go(given), "") == given
