"""Podman, buildah and skopeo judge what we build, and we build on what they push.

The runtime is a program of 40 instructions' worth of bytes that writes a line, so that no base is downloaded.
"""

import json
import struct
import subprocess

import pytest

from nearedge.delivery import digest, oci
from nearedge.delivery.access import Access
from nearedge.delivery.layers import Entry, write_layer
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from scripts import build_serving_image
from tests.unit.scripts.test_build_serving_image import write_release

pytestmark = pytest.mark.images
PLAIN = "--tls-verify=false"
LOAD = 0x400000


def says(text):
    """A static x86-64 Linux program that writes `text`: an ELF header, one segment, write(1, text), exit(0)."""
    code = bytes.fromhex("b801000000 bf01000000 488d3510000000 ba") + struct.pack("<I", len(text))
    code += bytes.fromhex("0f05 b83c000000 31ff 0f05") + text
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, LOAD + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = 120 + len(code)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, LOAD, LOAD, size, size, 0x1000) + code


def put_base(store, scratch, text):
    """A runtime base that writes `text`."""
    layer = write_layer([Entry("opt/runtime", says(text), mode=0o755)], scratch / "layer", "runtime")
    store.add_file(layer.descriptor, layer.path)
    config = oci.encode({
        "os": "linux", "architecture": "amd64", "config": {"Entrypoint": ["/opt/runtime"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}, "history": [{"created_by": "test"}],
    })  # fmt: skip
    described = oci.Descriptor(oci.CONFIG, digest.of_bytes(config), len(config))
    store.add_bytes(described, config)
    body = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": described.to_json()}
    store.publish(oci.manifest(oci.encode(body | {"layers": [layer.descriptor.to_json()]}), "base"), "1")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


def repository(host, name):
    return Repository(Registry(host, Access()), name)


def built(workspace, host, name, base, compression="gzip"):
    """The reference of the image that we build on `base`."""
    image = f"{host}/{name}:1"
    options = [f"--workspace={workspace}", f"--serving-image={image}", f"--base-image={base}"]
    assert build_serving_image.main([*options, f"--compression={compression}"]) == 0
    return image


def judge(image, workspace, tmp_path, said):
    """Skopeo, podman and buildah take the image, it runs, and the model in it is the one that was proven."""
    name, _, _ = image.rpartition(":")
    digest_there = json.loads(run("skopeo", "inspect", PLAIN, f"docker://{image}"))["Digest"]
    run("skopeo", "copy", "--src-tls-verify=false", f"docker://{image}", f"dir:{tmp_path}/copied")
    assert digest.of_bytes((tmp_path / "copied" / "manifest.json").read_bytes()) == digest_there
    run("podman", "pull", "--quiet", PLAIN, f"{name}@{digest_there}")
    assert run("podman", "run", "--rm", "--network=host", f"{name}@{digest_there}") == said
    container = run("buildah", "from", PLAIN, f"{name}@{digest_there}").strip()
    folder = run("buildah", "mount", container).strip()
    for file in ("model.xml", "model.bin"):
        inside = subprocess.run(["cat", f"{folder}/models/tiny/3/{file}"], capture_output=True, check=True).stdout
        assert inside == (workspace / "ir" / "deployed" / file).read_bytes()
    run("buildah", "rm", container)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_we_build_they_take_and_run(registry, tmp_path, compression):
    put_base(repository(registry, "judged/base"), tmp_path, b"ready\n")
    workspace = write_release(tmp_path / "release", seed=11)
    image = built(workspace, registry, f"judged/{compression}", f"{registry}/judged/base:1", compression)
    judge(image, workspace, tmp_path, "ready\n")


PUSHES = {
    "podman-oci-gzip": ["podman", "push", "--quiet", "--format=oci", "--compression-format=gzip"],
    "podman-v2s2": ["podman", "push", "--quiet", "--format=v2s2"],
    "podman-oci-zstd": ["podman", "push", "--quiet", "--format=oci", "--compression-format=zstd"],
    "podman-chunked": ["podman", "push", "--quiet", "--format=oci", "--compression-format=zstd:chunked"],
    "buildah-oci": ["buildah", "push", "--quiet", "--format=oci"],
    "buildah-v2s2": ["buildah", "push", "--quiet", "--format=v2s2"],
}
LAYERS = {"oci-zstd": oci.LAYER_ZSTD, "chunked": oci.LAYER_ZSTD, "v2s2": oci.DOCKER_LAYER_GZIP}


def committed(registry, tmp_path, how):
    """An image of buildah's own, in its store: the base and a layer that no other image has."""
    put_base(repository(registry, f"theirs/{how}-start"), tmp_path, f"{how}\n".encode())
    container = run("buildah", "from", PLAIN, f"{registry}/theirs/{how}-start:1").strip()
    (tmp_path / "note").write_text(how * 1000)
    run("buildah", "copy", "--quiet", container, str(tmp_path / "note"), "/note")
    form = "docker" if "v2s2" in how else "oci"
    run("buildah", "commit", "--quiet", f"--format={form}", container, f"localhost/theirs:{how}")
    run("buildah", "rm", container)
    return f"localhost/theirs:{how}"


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("how", PUSHES)
def test_what_they_push_we_build_on(registry, tmp_path, how):
    place = f"{registry}/theirs/{how}:1"
    run(*PUSHES[how], PLAIN, committed(registry, tmp_path, how), f"docker://{place}")
    base = repository(registry, f"theirs/{how}").resolve("1")
    assert base.descriptor.media_type == (oci.DOCKER_MANIFEST if "v2s2" in how else oci.MANIFEST)
    assert base.layers[-1].media_type == LAYERS.get(how.partition("-")[2], oci.LAYER_GZIP)
    workspace = write_release(tmp_path / "release", seed=12)
    judge(built(workspace, registry, f"on/{how}", place), workspace, tmp_path, f"{how}\n")


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_on_their_index_we_choose_our_platform(registry, tmp_path, form):
    how = f"index-{form}"
    image = committed(registry, tmp_path, how)
    listed = f"localhost/list:{form}"
    run("buildah", "manifest", "create", listed)
    run("buildah", "manifest", "add", listed, f"containers-storage:{image}")
    place = f"{registry}/theirs/{how}:1"
    run("buildah", "manifest", "push", "--quiet", "--all", f"--format={form}", PLAIN, listed, f"docker://{place}")
    raw = json.loads(run("skopeo", "inspect", "--raw", PLAIN, f"docker://{place}"))
    assert raw["mediaType"] == (oci.INDEX if form == "oci" else oci.DOCKER_INDEX)
    workspace = write_release(tmp_path / "release", seed=13)
    judge(built(workspace, registry, f"on/{how}", place), workspace, tmp_path, f"{how}\n")
