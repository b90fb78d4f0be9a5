"""Real images for the tests: a base without any registry, a registry on loopback, our images built and pushed to it.

Made once for a session; the base and its downloads are kept in NEAREDGE_TEST_CACHE (else ~/.cache/nearedge-tests).
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hack import base_image
from nearedge.errors import NearedgeError
from nearedge.runner import podman

TREE = Path(__file__).parents[2]
PROGRAMS = ("podman", "buildah", "skopeo", "docker-registry")
BASE = "localhost/nearedge-test-base:bookworm"
CANARIES = ("canary-host.example", "canary-in-the-ca-bundle")
REGISTRY_CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@dataclass(frozen=True)
class Images:
    """Our images by digest in the registry, and what they were built with."""

    references: dict[str, str]
    seconds: float
    lent: tuple[str, ...]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def machine():
    """Podman and buildah configured for a small machine; skips with the reason where they cannot work."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (.ci/run installs them)")
    with pytest.MonkeyPatch.context() as patch, base_image.own_store() as variables:
        for name, value in variables.items():
            patch.setenv(name, value)
        podman.why_not.cache_clear()
        if (reason := podman.why_not()) is not None:
            pytest.skip(reason)
        yield
    podman.why_not.cache_clear()


@pytest.fixture(scope="session")
def registry(tmp_path_factory, request):
    """A registry on a free port of the loopback interface: `127.0.0.1:PORT`."""
    request.getfixturevalue("machine")
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    (folder / "config.yml").write_text(REGISTRY_CONFIG.format(folder=folder / "data", port=port))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log)
    until = time.monotonic() + 60
    while not listens(port):
        assert server.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < until
        time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait(60)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def base(request):
    """The name of a Debian base with Python that podman has; made with debootstrap where it is not there yet."""
    request.getfixturevalue("machine")
    try:
        base_image.import_base(base_image.debian(base_image.cache()), BASE, os.environ)
    except NearedgeError as error:
        pytest.skip(str(error))
    return BASE


@pytest.fixture(scope="session")
def images(registry, base, tmp_path_factory):
    """`make images` with the targets core and runtime, pip's settings carrying marks that must not stay in them."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEAREDGE_HOME", str(home))
        patch.setenv("PIP_TRUSTED_HOST", CANARIES[0])
        authority = next((os.environ[name] for name in ("PIP_CERT", "SSL_CERT_FILE") if name in os.environ), None)
        bundle = Path(authority or "/etc/ssl/certs/ca-certificates.crt").read_text()
        (home / "ca.crt").write_text(f"{bundle}\n# {CANARIES[1]}\n")
        patch.setenv("PIP_CERT", str(home / "ca.crt"))
        began = time.monotonic()
        argv = [f"--base-image={base}", f"--registry={registry}", "--plain-http", "core", "runtime"]
        done = subprocess.run(
            [sys.executable, str(TREE / "hack" / "images.py"), *argv], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr[-4000:]
    printed = json.loads(done.stdout)
    assert json.loads((home / "images.json").read_text()) == printed
    return Images(printed, time.monotonic() - began, (*CANARIES, str(home), *local_folders()))


def local_folders():
    """The folders of this machine that pip's settings name: they must not be named in an image either."""
    from nearedge.delivery.building import pip_settings

    return tuple(str(folder) for folder in pip_settings.lend(pip_settings.settings(), os.environ).folders.values())


@pytest.fixture(scope="session")
def serving(images, tmp_path_factory):
    """A workspace with the layout `image`: a real model (y = x + 1) put on the runtime by nearedge.delivery."""
    import openvino
    from openvino import opset13 as ops

    from nearedge.delivery import image, layout, reference, store
    from nearedge.delivery.access import Access
    from nearedge.files import sha256_file
    from nearedge.release import record, sections

    workspace = tmp_path_factory.mktemp("workspace")
    x = ops.parameter([1, 2], openvino.Type.f32, name="x")
    y = ops.add(x, ops.constant([[1.0, 1.0]], openvino.Type.f32))
    x.output(0).set_names({"x"})
    y.output(0).set_names({"y"})
    openvino.save_model(openvino.Model([y], [x], "plus"), workspace / "model.xml")
    xml, weights = (sha256_file(workspace / f"model.{kind}") for kind in ("xml", "bin"))
    tensor = sections.TensorSpec(name="x", datatype="FP32", shape=[1, 2])
    identity = record.Identity(
        schema_version=sections.RECORD_VERSION,
        name="plus",
        version="1",
        profile="microshift-small",
        source=record.SourceIdentity(
            format="onnx", framework="onnx", sha256="a" * 64, description_sha256="b" * 64, data_sha256="c" * 64
        ),
        ir=record.IrIdentity(
            openvino="2026.4.1",
            inputs=[tensor],
            outputs=[tensor.model_copy(update={"name": "y"})],
            xml_sha256=xml,
            bin_sha256=weights,
        ),
        precision="f32",
        runtime=sections.RuntimeConfiguration(
            inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1
        ),
        thresholds=sections.Thresholds(max_relative=0.1, min_cosine=0.9, min_top1_agreement=0.8),
        golden=golden(workspace),
    )
    files = image.ModelFiles(
        "plus", "1", workspace / "model.xml", xml, workspace / "model.bin", weights,
        workspace / "golden.npz", sha256_file(workspace / "golden.npz"), record.dump(identity),
    )  # fmt: skip
    runtime = reference.parse(images.references["runtime"])
    found = image.open_base(store.open_store(runtime, workspace, Access(plain_http=True)), runtime.digest)
    (workspace / "scratch").mkdir()
    target = store.open_store(reference.parse("oci:image:1", allow_layout=True), workspace, Access(), create=True)
    assert isinstance(target, layout.Layout)
    image.build(found, files, target, "1", workspace / "scratch")
    return workspace


def golden(workspace):
    """Two golden samples of y = x + 1 in `golden.npz`, and the section that the record has of them."""
    from nearedge.files import sha256_file
    from nearedge.release import sections
    from serving_image import instruction_set

    path, x = workspace / "golden.npz", np.array([[[0.5, -1]], [[2, 3]]], np.float32)
    np.savez(path, **{"input/x": x, "output/y": x + 1})
    return sections.GoldenSection(
        sha256=sha256_file(path),
        count=len(x),
        size_bytes=path.stat().st_size,
        instruction_set=instruction_set.detect(),
        tolerances=[sections.Tolerance(output="y", kind="value", value=0.0, close=1e-3)],
    )
