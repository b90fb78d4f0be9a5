"""A modelcar as others see it: skopeo copies it, podman pulls it, OpenVINO reads the model where KServe mounts it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nearedge.delivery import bases
from nearedge.delivery.access import Access
from nearedge.delivery.image import Choices, build
from nearedge.delivery.layout import Layout
from nearedge.delivery.model_layers import ModelFiles
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.files import sha256_file
from tests.models import openvino_ir

CONTAINERS_CONF = '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
STORAGE_CONF = '[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'


@pytest.fixture
def modelcar(tmp_path, plain_registry):
    """The reference of a modelcar in a registry, and what was built."""
    xml = openvino_ir(tmp_path)
    weights = xml.with_suffix(".bin")
    files = ModelFiles("net", "4", xml, sha256_file(xml), weights, sha256_file(weights), None, "", "{}\n")
    found = []
    for name in ("registry", "again"):
        scratch = tmp_path / name
        scratch.mkdir()
        store = Repository(Registry(plain_registry, Access()), f"edge/{name}")
        base = bases.nothing(scratch / "nothing").base
        found.append(build(base, files, store, "4", scratch, Choices(flavour="modelcar")))
    assert found[0].digest == found[1].digest
    return f"{plain_registry}/edge/registry:4", found[0], xml


@pytest.mark.images
def test_skopeo_copies_a_modelcar(modelcar, tmp_path):
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed (apt-get install skopeo)")
    image, built, _ = modelcar
    command = ["skopeo", "copy", "--insecure-policy", "--src-tls-verify=false"]
    subprocess.run([*command, f"docker://{image}", f"oci:{tmp_path}/copied:1"], check=True, capture_output=True)
    assert Layout.open(tmp_path / "copied").resolve("1").descriptor.digest == built.digest


@pytest.mark.images
def test_the_model_is_where_kserve_mounts_it(modelcar, tmp_path):
    if shutil.which("podman") is None or os.geteuid() != 0:
        pytest.skip("podman as root is needed (apt-get install podman)")
    image, _, xml = modelcar
    (tmp_path / "containers.conf").write_text(CONTAINERS_CONF)
    (tmp_path / "storage.conf").write_text(STORAGE_CONF.format(folder=tmp_path / "podman"))
    env = os.environ | {
        "CONTAINERS_CONF": str(tmp_path / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(tmp_path / "storage.conf"),
    }

    def podman(*arguments):
        done = subprocess.run(["podman", *arguments], env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    podman("pull", "-q", "--tls-verify=false", image)
    mounted = Path(podman("image", "mount", image)) / "models"  # /mnt/models for the server
    try:
        import openvino as ov

        assert sorted(path.name for path in mounted.iterdir()) == ["4", "net"]
        for place in (mounted / "4", mounted / "net" / "4"):
            assert sorted(path.name for path in place.iterdir()) == ["model.bin", "model.xml", "release.json"]
            assert sha256_file(place / "model.xml") == sha256_file(xml)
        assert ov.Core().read_model(mounted / "4" / "model.xml").inputs
    finally:
        podman("image", "unmount", image)
        shutil.rmtree(tmp_path / "podman", ignore_errors=True)
