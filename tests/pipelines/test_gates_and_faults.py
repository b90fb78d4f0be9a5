"""What must stop a run: damage on purpose, gates, bad models, machines and remotes that refuse."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.pipelines.site import ENVIRONMENT, Site, free_port

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
    site: Site, trained: Callable[..., Path], after: str, before: str, weights: str, section: str
) -> None:
    path = damaged(site.home, after, before, weights, section)
    done = site.run(trained("digits"), pipeline=(f"-f={path}",))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "nearedge verify-model: " in done.stderr
    assert not (site.release / "image").exists()
    assert site.git("rev-parse", "--verify", "main^{commit}") == ""


def test_a_drop_over_the_gate_stops_before_an_image_is_built(
    site: Site, trained: Callable[..., Path], tmp_path: Path
) -> None:
    """INT8 calibrated with pictures much darker than those it is judged by; asked for by name, it is chosen anyway."""
    import numpy as np

    source = tmp_path / "digits"
    shutil.copytree(trained("digits"), source)
    arrays = dict(np.load(source / "data.npz"))
    arrays["image"][:1257] *= 0.15
    np.savez(source / "data.npz", **arrays)
    done = site.run(source, "-p=precision=int8")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "accuracy" in done.stderr
    assert not (site.release / "image").exists()


def test_a_remote_that_refuses(site: Site, trained: Callable[..., Path]) -> None:
    hook = site.gitops / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    done = site.run(trained("digits"), "-p=precision=f32")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "main is protected" in done.stderr
    assert site.git("rev-parse", "--verify", "main^{commit}") == ""


@pytest.fixture
def small_disk(site: Site) -> Path:
    """The release workspace on a file system of 2 MB."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(site.release)],
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
def test_a_full_disk(site: Site, small_disk: Path, trained: Callable[..., Path]) -> None:
    done = site.run(trained("digits"), "-p=precision=f32")
    assert done.returncode == 6, done.stdout + done.stderr
    assert "no space left" in done.stderr
    assert not (small_disk / "release" / "image.json").exists()
    assert not list(small_disk.rglob(".*.tmp"))


@pytest.mark.usefixtures("unmounted")
def test_a_read_only_workspace(site: Site, small_disk: Path, trained: Callable[..., Path]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = site.run(trained("digits"))
    assert done.returncode == 6, done.stdout + done.stderr
    assert "read-only" in done.stderr


def test_the_same_run_twice_at_the_same_time(site: Site, trained: Callable[..., Path]) -> None:
    arguments = ["run", "model-to-edge", "--name=twice", "-p=image=oci:image:test", "-p=allow-layout=true"]
    arguments += ["-p=base-image=host", f"-p=test-port={free_port()}"]
    arguments += [f"-w=source={trained('digits')}", f"-w=release={site.release}"]
    command = [sys.executable, "-m", "scripts.nearedge", *arguments]
    environment = {**ENVIRONMENT, "NEAREDGE_CACHE": str(site.cache)}
    first = subprocess.Popen(command, cwd=site.home, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not (site.home / ".nearedge/runs/twice/run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        second = site.nearedge(*arguments)
        assert second.returncode == 1, second.stderr
        assert "twice" in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
        first.send_signal(signal.SIGINT)
        assert first.wait(timeout=60) == 130
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
    site: Site, trained: Callable[..., Path], tmp_path: Path, change: dict[str, object], status: int, words: str
) -> None:
    source = tmp_path / "digits"
    shutil.copytree(trained("digits"), source)
    document = yaml.safe_load((source / "model.yaml").read_text())
    (source / "model.yaml").write_text(yaml.safe_dump(document | change))
    done = site.run(source)
    assert done.returncode == status, done.stdout + done.stderr
    assert words in done.stderr
    assert not (site.release / "ir").exists()


def test_nobody_is_asked_who_was_not_named(site: Site, trained: Callable[..., Path], failing_proxy: "Proxy") -> None:
    """Telemetry and other surprises: the whole Pipeline behind a proxy that notes and refuses every host."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), failing_proxy.address)
    environment = {**proxies, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    given = [f"-p={name}={failing_proxy.address}" for name in ("http-proxy", "https-proxy")]
    done = site.run(trained("digits"), *given, "-p=no-proxy=127.0.0.1,localhost", "-p=precision=int8", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert failing_proxy.asked == []
    control = "import requests; requests.get('http://somebody.invalid/')"
    subprocess.run([sys.executable, "-c", control], capture_output=True, check=False, env={**os.environ, **environment})
    assert any("somebody.invalid" in line for line in failing_proxy.asked), "the proxy itself sees nothing"


class Proxy:
    """A proxy on loopback that notes every request line and refuses it."""

    def __init__(self) -> None:
        import threading
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        asked: list[str] = []

        class Refusing(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                line = self.rfile.readline(4096).decode("latin-1").strip()
                if line:
                    asked.append(line)
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                self.close_connection = True

        self.asked = asked
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def failing_proxy() -> object:
    proxy = Proxy()
    yield proxy
    proxy.server.shutdown()
    proxy.server.server_close()
