"""Upgrades as the cluster saw them: when the first pod of an image was made and ready, and how its image was pulled."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nearedge.api.edge.cluster.objects import DIGEST
from nearedge.api.edge.documents import Upgrade, Version
from nearedge.api.edge.held import seconds

PULLED = re.compile(r'Successfully pulled image "([^"]+)" in ([0-9.a-zµ]+)(?:.*Image size: ([0-9]+) bytes)?')
THERE = re.compile(r'Container image "([^"]+)" already present')
"""Messages of the kubelet's event `Pulled` (pkg/kubelet/images/image_manager.go)."""
DURATION = re.compile(r"([0-9.]+)(ms|us|µs|ns|h|m|s)")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
EARLIER_S = 2.0
"""Times of the cluster are whole seconds, those of commits as well."""


@dataclass
class Rollout:
    """One: the times are RFC 3339."""

    digest: str
    started: str
    available: str | None = None
    pull_s: float | None = None
    size: int | None = None


def of_lines(lines: Sequence[Mapping[str, Any]]) -> list[Rollout]:
    """The rollouts that the events of a model tell of, the oldest first."""
    found: list[Rollout] = []
    for line in lines:
        kind, digest, time = line.get("kind"), line.get("digest"), str(line["time"])
        if kind == "rolling out" and isinstance(digest, str):
            found.append(Rollout(digest, time))
        elif kind == "available" and found and found[-1].digest == digest:
            found[-1].available = time
    for line in lines:
        if line.get("reason") == "Pulled":
            add_pull(found, str(line.get("message", "")))
    return found


def add_pull(found: Sequence[Rollout], message: str) -> None:
    """What a message says of how an image was pulled, for the newest rollout of it of which that is not known."""
    pulled, there = PULLED.match(message), THERE.match(message)
    image = DIGEST.search((pulled or there or [""] * 2)[1])
    one = next((one for one in reversed(found) if image and one.digest == image[0]), None)
    if one is not None and one.pull_s is None:
        one.pull_s = duration(pulled[2]) if pulled else 0.0
        one.size = int(pulled[3]) if pulled and pulled[3] else None


def duration(text: str) -> float:
    """Seconds of a duration as Go writes it."""
    return round(sum(float(number) * UNITS[unit] for number, unit in DURATION.findall(text)), 6)


def merged(upgrades: Sequence[Upgrade], rollouts: Sequence[Rollout], most: int) -> list[Upgrade]:
    """Upgrades of git and of what servers said, with what the cluster saw, and those that only it saw."""
    left = list(rollouts)
    found = []
    for one in reversed(upgrades):
        fits = next((rollout for rollout in left if is_of(rollout, one)), None)
        if fits is not None:
            left.remove(fits)
        found.append(one if fits is None else with_rollout(one, fits))
    found += [only_there(one) for one in left]
    found.sort(key=lambda one: seconds(one.committed or one.started or one.running or "") or 0.0)
    return list(reversed(found))[:most]


def is_of(rollout: Rollout, upgrade: Upgrade) -> bool:
    """Whether a rollout is of that upgrade: the same image, and not begun before git said so."""
    began, said = seconds(rollout.started) or 0.0, seconds(upgrade.committed or "")
    return rollout.digest == upgrade.to.digest and (said is None or began >= said - EARLIER_S)


def with_rollout(one: Upgrade, seen: Rollout) -> Upgrade:
    """An upgrade with what the cluster saw of it, which is more exact than when its server was asked."""
    running = seen.available or one.running
    began, ended = seconds(one.committed or ""), seconds(running or "")
    took = None if began is None or ended is None else max(0.0, round(ended - began, 3))
    return one.model_copy(
        update={
            "started": seen.started, "available": seen.available, "running": running, "duration_s": took,
            "pull_s": seen.pull_s, "image_bytes": seen.size,
        }
    )  # fmt: skip


def only_there(seen: Rollout) -> Upgrade:
    """A rollout that neither git nor a server told of."""
    to = Version(version=None, digest=seen.digest, bin_sha256=None, precision=None)
    return Upgrade(
        commit=None, committed=None, to=to, left=None, rolled_back=False, running=seen.available, duration_s=None,
        bytes=None, started=seen.started, available=seen.available, pull_s=seen.pull_s, image_bytes=seen.size,
    )  # fmt: skip
