"""How many threads this container may keep busy: the cgroup's CPU quota (v1 and v2) and the affinity."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def cpu_limit(root: Path = ROOT) -> float:
    """CPUs this process may use, at least 0: the smaller of the affinity and every cgroup quota above it.

    `root` is the folder that holds proc/ and sys/; a machine without either has no quota.
    """
    cpus = float(len(os.sched_getaffinity(0)))
    return min([cpus, *quotas(root)])


def thread_cap(root: Path = ROOT) -> int:
    """Inference threads that fit `cpu_limit`: rounded down, since one thread too many is throttled; at least 1."""
    return max(1, int(cpu_limit(root)))


def quotas(root: Path) -> Iterator[float]:
    """The quota, in CPUs, of each cgroup this process is in and of the groups above it.

    Formats: proc/self/cgroup and, in the kernel's cgroup-v2.rst, cpu.max ("max 100000" or "150000 100000");
    in sched-bwc.rst, cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us.
    """
    for line in lines(root / "proc/self/cgroup"):
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            for folder in folders(root / "sys/fs/cgroup", group):
                yield from quota(text(folder / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for mount in (controllers, "cpu"):
                for folder in folders(root / "sys/fs/cgroup" / mount, group):
                    yield from quota([text(folder / "cpu.cfs_quota_us"), text(folder / "cpu.cfs_period_us")])


def folders(mount: Path, group: str) -> Iterator[Path]:
    """The folder of `group` under `mount` and those above it; in a container often only the mount exists."""
    path = PurePosixPath(group.strip().lstrip("/"))
    for part in (path, *path.parents):
        if ".." not in part.parts:
            yield mount / part


def quota(words: list[str]) -> Iterator[float]:
    """CPUs from a quota and a period in microseconds; nothing where there is no limit."""
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]) > 0 and int(words[0]) > 0:
        yield int(words[0]) / int(words[1])


def lines(path: Path) -> list[str]:
    """Lines of a small file, none where it cannot be read."""
    return text(path).splitlines()


def text(path: Path) -> str:
    """A small file's text without white space around it, empty where it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
