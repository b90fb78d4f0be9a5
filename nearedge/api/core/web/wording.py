"""How values read on the page: times, durations, sizes, states."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from nearedge.api.core.models import ENDED, Value

DASH = "\N{EN DASH}"
"""What is not known."""
MARKS = {
    "Pending": "○", "Running": "◐", "Succeeded": "✓", "Failed": "✕", "Cancelled": "⊘", "Lost": "?", "Skipped": DASH,
}  # fmt: skip
"""A sign for each state of a run, a Task or a step, beside its name: colour alone says nothing to some."""
OURS = ("app.kubernetes.io/", "nearedge.dev/", "tekton.dev/")
"""How keys of labels begin that Tekton and nearedge give."""
CONTROLS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def moment(text: str) -> datetime | None:
    """An RFC 3339 time in UTC, None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def clock(text: str | None) -> str:
    """Day and time of day to the second, in UTC."""
    found = moment(text or "")
    return found.strftime("%Y-%m-%d %H:%M:%S") if found else text or DASH


def lasted(started: str | None, ended: str | None) -> str:
    """From one time to another, or until now; a dash where it did not begin."""
    first, last = moment(started or ""), moment(ended or "") or datetime.now(UTC)
    return DASH if first is None else duration((last - first).total_seconds())


def duration(seconds: float) -> str:
    """Seconds in the two largest units that it needs."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    while not parts[0][0]:
        parts = parts[1:]
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def going_on(state: str) -> bool:
    """Whether the state is not yet the last."""
    return state not in ENDED


def lines(value: Value | None) -> str:
    """A param's value as a form shows it: one item a line, entries as KEY=VALUE."""
    if isinstance(value, dict):
        return "\n".join(f"{key}={one}" for key, one in value.items())
    return "\n".join(value) if isinstance(value, list) else value or ""


def figure(value: float | None, digits: int = 3) -> str:
    """A number to so many significant digits, a dash where it is not known."""
    if value is None:
        return DASH
    if value and abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """A part of one as per cent."""
    return DASH if value is None else f"{100 * value:.4g} %"


def size(value: float | None) -> str:
    """Bytes in the unit that fits, as the release's figures say them."""
    if value is None:
        return DASH
    if value < 1000:
        return f"{value:.0f} B"
    power = 1 if value < 1e6 else 2 if value < 1e9 else 3
    return f"{value / 1000**power:.1f} {'kMG'[power - 1]}B"


def plain(text: str) -> str:
    """A line of a log without what is meant for a terminal (ECMA-48) and other characters that show as nothing."""
    return UNSEEN.sub("", CONTROLS.sub("", text))


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")


def given(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that a person gave a run, without those that say how it came to be."""
    return {key: value for key, value in labels.items() if not key.startswith(OURS)}


FILTERS: dict[str, Callable[..., object]] = {
    "clock": clock, "lasted": lasted, "duration": duration, "lines": lines, "figure": figure, "share": share,
    "size": size, "segment": segment, "plain": plain, "given": given, "going_on": going_on,
}  # fmt: skip
