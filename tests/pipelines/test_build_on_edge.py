"""build-on-edge for real, from an ONNX model, an IR and a release in a registry, in a Python that has no framework."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from nearedge.delivery.access import Access
from scripts import build_serving_image
from scripts.build_serving_image import Options
from tests import models
from tests.pipelines.site import Site, free_port

BAN = """
import sys

class Ban:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "tensorflow", "keras", "nncf"):
            raise ImportError(f"{name} is not here: an edge node has no framework")

sys.meta_path.insert(0, Ban())
"""
REGISTRY = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
QUICK = "-p=benchmark-seconds=0.3"


@pytest.fixture(scope="module")
def frameworkless(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python in which to import a framework is an error."""
    folder = tmp_path_factory.mktemp("ban")
    (folder / "sitecustomize.py").write_text(BAN)
    return {"PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed (.ci/run installs it)")
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    (folder / "config.yml").write_text(REGISTRY.format(folder=folder / "data", port=port))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log)
    until = time.monotonic() + 60
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert server.poll() is None and time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait(60)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    models.onnx_net(folder)
    pictures = np.random.default_rng(0).standard_normal((40, 3, 8, 8)).astype(np.float32)
    np.savez(folder / "data.npz", image=pictures)
    write(folder, "net.onnx")
    return folder


def write(folder: Path, model: str) -> None:
    """A model.yaml for the small net in `folder`."""
    document = {
        "schema": 1,
        "name": "net",
        "source": {"path": model},
        "inputs": [{"name": "image", "shape": [-1, 3, 8, 8], "dtype": "FP32"}],
        "outputs": [{"name": "logits"}],
        "data": {"path": "data.npz"},
        "golden": {"rows": [0, 20], "count": 4},
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(document))


@pytest.fixture(scope="module")
def core(new_site: Callable[[], Site], source: Path) -> Site:
    """A site where model-to-edge made a release of the ONNX model."""
    site = new_site()
    done = site.run(source, "-p=precision=f32")
    assert done.returncode == 0, done.stdout + done.stderr
    return site


@pytest.fixture(scope="module")
def edge(new_site: Callable[[], Site], frameworkless: dict[str, str]) -> Callable[..., Site]:
    def build(*more: str) -> Site:
        site = new_site()
        done = site.nearedge(
            "run", "build-on-edge", "-p=image=oci:image:test", "-p=allow-layout=true", "-p=base-image=host",
            f"-p=test-port={free_port()}", f"-w=release={site.release}", QUICK, *more, **frameworkless,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return site

    return build


@pytest.fixture(scope="module")
def release(core: Site, registry: str) -> str:
    """The core's release in a registry."""
    kept = core.section("image")
    address = f"{registry}/edge/net:1"
    section = build_serving_image.run(core.release, Options(address, "host", False, Access(), core.cache / "host"))
    (core.release / "release" / "image.json").write_text(json.dumps({"schema_version": 1, **kept}))
    assert section.digest == kept["digest"]
    return address


def layers(site: Site) -> dict[str, str]:
    return {layer["title"]: layer["digest"] for layer in site.section("image")["layers"]}


def test_the_same_model_gives_the_same_digest_as_at_the_core(
    core: Site, edge: Callable[..., Site], source: Path
) -> None:
    site = edge(f"-w=source={source}", f"-p=git-url={core.gitops.as_uri()}")
    assert site.section("image")["digest"] == core.section("image")["digest"]
    assert site.section("test")["decisions_held"] == 4
    assert site.section("optimization")["reused"] is True


def test_a_release_in_a_registry_is_built_again_to_the_same_digest(
    core: Site, edge: Callable[..., Site], release: str
) -> None:
    site = edge(f"-p=model=oci://{release}")
    digest = core.section("image")["digest"]
    assert site.section("source")["origin"] == f"oci://{release.rpartition(':')[0]}@{digest}"
    assert layers(site) == layers(core)
    assert site.section("image")["digest"] == digest
    assert not (site.home / "gitops.git" / "refs" / "heads" / "main").exists(), "nothing was to be published"
    assert (site.release / "gitops").is_dir()


def test_an_ir_is_built_and_published_to_the_sites_mirror(
    core: Site, edge: Callable[..., Site], tmp_path: Path, new_site: Callable[[], Site]
) -> None:
    for name in ("model.xml", "model.bin"):
        shutil.copy(core.release / "ir" / "deployed" / name, tmp_path)
    shutil.copy(core.release / "source" / "data.npz", tmp_path)
    write(tmp_path, "model.xml")
    mirror = new_site()
    site = edge(f"-w=source={tmp_path}", f"-p=git-url={mirror.gitops.as_uri()}")
    assert site.section("source")["format"] == "openvino-ir"
    assert layers(site)["model"] == layers(core)["model"]
    assert site.section("image")["digest"] in mirror.git("show", "main:models/net/base/release.json")


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:DeprecationWarning")
def test_a_model_that_needs_a_framework_is_refused(new_site: Callable[[], Site], tmp_path: Path) -> None:
    models.torchscript(tmp_path)
    np.savez(tmp_path / "data.npz", image=np.zeros((4, 3, 8, 8), np.float32))
    write(tmp_path, "net.pt")
    site = new_site()
    done = site.nearedge(
        "run", "build-on-edge", "-p=image=r.example/net:1", f"-w=source={tmp_path}", f"-w=release={site.release}"
    )
    assert done.returncode == 5
    assert "needs pytorch, which allow-frameworks rules out; build it at the core" in done.stdout + done.stderr
