"""The machine we run on, and how much of it we may use: affinity, CPU quota, memory limit."""

import math
import os
from pathlib import Path

import psutil

from converters import confinement, instruction_set
from converters.quantities import counted
from nearedge.release.profile import InstructionSet, Profile
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


def share(profile: Profile) -> confinement.Share:
    """The profile's share for one model, never above what this process has, and how it can be held."""
    usable = quota() or float(len(usable_cores()))
    return confinement.share(min(profile.model.cpu, usable), min(profile.model.memory_mib, memory_mib()))


def pinned(profile: Profile) -> list[int]:
    """Numbers of the processors that timed processes run on: as many as the profile's share touches."""
    return usable_cores()[-max(1, math.ceil(profile.model.cpu)) :]


def measured_cpu(profile: Profile, held: confinement.Share) -> float:
    """Most CPU that a timed process can have, in cores."""
    whole = float(len(pinned(profile)))
    return min(held.cpu, whole) if held.cpu_parent else whole


def describe(profile: Profile, held: confinement.Share) -> Machine:
    """Where figures are measured, and how the profile's share was held."""
    here = instruction_set.here()
    return Machine(
        cpu=cpu_name(instruction_set.CPUINFO.read_text(encoding="utf-8")),
        instruction_set=here,
        cores=len(usable_cores()),
        memory_mib=memory_mib(),
        limited_by="; ".join([*limits_said(profile, held), *site_said(profile, here)]),
        measured_cpu=measured_cpu(profile, held),
    )


def limits_said(profile: Profile, held: confinement.Share) -> list[str]:
    """How CPU and memory were held, and where that is less or more than the profile's share."""
    threads, cores = threads_here(profile), len(pinned(profile))
    said = []
    if held.cpu_parent:
        said.append(f"a quota of {held.cpu:g} CPU by a control group (version {held.cpu_parent.version})")
    said.append(f"affinity to {cores} of {len(os.sched_getaffinity(0))} processors and {counted(threads, 'thread')}")
    if not held.cpu_parent and held.cpu < cores:
        said.append(f"the share of {held.cpu:g} CPU could not be held: measured on {counted(cores, 'whole core')}")
    how = "by a control group" if held.memory_parent else "by ending what takes more"
    said.append(f"memory to {held.memory_mib} MiB {how}")
    if threads < profile.threads:
        said.append(f"the profile allows {profile.threads} threads, this process may use no more")
    return said


def site_said(profile: Profile, here: InstructionSet) -> list[str]:
    """How the site's instruction set differs from this machine's, as a sentence, or nothing."""
    if profile.instruction_set == here:
        return []
    if instruction_set.has(here, profile.instruction_set):
        return [f"the site's {profile.instruction_set} is less than this machine's {here}, so times there are longer"]
    return [f"the site's {profile.instruction_set} is not on this machine, which has {here}"]
