"""Reads what a model server's `/metrics` says, in Prometheus' text format 0.0.4."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
ESCAPED = re.compile(r"\\(.)")
INFER_SECONDS = "nearedge_request_duration_seconds"


class Sample(NamedTuple):
    """One line."""

    name: str
    labels: dict[str, str]
    value: float


class Bucket(NamedTuple):
    """How many observations were at most `bound`."""

    bound: float
    total: float


def samples(text: str, names: Sequence[str] = ()) -> Iterator[Sample]:
    """The lines, those of `names` only where any are given; lines that are none are passed over."""
    for line in text.splitlines():
        if names and not line.startswith(tuple(names)):
            continue
        found = LINE.fullmatch(line.strip())
        value = None if found is None or line.startswith("#") else number(found[3])
        if found is not None and value is not None:
            labels = {key: ESCAPED.sub(letter, said) for key, said in LABEL.findall(found[2] or "")}
            yield Sample(found[1], labels, value)


def letter(match: re.Match[str]) -> str:
    """What an escaped letter means."""
    return "\n" if match[1] == "n" else match[1]


def number(text: str) -> float | None:
    """A value, None where it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def first(found: Iterable[Sample], name: str, **labels: str) -> float | None:
    """The finite value of one sample, None where it is not there."""
    for one in found:
        if one.name == name and math.isfinite(one.value) and labels.items() <= one.labels.items():
            return one.value
    return None


def of_model(found: Iterable[Sample], name: str) -> list[Sample]:
    """The samples that are about a model."""
    return [one for one in found if one.labels.get("model") == name]


def by_code(found: Iterable[Sample]) -> dict[str, int]:
    """Requests by the code that they were answered with."""
    codes: dict[str, int] = {}
    for one in found:
        if one.name == "nearedge_requests_total" and math.isfinite(one.value):
            code = one.labels.get("code", "")
            codes[code] = codes.get(code, 0) + int(one.value)
    return codes


def is_error(code: str) -> bool:
    """Whether a code of HTTP, or the name of one of gRPC, tells of a fault."""
    return int(code) >= 400 if code.isdecimal() else code != "OK"


def buckets(found: Iterable[Sample], name: str) -> list[Bucket]:
    """A histogram, its series of different labels added up."""
    counts: dict[float, float] = {}
    for one in found:
        bound = number(one.labels.get("le", "")) if one.name == f"{name}_bucket" else None
        if bound is not None and math.isfinite(one.value):
            counts[bound] = counts.get(bound, 0.0) + one.value
    return [Bucket(bound, counts[bound]) for bound in sorted(counts)]


def quantile(found: Sequence[Bucket], share: float) -> float | None:
    """The quantile as Prometheus' histogram_quantile estimates it: linear within a bucket, no further than the last
    finite bound. None where nothing was observed.
    """
    if not found or found[-1].total <= 0:
        return None
    rank, low, below = share * found[-1].total, 0.0, 0.0
    for bound, count in found:
        if count >= rank:
            if math.isinf(bound):
                return low
            return low + (bound - low) * ((rank - below) / (count - below) if count > below else 1.0)
        low, below = bound, count
    return low


def mean(found: Iterable[Sample], name: str) -> float | None:
    """The mean of a histogram, None where nothing was observed."""
    all_of_them = list(found)
    total = sum(one.value for one in all_of_them if one.name == f"{name}_sum")
    count = sum(one.value for one in all_of_them if one.name == f"{name}_count")
    return total / count if count > 0 and math.isfinite(total / count) else None
