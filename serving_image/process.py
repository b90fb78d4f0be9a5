"""What /proc says of this process: memory, CPU time, when it began. Empty where there is no /proc (a bare chroot)."""

import os
import time
from pathlib import Path

from serving_image.limits import lines, text

PROC = Path("/proc")
IMPORTED = time.time()


def fields(proc: Path = PROC) -> list[str]:
    """The fields of /proc/self/stat from the third on (proc_pid_stat(5)); the name before them may hold blanks."""
    return text(proc / "self/stat").rpartition(")")[2].split()


def resident_bytes(proc: Path = PROC) -> int:
    """Resident memory in bytes, 0 where unknown."""
    pages = text(proc / "self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0


def cpu_seconds() -> float:
    """CPU time used, in user and kernel mode."""
    used = os.times()
    return used.user + used.system


def open_files(proc: Path = PROC) -> int:
    """Open file descriptors, 0 where unknown."""
    try:
        return len(os.listdir(proc / "self/fd"))  # noqa: PTH208 - names are all that is counted
    except OSError:
        return 0


def start_time(proc: Path = PROC) -> float:
    """When the process began, in seconds since 1970; when this module was imported where /proc does not say."""
    found = fields(proc)
    booted = next((line.split()[1] for line in lines(proc / "stat") if line.startswith("btime ")), "")
    if len(found) < 20 or not booted:
        return IMPORTED
    return int(booted) + int(found[19]) / os.sysconf("SC_CLK_TCK")


def uptime(proc: Path = PROC) -> float:
    """Seconds since the process began, by a clock that nobody sets."""
    found = fields(proc)
    booted_for = text(proc / "uptime").split()
    if len(found) < 20 or not booted_for:
        return time.time() - IMPORTED
    return float(booted_for[0]) - int(found[19]) / os.sysconf("SC_CLK_TCK")
