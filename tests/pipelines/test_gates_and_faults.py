"""What must stop a run: damage on purpose, gates, bad models, machines and remotes that refuse."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.pipelines.site import ENVIRONMENT, Site, free_port
from tests.unit import conftest as digits

ROOT = Path(__file__).parents[2]
# A conversion that went wrong: weights of zero, and the section vouches for them as the converter's would.
ZERO_WEIGHTS = """\
import hashlib, json, pathlib, sys
import xml.etree.ElementTree as tree
weights, section = map(pathlib.Path, sys.argv[1:])
content = bytearray(weights.read_bytes())
for data in tree.parse(weights.with_suffix(".xml")).iterfind(".//layer[@type='Const']/data"):
    offset, size = int(data.get("offset")), int(data.get("size"))
    if size >= 256:
        content[offset : offset + size] = bytes(size)
weights.write_bytes(content)
document = json.loads(section.read_text())
document["bin_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
section.write_text(json.dumps(document))
"""


def damaged(folder: Path, after: str, before: str, weights: str, section: str) -> Path:
    """model-to-edge with one Task more, between two others, that zeroes a weights file."""
    pipeline = yaml.safe_load((ROOT / "pipelines/model-to-edge/model-to-edge.yaml").read_text())
    pipeline["metadata"]["name"] = "damaged"
    spec = {
        "workspaces": [{"name": "release"}],
        "steps": [
            {
                "name": "zero",
                "image": "nearedge/core:0.1.0",
                "command": ["python", "-c", ZERO_WEIGHTS],
                "args": [f"$(workspaces.release.path)/{name}" for name in (weights, f"release/{section}.json")],
            }
        ],
    }
    task = {
        "name": "damage",
        "runAfter": [after],
        "taskSpec": spec,
        "workspaces": [{"name": "release", "workspace": "release"}],
    }
    pipeline["spec"]["tasks"].append(task)
    for entry in pipeline["spec"]["tasks"]:
        if entry["name"] == before:
            entry["runAfter"] = ["damage"]
    path = folder / "damaged.yaml"
    path.write_text(yaml.safe_dump(pipeline))
    return path


@pytest.mark.parametrize(
    ("after", "before", "weights", "section"),
    [
        ("convert-model", "verify-conversion", "ir/f32/model.bin", "conversion"),
        ("optimize-model", "verify-deployed", "ir/deployed/model.bin", "optimization"),
    ],
)
def test_a_wrong_conversion_is_caught_before_an_image_is_built(
    site: Site, small: Path, after: str, before: str, weights: str, section: str
) -> None:
    path = damaged(site.home, after, before, weights, section)
    done = site.run(small, pipeline=(f"-f={path}",))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "nearedge verify-model: " in done.stderr
    assert not (site.release / "image").exists()
    assert site.git("rev-parse", "--verify", "main^{commit}") == ""


def test_a_drop_over_the_gate_stops_before_an_image_is_built(site: Site, tmp_path: Path) -> None:
    """One filter is 300 times as large as the others, to which plain INT8 leaves nothing; asked for, it is made."""
    digits.fetched(tmp_path / "outlier", outlier=300.0)
    done = site.run(tmp_path / "outlier" / "source", "-p=precision=int8")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "accuracy" in done.stderr
    assert not (site.release / "image").exists()


def test_a_remote_that_refuses(site: Site, small: Path) -> None:
    hook = site.gitops / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    done = site.run(small, "-p=precision=f32")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "main is protected" in done.stderr
    assert site.git("rev-parse", "--verify", "main^{commit}") == ""


@pytest.fixture
def small_disk(site: Site) -> Path:
    """The release workspace on a file system of 8 MB."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(site.release)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"this user cannot mount a small file system: {done.stderr.strip()}")
    return site.release


@pytest.fixture
def unmounted(site: Site) -> object:
    yield
    subprocess.run(["umount", str(site.release)], capture_output=True, check=False)


@pytest.mark.usefixtures("unmounted")
def test_a_full_disk(site: Site, small_disk: Path, small: Path) -> None:
    done = site.run(small, "-p=precision=f32")
    assert done.returncode == 6, done.stdout + done.stderr
    assert "no space left" in done.stderr
    assert not (small_disk / "release" / "image.json").exists()
    assert not list(small_disk.rglob(".*.tmp"))


@pytest.mark.usefixtures("unmounted")
def test_a_read_only_workspace(site: Site, small_disk: Path, small: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = site.run(small)
    assert done.returncode == 6, done.stdout + done.stderr
    assert "read-only" in done.stderr


def test_the_same_run_twice_at_the_same_time(site: Site, small: Path) -> None:
    arguments = ["run", "model-to-edge", "--name=twice", "-p=image=oci:image:test", "-p=allow-layout=true"]
    arguments += ["-p=base-image=host", f"-p=test-port={free_port()}"]
    arguments += [f"-w=source={small}", f"-w=release={site.release}"]
    command = [sys.executable, "-m", "scripts.nearedge", *arguments]
    environment = {**ENVIRONMENT, "NEAREDGE_CACHE": str(site.cache)}
    first = subprocess.Popen(command, cwd=site.home, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not (site.home / ".nearedge/runs/twice/run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        second = site.nearedge(*arguments)
        assert second.returncode == 1, second.stderr
        assert "twice" in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
        first.send_signal(signal.SIGINT)
        assert first.wait(timeout=120) == 130
    finally:
        first.kill()
        first.communicate()
    runs = site.nearedge("runs", "--json")
    assert runs.returncode == 0
    assert "twice" in runs.stdout


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"source": {"path": "no-such.pt2"}}, 1, "no-such.pt2"),
        ({"schema": 2}, 5, "newer"),
        ({"unknown": True}, 1, "unknown key"),
        ({"target": {"profile": "mainframe"}}, 1, "microshift-small"),
        ({"data": {"path": "none.npz", "labels": "label"}}, 1, "none.npz"),
    ],
)
def test_a_description_at_fault_stops_at_once(
    site: Site, small: Path, tmp_path: Path, change: dict[str, object], status: int, words: str
) -> None:
    source = tmp_path / "digits"
    shutil.copytree(small, source)
    document = yaml.safe_load((source / "model.yaml").read_text())
    (source / "model.yaml").write_text(yaml.safe_dump(document | change))
    done = site.run(source)
    assert done.returncode == status, done.stdout + done.stderr
    assert words in done.stderr
    assert not (site.release / "ir").exists()
