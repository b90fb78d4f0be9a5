"""Whole releases of one model, made by the Tasks' own programs: versions that differ in weights and answers."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nearedge.delivery.access import Access
from nearedge.delivery.image import RUNTIME_LABEL
from nearedge.delivery.layout import Layout
from nearedge.files import sha256_file
from nearedge.release import sections
from nearedge.release.sections import GoldenSection, SourceSection
from scripts import build_serving_image, optimize_model, verify_model
from scripts.build_serving_image import Options
from tests.pipelines.site import free_port
from tests.unit.conftest import converted, put_small_base

REGISTRY = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """docker-registry on a free port of the loopback interface, its blobs in `folder`: `127.0.0.1:PORT`."""
    port = free_port()
    (folder / "config.yml").write_text(REGISTRY.format(folder=folder / "data", port=port))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 30
        while f":{port}" not in listening():
            assert server.poll() is None and time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def listening() -> str:
    """The local addresses that something listens on, a line each, the port in decimal behind a colon."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return "\n".join(f":{int(row[1].partition(':')[2], 16)}" for row in rows if row[3] == "0A")


def proven(workspace: Path, version: str, seed: int) -> Path:
    """A release of digits as far as verify-model: ready to be built."""
    converted(workspace, seed=seed)
    source = sections.read(workspace, SourceSection)
    sections.write(workspace, source.model_copy(update={"version": version}))
    text = (workspace / "source" / "model.yaml").read_text()
    (workspace / "source" / "model.yaml").write_text(
        text.replace("name: digits\n", f"name: digits\nversion: '{version}'\n")
    )
    assert optimize_model.main([f"--workspace={workspace}", "--precision=f32"]) == 0
    assert verify_model.main([f"--workspace={workspace}", "--stage=deployed"]) == 0
    return workspace


def with_golden_answers_of_another(workspace: Path) -> Path:
    """Put answers into the golden samples that this model does not give, as a mix-up of two builds would."""
    path = workspace / "golden" / "golden.npz"
    with np.load(path) as found:
        arrays = {name: found[name] + (5 if name.startswith("output/") else 0) for name in found.files}
    np.savez(path, **arrays)
    section = sections.read(workspace, GoldenSection)
    changed = {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
    sections.write(workspace, section.model_copy(update=changed))
    return workspace


def built(workspace: Path, address: str, layout: Path, base: str = "", cache: Path | None = None) -> str:
    """Build the release to `address` in a registry, with its record attached, and to `layout`; the image by digest.

    `base` empty: a base of one file, which only this environment's own server can stand in for.
    """
    if not base:
        base = "oci:base:1"
        if not (workspace / "base").exists():
            config = {"Labels": {RUNTIME_LABEL: "1"}}
            put_small_base(Layout.create(workspace / "base"), "1", scratch=workspace, config=config)
    tag = address.rpartition(":")[2]
    if layout.exists():
        shutil.move(layout, workspace / "image")
    try:
        here = build_serving_image.run(
            workspace, Options(f"oci:image:{tag}", base, True, Access(), cache, attach=False)
        )
    finally:
        shutil.move(workspace / "image", layout)
    section = build_serving_image.run(workspace, Options(address, base, True, Access(), cache))
    assert section.digest == here.digest
    return f"{address.rpartition(':')[0]}@{section.digest}"
