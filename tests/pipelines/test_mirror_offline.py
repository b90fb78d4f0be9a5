"""mirror-offline through the local runner: bundle out in one workspace, bundle in in another."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nearedge.delivery import digest, oci
from nearedge.delivery.layout import Layout


@pytest.fixture
def made(tmp_path: Path) -> oci.Manifest:
    """An image with one layer in the layout `core/image`."""
    layout = Layout.create(tmp_path / "core" / "image")
    config = oci.Descriptor(oci.CONFIG, digest.of_bytes(b"{}"), 2)
    layout.add_bytes(config, b"{}")
    body = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.to_json(), "layers": [config.to_json()]}
    manifest = oci.manifest(oci.encode(body), "x")
    layout.publish(manifest, "1")
    return manifest


def run(workspace: Path, *params: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "scripts.nearedge", "run", "mirror-offline", "-w", f"release={workspace}"]
    command += [word for param in params for word in ("-p", param)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stderr
    return done.stderr


def test_export_and_import(made: oci.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEAREDGE_HOME", str(tmp_path / "home"))
    core, site = tmp_path / "core", tmp_path / "site"
    run(core, "mode=export", "images=" + json.dumps(["oci:image:1"]))
    site.mkdir()
    shutil.copy(core / "bundle.tar", site)
    run(site, "mode=import", "to=oci:arrived")
    assert Layout.open(site / "arrived").resolve("1").content == made.content


def test_another_word_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEAREDGE_HOME", str(tmp_path / "home"))
    assert "mode 'exprot': is neither export nor import" in run(tmp_path, "mode=exprot", status=2)
