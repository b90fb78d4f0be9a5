"""What this process may use, from affinity and cgroups of both versions."""

import os
from pathlib import Path

import psutil
import pytest

from converters import confinement, machine
from nearedge.release import profile


def cgroup(tmp_path, **files):
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/").replace("-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize("files,cores", [
    ({}, None), ({"cpu-max": "max 100000\n"}, None), ({"cpu-max": "150000 100000\n"}, 1.5),
    ({"cpu__cpu-cfs_quota_us": "-1\n", "cpu__cpu-cfs_period_us": "100000\n"}, None),
    ({"cpu__cpu-cfs_quota_us": "50000\n", "cpu__cpu-cfs_period_us": "100000\n"}, 0.5),
    ({"cpu-max": ""}, None),
])  # fmt: skip
def test_quota(tmp_path, files, cores):
    assert machine.quota(cgroup(tmp_path, **files)) == cores


def test_usable_cores_are_the_affinitys_cut_to_the_quota(tmp_path):
    every = sorted(os.sched_getaffinity(0))
    assert machine.usable_cores(tmp_path) == every
    assert machine.usable_cores(cgroup(tmp_path, **{"cpu-max": "150000 100000"})) == every[-1:]
    assert machine.usable_cores(cgroup(tmp_path, **{"cpu-max": "20000 100000"})) == every[-1:]
    assert machine.usable_cores(cgroup(tmp_path, **{"cpu-max": "99900000 100000"})) == every


def test_memory_is_the_machines_or_the_limit(tmp_path):
    total = psutil.virtual_memory().total // machine.MIB
    assert machine.memory_mib(tmp_path) == total
    assert machine.memory_mib(cgroup(tmp_path, **{"memory-max": "max"})) == total
    assert machine.memory_mib(cgroup(tmp_path, **{"memory-max": str(64 << 20)})) == 64
    assert machine.memory_mib(cgroup(tmp_path, **{"memory__memory-limit_in_bytes": str(32 << 20)})) == 32


def described(site, root=Path("/nowhere")):
    return machine.describe(site, confinement.share(site.model.cpu, site.model.memory_mib, root))


def test_a_machine_says_how_the_share_was_held():
    site = profile.read("sno-medium")
    found = described(site.model_copy(update={"instruction_set": "sse42"}))
    assert found.cores >= 1 and found.memory_mib > 0 and found.cpu
    assert (
        f"{min(4, found.cores)} of" in found.limited_by
        and "the site's sse42 is less than this machine's" in found.limited_by
    )
    many = described(site.model_copy(update={"model": site.model.model_copy(update={"cpu": 4096})}))
    assert "the profile allows 4096 threads, this process may use no more" in many.limited_by


def test_a_lesser_machine_than_the_sites_is_said(monkeypatch):
    monkeypatch.setattr(machine.instruction_set, "here", lambda: "avx2")
    found = described(profile.read("sno-medium"))
    assert found.limited_by.endswith("the site's amx is not on this machine, which has avx2")


def in_a_small_pod(monkeypatch, parent):
    """sno-medium's share in a pod of half a core and 64 MiB; `parent` is what takes groups of ours, or None."""
    monkeypatch.setattr(machine, "quota", lambda *_: 0.5)
    monkeypatch.setattr(machine, "memory_mib", lambda *_: 64)
    monkeypatch.setattr(
        confinement,
        "share",
        lambda cpu, memory: confinement.Share(cpu, memory, cpu_parent=parent, memory_parent=parent),
    )
    site = profile.read("sno-medium")
    assert site.model.cpu > 1 and site.model.memory_mib > 64
    return site, machine.share(site)


@pytest.mark.parametrize("parent,most", [(confinement.Parent(Path("/sys/fs/cgroup"), 2), 0.5), (None, 1.0)])
def test_a_share_is_never_above_what_the_pod_itself_has(monkeypatch, parent, most):
    site, held = in_a_small_pod(monkeypatch, parent)
    assert (held.cpu, held.memory_mib) == (0.5, 64)
    assert machine.measured_cpu(site, held) == most
    found = machine.describe(site, held)
    assert found.measured_cpu == most and "memory to 64 MiB" in found.limited_by
    assert ("the share of 0.5 CPU could not be held: measured on 1 whole core" in found.limited_by) == (parent is None)


@pytest.mark.parametrize("cpu,memory", [(0.25, 32), (0.5, 64)])
def test_a_share_below_the_pods_is_the_profiles(monkeypatch, cpu, memory):
    site, _ = in_a_small_pod(monkeypatch, None)
    least = site.model.model_copy(update={"cpu": cpu, "memory_mib": memory})
    held = machine.share(site.model_copy(update={"model": least}))
    assert (held.cpu, held.memory_mib) == (cpu, memory)


def test_the_processors_name():
    assert machine.cpu_name("model name\t: A  Good CPU\n") == "A Good CPU"
    assert machine.cpu_name("") == "unknown processor"
