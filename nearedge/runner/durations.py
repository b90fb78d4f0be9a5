"""Durations as Go writes them in manifests (`1h30m`, `90s`, `500ms`), in seconds, and as a person reads them."""

import re

from nearedge.errors import InputError

UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
PIECE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|h|m|s)")


def seconds(text: str, where: str) -> float:
    """Seconds of a Go duration, `0` included. Raises InputError that names `where`."""
    if text == "0":
        return 0.0
    if not text or PIECE.sub("", text):
        raise InputError(f"{where}: {text!r} is no duration; write it like 1h30m or 90s")
    return sum(float(number) * UNITS_S[unit] for number, unit in PIECE.findall(text))


def readable(duration_s: float) -> str:
    """`2.1 s` below a minute, `3 min 05 s` from there on."""
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    return f"{int(duration_s) // 60} min {int(duration_s) % 60:02d} s"


def go(duration_s: float) -> str:
    """The duration as Kubernetes prints it: `1h0m0s`, `1.5s`."""
    hours, rest = divmod(duration_s, 3600)
    minutes, last = divmod(rest, 60)
    tail = f"{last:g}s"
    if hours:
        return f"{int(hours)}h{int(minutes)}m{tail}"
    return f"{int(minutes)}m{tail}" if minutes else tail
