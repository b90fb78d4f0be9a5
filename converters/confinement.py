"""Holding timed processes to a site's share of CPU and memory with control groups, where we may make some.

A group of our own is made only inside one that is ours: the group at the root of what this process sees (a container's
own, or no group at all), or one that was delegated to us. Any other has one writer, who made it (systemd's "Control
Group APIs and Delegation"). Kernel documents: cgroup-v2.rst; cgroup-v1/memory.rst; scheduler/sched-bwc.rst.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

PERIOD_US = 100_000
"""As a kubelet sets it, so that throttling comes in the same bites."""
MIB = 1 << 20
REMOVE_TRIES = 50


@dataclass(frozen=True)
class Parent:
    """A control group that may hold groups of ours for one controller; `version` of the hierarchy is 1 or 2."""

    folder: Path
    version: int


@dataclass(frozen=True)
class Share:
    """CPU in cores and memory in MiB that timed processes are held to; a parent is None where no group can be made."""

    cpu: float
    memory_mib: int
    cpu_parent: Parent | None
    memory_parent: Parent | None

    @contextmanager
    def group(self, *, memory: bool) -> Iterator[list[Path]]:
        """Groups for one process: the files that it writes its own number to. Gone after the block.

        `memory` is for what runs at the site: the source's framework never does and may take more.
        """
        made: list[Path] = []
        try:
            if self.cpu_parent:
                made.append(make(self.cpu_parent, cpu_limits(self.cpu, self.cpu_parent.version)))
            if self.memory_parent and memory:
                limits = memory_limits(self.memory_mib, self.memory_parent.version)
                if made and self.memory_parent == self.cpu_parent:
                    write(made[0], limits)
                else:
                    made.append(make(self.memory_parent, limits))
            yield [folder / "cgroup.procs" for folder in made]
        finally:
            for folder in made:
                remove(folder)


def cpu_limits(cores: float, version: int) -> dict[str, str]:
    """Files of a group and what they shall hold, for a quota of so many cores."""
    quota = max(1000, round(cores * PERIOD_US))
    if version == 2:
        return {"cpu.max": f"{quota} {PERIOD_US}"}
    return {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)}


def memory_limits(mib: int, version: int) -> dict[str, str]:
    """The same for memory."""
    return {"memory.max" if version == 2 else "memory.limit_in_bytes": str(mib * MIB)}


def make(parent: Parent, limits: dict[str, str]) -> Path:
    """A new group with these limits. Raises OSError where it cannot be made; nothing is left then."""
    folder = parent.folder / f"nearedge-{uuid4().hex[:12]}"
    folder.mkdir()
    try:
        write(folder, limits)
    except OSError:
        remove(folder)
        raise
    return folder


def write(folder: Path, limits: dict[str, str]) -> None:
    """Set a group's limits. Raises OSError where it has no such file or refuses the value."""
    for name, value in limits.items():
        with (folder / name).open("r+", encoding="ascii") as file:
            file.write(value)


def remove(folder: Path) -> None:
    """Remove a group; the kernel lets go of an ended process a moment after it ended."""
    for _ in range(REMOVE_TRIES):
        with suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.01)


def share(cpu: float, memory_mib: int, root: Path = Path("/")) -> Share:
    """That share, with the parents that were seen to take a group with such limits."""
    parents: dict[str, Parent | None] = {}
    for controller in ("cpu", "memory"):
        parents[controller] = None
        for one in candidates(controller, root):
            limits = cpu_limits(cpu, one.version) if controller == "cpu" else memory_limits(memory_mib, one.version)
            with suppress(OSError):
                remove(make(one, limits))
                parents[controller] = one
                break
    return Share(cpu, memory_mib, parents["cpu"], parents["memory"])


def candidates(controller: str, root: Path) -> Iterator[Parent]:
    """Groups of ours that may be a parent. Of version 2: those that have the controller switched on for children."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            mount = root / "sys/fs/cgroup"
            if not controllers:
                for folder in own(mount, group, and_above=True):
                    with suppress(OSError):
                        if controller in (folder / "cgroup.subtree_control").read_text(encoding="ascii").split():
                            yield Parent(folder, 2)
            elif controller in controllers.split(","):
                for place in dict.fromkeys((controllers, controller)):
                    yield from (Parent(folder, 1) for folder in own(mount / place, group) if folder.is_dir())


def own(mount: Path, group: str, *, and_above: bool = False) -> Sequence[Path]:
    """The folder of `group`, and the one above it, as far as they are ours."""
    relative = group.strip().lstrip("/")
    folder = mount / relative
    if ".." in Path(relative).parts or not folder.is_dir():
        folder = mount  # a container without a namespace of its own for control groups: only its group is mounted
    found = [folder] if folder == mount or is_delegated(folder) else []
    if and_above and folder != mount and is_delegated(folder.parent):
        found.append(folder.parent)
    return found


def is_delegated(folder: Path) -> bool:
    """Whether a group was handed to us: it is our user's, or marked as systemd marks what it delegates."""
    with suppress(OSError):
        if folder.stat().st_uid == os.geteuid() != 0:
            return True
        for mark in ("user.delegate", "trusted.delegate"):
            with suppress(OSError):
                if os.getxattr(folder, mark) == b"1":
                    return True
    return False
