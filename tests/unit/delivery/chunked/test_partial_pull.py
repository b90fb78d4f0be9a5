import pytest

from nearedge.delivery.chunked import Contents, needed
from nearedge.delivery.chunked.contents import Chunk, File
from nearedge.delivery.chunked.form import Span
from nearedge.delivery.chunked.partial_pull import CURRENT, MOST_RANGES, PODMAN_4, Engine, Range, answer, merged, ranges

TABLE, SPLIT = Span(90_000, 500, 2000), Span(90_508, 300, 900)
WHOLE = 100_000


def file(name, *chunks, digest=""):
    return File(name, digest or name, 1, tuple(chunks))


def contents(*files, split=SPLIT):
    return Contents(files, TABLE, split, WHOLE)


A, B, C = Chunk("a", 0, 1000), Chunk("b", 1000, 3000), Chunk("c", 3000, 6000)


@pytest.mark.parametrize(
    ("new", "known", "expected"),
    [
        ([file("f", A, B, C)], "", [(0, 6000)]),
        ([file("f", A, B, C)], "f", []),
        ([file("f", A, B, C)], "b", [(0, 1000), (3000, 6000)]),
        ([file("f", A, B), file("g", C)], "", [(0, 3000), (3000, 6000)]),
        ([file("f", A, Chunk("z", 1000, 1100, zeros=True), Chunk("d", 1100, 1200))], "", [(0, 1000), (1100, 1200)]),
        ([file("f", Chunk("", 5, 9))], "g", [(5, 9)]),
    ],
)
def test_what_is_missing(new, known, expected):
    assert ranges(new, frozenset(known)) == [Range(*pair) for pair in expected]


@pytest.mark.parametrize(
    ("pairs", "gap", "expected"),
    [
        ([], 1024, []),
        ([(0, 10), (10, 20)], -1, [(0, 10), (10, 20)]),
        ([(0, 10), (10, 20)], 0, [(0, 20)]),
        ([(0, 10), (1034, 1040), (2065, 2070)], 1024, [(0, 1040), (2065, 2070)]),
    ],
)
def test_ranges_are_merged_across_small_gaps(pairs, gap, expected):
    assert merged([Range(*pair) for pair in pairs], gap) == [Range(*pair) for pair in expected]


def test_no_more_ranges_than_a_request_takes():
    wanted = [Range(n * 10_000, n * 10_000 + 5000 - n) for n in range(3000)]
    assert MOST_RANGES - 2 <= len(merged(wanted, -1)) <= MOST_RANGES


def test_tables_count_and_known_files_do_not():
    new, old = contents(file("f", A), file("g", C)), contents(file("f", A))
    tables = answer([Range(90_000, 90_500), Range(90_508, 90_808)], WHOLE)
    assert needed(new, [old]) == tables + 3000
    assert needed(new, [old], PODMAN_4) == 500 + 3000
    assert needed(contents(file("f", A), split=None), [old]) == 500
    assert needed(new, [new]) == tables
    assert needed(new, []) == tables + answer([Range(0, 1000), Range(3000, 6000)], WHOLE)
    assert Engine() == CURRENT


def test_overlapping_ranges_get_the_whole_blob():
    assert answer([Range(0, 60_000), Range(10, 60_000)], WHOLE) == WHOLE
