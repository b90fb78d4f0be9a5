"""CPU limits from cgroup files as the kernel and container engines lay them out."""

import os
from pathlib import Path

import pytest

from serving_image import limits

CPUS = len(os.sched_getaffinity(0))


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, [], id="no proc, no sys"),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, [0.5], id="v2 in a pod"
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, [], id="v2 without limit"
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/kubepods/pod1/app\n",
                "sys/fs/cgroup/kubepods/pod1/app/cpu.max": "300000 100000",
                "sys/fs/cgroup/kubepods/pod1/cpu.max": "150000 100000",
            },
            [3.0, 1.5],
            id="v2 nested",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/1\n1:name=systemd:/x\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "25000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            [0.25],
            id="v1 in a container",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "2:cpu:/a\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
            },
            [],
            id="v1 without limit",
        ),
        pytest.param({"proc/self/cgroup": "0::/../../x\nnonsense\n", "sys/fs/cgroup/cpu.max": "1 0"}, [], id="odd"),
    ],
)
def test_quotas(tmp_path: Path, files: dict[str, str], expected: list[float]) -> None:
    assert sorted(set(limits.quotas(tree(tmp_path, files)))) == sorted(expected)


@pytest.mark.parametrize(("quota", "threads"), [("25000", 1), ("100000", 1), ("190000", 1), ("200000", min(2, CPUS))])
def test_threads_are_rounded_down_and_at_least_one(tmp_path: Path, quota: str, threads: int) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": f"{quota} 100000"})
    assert limits.thread_cap(root) == threads


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert limits.cpu_limit(tmp_path) == CPUS
    assert limits.thread_cap() >= 1
