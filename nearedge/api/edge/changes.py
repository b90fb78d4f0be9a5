"""What a site runs against what git says, and how it came to that."""

from collections.abc import Mapping, Sequence
from typing import Any

from nearedge.api.edge.desired import Desired, Move
from nearedge.api.edge.documents import Upgrade, Version
from nearedge.api.edge.held import Said, seconds

MOST = 50
"""Upgrades of an answer."""


def same(one: Version, other: Version) -> bool:
    """Whether two descriptions mean one release: by the image's digest, else by version and weights."""
    if one.digest and other.digest:
        return one.digest == other.digest
    return (one.version, one.bin_sha256) == (other.version, other.bin_sha256)


def named(one: Version) -> str:
    """A release for a message."""
    digits = (one.digest or one.bin_sha256 or "").rpartition(":")[2][:12]
    return f"{one.version or 'a model without a release'}{f' ({digits})' if digits else ''}"


def difference(
    name: str, site: str, said: Said[Desired] | None, running: Version | None, why_not: str, way: str
) -> tuple[Version | None, bool | None, str]:
    """What git wants, whether that runs, and why not.

    `why_not`: why the model takes no requests; empty: it does. `way`: why it does not run what git wants, then.
    """
    if said is None:
        return None, None, "no git repository is configured (--git-url)"
    if said.value is None:
        return None, None, f"what git says is not known: {said.fault}"
    if name not in said.value.models:
        return None, False, f"git says that site {site} does not run it"
    wanted = said.value.models[name]
    if wanted is None:
        return None, None, "the record of the release that git names cannot be read"
    if running is None or running.version is None:
        return wanted, None, f"what runs is not known: {why_not or 'its server tells of no release'}"
    if same(wanted, running):
        return wanted, True, ""
    if why_not:
        return wanted, False, f"git says {named(wanted)}; {named(running)} was served last: {why_not}"
    return wanted, False, f"git says {named(wanted)}, {named(running)} is served: {way}"


def upgrades(moves: Sequence[Move], events: Sequence[Mapping[str, Any]]) -> list[Upgrade]:
    """Moves that git tells of with when each was first seen to run, and those that were only seen; the newest first.

    `events` are those of one model, the oldest first.
    """
    runs = [(seconds(str(line["time"])) or 0.0, line) for line in events if line.get("kind") == "running"]
    used: set[int] = set()
    found: list[tuple[float, Upgrade]] = []
    for move in reversed(moves):
        began = seconds(move.committed) or 0.0
        fits = [at for at, (time, line) in enumerate(runs) if at not in used and time >= began and is_of(line, move.to)]
        seen = runs[fits[0]] if fits else None
        used.update(fits[:1])
        found.append((began, of_move(move, seen, began)))
    for at, (time, line) in enumerate(runs):
        if at not in used:
            left = version(runs[at - 1][1]) if at else None
            found.append((time, only_seen(line, left)))
    found.sort(key=lambda pair: pair[0])  # stable: git's own order within a second
    return [one for _, one in reversed(found)][:MOST]


def of_move(move: Move, seen: tuple[float, Mapping[str, Any]] | None, began: float) -> Upgrade:
    """A move that git tells of."""
    return Upgrade(
        commit=move.commit, committed=move.committed, to=move.to, left=move.left, rolled_back=move.rolled_back,
        running=None if seen is None else str(seen[1]["time"]),
        duration_s=None if seen is None else round(seen[0] - began, 3), bytes=move.bytes,
    )  # fmt: skip


def only_seen(line: Mapping[str, Any], left: Version | None) -> Upgrade:
    """A release that was seen to run, and git does not tell of."""
    return Upgrade(
        commit=None, committed=None, to=version(line), left=left, rolled_back=False, running=str(line["time"]),
        duration_s=None, bytes=None,
    )  # fmt: skip


def version(line: Mapping[str, Any]) -> Version:
    """The release that an event is about."""
    texts = {key: line.get(key) for key in ("version", "digest", "bin_sha256", "precision")}
    return Version(**{key: text if isinstance(text, str) else None for key, text in texts.items()})


def is_of(line: Mapping[str, Any], wanted: Version) -> bool:
    """Whether an event is about this release."""
    return same(version(line), wanted)
