"""The machine we run on, and how much of it we may use: affinity, CPU quota, memory limit."""

import math
import os
from pathlib import Path

import psutil

from converters import instruction_set
from converters.quantities import counted
from nearedge.release.profile import Profile
from nearedge.release.sections import Machine

CGROUP = Path("/sys/fs/cgroup")
MIB = 1 << 20


def number_in(path: Path, at: int = 0) -> int | None:
    """The integer at that place in a cgroup file; None where there is no such file or no limit."""
    try:
        text = path.read_text(encoding="ascii").split()[at]
    except (OSError, IndexError):
        return None
    return int(text) if text.lstrip("-").isdigit() else None


def quota(cgroup: Path = CGROUP) -> float | None:
    """Cores that the cgroup's CPU quota allows (version 2, then 1); None where there is none."""
    pairs = (
        (number_in(cgroup / "cpu.max"), number_in(cgroup / "cpu.max", 1)),
        (number_in(cgroup / "cpu" / "cpu.cfs_quota_us"), number_in(cgroup / "cpu" / "cpu.cfs_period_us")),
    )
    for allowed, period in pairs:
        if allowed is not None and allowed > 0 and period:
            return allowed / period
    return None


def usable_cores(cgroup: Path = CGROUP) -> list[int]:
    """Numbers of the processors this process may keep busy: its affinity, cut to the quota's whole cores."""
    cores = sorted(os.sched_getaffinity(0))
    allowed = quota(cgroup)
    return cores if allowed is None else cores[-max(1, math.floor(allowed)) :]


def threads_here(profile: Profile) -> int:
    """The profile's inference threads, or as many as this process may use."""
    return min(profile.threads, len(usable_cores()))


def memory_mib(cgroup: Path = CGROUP) -> int:
    """The machine's memory, or the cgroup's limit where that is less."""
    total = int(psutil.virtual_memory().total)
    limits = (number_in(cgroup / "memory.max"), number_in(cgroup / "memory" / "memory.limit_in_bytes"))
    return min([total, *(limit for limit in limits if limit)]) // MIB


def cpu_name(cpuinfo: str) -> str:
    """The processor's name in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return "unknown processor"


def describe(profile: Profile) -> Machine:
    """Where figures are measured, and how the profile's share was held."""
    threads, here = threads_here(profile), instruction_set.here()
    said = [f"affinity to {threads} of {len(os.sched_getaffinity(0))} processors and {counted(threads, 'thread')}"]
    if threads < profile.threads:
        said.append(f"the profile allows {profile.threads} threads, this process may use no more")
    if profile.instruction_set != here and instruction_set.has(here, profile.instruction_set):
        said.append(
            f"the site's {profile.instruction_set} is less than this machine's {here}, so times there are longer"
        )
    elif not instruction_set.has(here, profile.instruction_set):
        said.append(f"the site's {profile.instruction_set} is not on this machine, which has {here}")
    return Machine(
        cpu=cpu_name(instruction_set.CPUINFO.read_text(encoding="utf-8")),
        instruction_set=here,
        cores=len(usable_cores()),
        memory_mib=memory_mib(),
        limited_by="; ".join(said),
    )
