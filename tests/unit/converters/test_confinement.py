"""Control groups of our own: real ones where this machine lets us make some, and made-up trees for the rules."""

import os
import sys
from subprocess import run

import pytest

from converters import confinement
from converters.confinement import Parent

SPIN = """
import os, sys, time
for file in sys.argv[1:]:
    open(file, "w").write(str(os.getpid()))
until = time.perf_counter() + 0.6
while time.perf_counter() < until:
    pass
print(time.process_time())
"""


def tree(root, cgroup, *folders, **files):
    """A root with /proc/self/cgroup and groups under /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for folder in folders:
        (root / "sys/fs/cgroup" / folder).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / "sys/fs/cgroup" / name.replace("__", "/").replace("-", ".")).write_text(text)
    return root


def test_a_group_holds_a_process_to_its_quota_and_goes_away():
    held = confinement.share(0.25, 512)
    if held.cpu_parent is None:
        pytest.skip("no control group can be made here")
    with held.group(memory=False) as files:
        used = float(run([sys.executable, "-c", SPIN, *map(str, files)], capture_output=True, text=True).stdout)
        folder = files[0].parent
        assert folder.is_dir()
    assert 0.01 < used < 0.45 and not folder.exists()


@pytest.mark.parametrize("version,cpu,memory", [
    (1, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}, {"memory.limit_in_bytes": "67108864"}),
    (2, {"cpu.max": "50000 100000"}, {"memory.max": "67108864"}),
])  # fmt: skip
def test_limits_of_both_versions(version, cpu, memory):
    assert confinement.cpu_limits(0.5, version) == cpu and confinement.memory_limits(64, version) == memory


def test_nothing_is_left_where_a_group_takes_no_limit(tmp_path):
    root = tree(tmp_path, "1:cpu:/\n4:memory:/\n", "cpu", "memory")
    held = confinement.share(1, 64, root)
    assert held.cpu_parent is None and held.memory_parent is None
    assert not list((root / "sys/fs/cgroup/cpu").iterdir())
    with held.group(memory=True) as files:
        assert files == []


@pytest.mark.parametrize("cgroup,folders,found", [
    ("1:cpu:/\n", ["cpu"], ["cpu"]), ("3:cpu,cpuacct:/\n", ["cpu,cpuacct"], ["cpu,cpuacct"]),
    ("1:cpu:/kubepods/pod1\n", ["cpu"], ["cpu"]), ("1:cpu:/somebody/else\n", ["cpu/somebody/else"], []),
    ("1:cpu:/../up\n", ["cpu"], ["cpu"]), ("1:memory:/\n", ["memory"], []), ("", [], []),
])  # fmt: skip
def test_a_parent_of_version_1_is_ours_or_none(tmp_path, monkeypatch, cgroup, folders, found):
    root = tree(tmp_path, cgroup, *folders)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert list(confinement.candidates("cpu", root)) == [Parent(root / "sys/fs/cgroup" / name, 1) for name in found]


def test_a_parent_of_version_2_has_the_controller_switched_on(tmp_path, monkeypatch):
    on = {"cgroup-subtree_control": "cpu memory\n", "unit__cgroup-subtree_control": "cpu\n"}
    root = tree(tmp_path, "0::/unit/leaf\n", "unit/leaf", **on)
    mount = root / "sys/fs/cgroup"
    monkeypatch.setattr(confinement, "is_delegated", lambda folder: folder.name in ("leaf", "unit"))
    assert list(confinement.candidates("cpu", root)) == [Parent(mount / "unit", 2)]
    assert list(confinement.candidates("memory", root)) == []
    monkeypatch.setattr(confinement, "is_delegated", lambda _: False)
    assert list(confinement.candidates("cpu", root)) == []


def test_what_belongs_to_our_user_was_delegated(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert not confinement.is_delegated(tmp_path) and not confinement.is_delegated(tmp_path / "none")
    os.chown(tmp_path, 1234, -1) if os.getuid() == 0 else None
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid)
    assert confinement.is_delegated(tmp_path)


def test_no_proc_is_no_parent(tmp_path):
    assert list(confinement.candidates("cpu", tmp_path)) == []
