import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import zstandard

from nearedge.delivery import digest, oci
from nearedge.delivery.access import Access
from nearedge.delivery.image import EPOCH, Choices, build, open_base
from nearedge.delivery.layout import Layout
from nearedge.delivery.model_layers import ModelFiles
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import InputError, OutsideError, UnsupportedError
from nearedge.files import sha256_file

PROGRAM = """
import sys
from pathlib import Path
from nearedge.delivery.image import build, open_base
from nearedge.delivery.layout import Layout
from nearedge.delivery.model_layers import ModelFiles
from nearedge.files import sha256_file
folder, scratch = Path(sys.argv[1]), Path(sys.argv[2])
xml, weights = folder / "model.xml", folder / "model.bin"
files = ModelFiles("m", "1", xml, sha256_file(xml), weights, sha256_file(weights), None, "", "{}\\n")
base = open_base(Layout.open(folder / "base"), "1")
print(build(base, files, Layout.create(scratch / "layout"), "1", scratch).digest)
"""


@pytest.fixture
def files(tmp_path):
    """A model's files; `golden` is there too, to be used or not."""
    xml, weights, golden = (tmp_path / name for name in ("model.xml", "model.bin", "golden.npz"))
    xml.write_text("<net/>")
    weights.write_bytes(bytes(range(256)) * 2000)
    golden.write_bytes(b"golden" * 50)
    return ModelFiles("m", "1", xml, sha256_file(xml), weights, sha256_file(weights), None, "", "{}\n")


@pytest.fixture
def layout(tmp_path, small_base):
    found = Layout.create(tmp_path / "base")
    small_base(found, "1", created="2020-02-02T00:00:00Z")
    return found


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def config_of(store, manifest):
    return json.loads(store.read(manifest.config, 1 << 20))


def test_annotations_and_labels_say_where_it_comes_from(files, layout, tmp_path, scratch):
    base = replace(open_base(layout, "1"), name="edge/runtime:1")
    base.config["config"]["Labels"] = {"org.opencontainers.image.licenses": "Apache-2.0"}
    built = build(base, files, target := Layout.create(tmp_path / "image"), "v", scratch)
    said = {name.rpartition("image.")[2]: text for name, text in built.manifest.annotations.items()}
    assert (said["base.name"], said["licenses"]) == ("edge/runtime:1", "Apache-2.0")
    labels = json.loads(target.read(built.manifest.config, 1 << 20))["config"]["Labels"]
    assert built.manifest.annotations.items() <= labels.items()


def test_the_image_is_the_base_and_the_model(files, layout, tmp_path, scratch):
    target = Layout.create(tmp_path / "image")
    base = open_base(layout, "1")
    built = build(base, files, target, "v", scratch)
    found = target.resolve("v")
    assert (found.descriptor.digest, built.was_there) == (built.digest, False)
    assert found.layers[0].digest == base.manifest.layers[0].digest
    assert found.annotations == {
        "org.opencontainers.image.title": "m",
        "org.opencontainers.image.version": "1",
        "org.opencontainers.image.description": "Model m, version 1, served with the Open Inference Protocol",
        "org.opencontainers.image.base.digest": base.manifest.descriptor.digest,
    }
    config = config_of(target, found)
    assert config["config"]["Labels"] == {
        "kept": "yes",
        "io.nearedge.runtime": "1",
        "io.nearedge.model": "m",
        "io.nearedge.version": "1",
        **found.annotations,
    }
    assert config["config"]["Entrypoint"] == ["/opt/runtime"]
    assert config["created"] == "2020-02-02T00:00:00Z"
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == len(found.layers) == 3
    for layer, diff_id in zip(found.layers, config["rootfs"]["diff_ids"], strict=True):
        assert digest.of_bytes(gzip.decompress(target.path(layer.digest).read_bytes())) == diff_id


def test_same_inputs_same_digest_in_layout_and_registry(files, layout, tmp_path, scratch, plain_registry, small_base):
    here = build(open_base(layout, "1"), files, Layout.create(tmp_path / "image"), "1", scratch)
    copy = Repository(Registry(plain_registry, Access()), "images/base")
    small_base(copy, "1", created="2020-02-02T00:00:00Z")
    target = Repository(Registry(plain_registry, Access()), "images/model")
    there = build(open_base(copy, "1"), files, target, "1", scratch)
    assert there.digest == here.digest
    new = there.manifest.size - there.manifest.layers[0].size
    assert there.uploaded_bytes == new, "the base's layers are mounted, not sent"
    again = build(open_base(layout, "1"), files, target, "1", scratch)
    assert (again.was_there, again.uploaded_bytes) == (True, 0)


@pytest.mark.usefixtures("files", "layout")
def test_same_digest_from_two_processes(tmp_path):
    found = set()
    for name in ("p", "q"):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-c", PROGRAM, tmp_path, tmp_path / name]
        found.add(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert len(found) == 1


def test_other_weights_change_one_layer(files, layout, tmp_path, scratch):
    target = Layout.create(tmp_path / "image")
    first = build(open_base(layout, "1"), files, target, "1", scratch)
    files.bin.write_bytes(b"other")
    other = replace(files, bin_sha256=sha256_file(files.bin))
    second = build(open_base(layout, "1"), other, target, "1", scratch)
    same = {layer.digest for layer in first.manifest.layers} & {layer.digest for layer in second.manifest.layers}
    assert len(same) == 2
    assert not second.was_there


def test_golden_samples_have_a_layer_of_their_own(files, layout, tmp_path, scratch):
    golden = tmp_path / "golden.npz"
    shipped = replace(files, golden=golden, golden_sha256=sha256_file(golden))
    built = build(open_base(layout, "1"), shipped, Layout.create(tmp_path / "image"), "1", scratch)
    assert built.titles == ("runtime", "model", "golden samples", "release identity")
    with pytest.raises(InputError, match="not the file that was proven"):
        build(open_base(layout, "1"), replace(shipped, golden_sha256="0" * 64), layout, "x", scratch)
    assert layout.tags() == ["1"]


def test_a_base_without_date_and_history(files, tmp_path, scratch, small_base):
    bare = Layout.create(tmp_path / "bare")
    small_base(bare, "1", history=None)
    built = build(open_base(bare, "1"), files, bare, "v", scratch)
    config = config_of(bare, built.manifest)
    assert config["created"] == EPOCH
    assert config["history"] is None


def test_docker_types_become_ocis(files, layout, tmp_path, scratch):
    manifest = layout.resolve("1")
    document = json.loads(manifest.content)
    document["mediaType"] = oci.DOCKER_MANIFEST
    document["config"]["mediaType"] = oci.DOCKER_CONFIG
    document["layers"][0]["mediaType"] = oci.DOCKER_LAYER_GZIP
    document["layers"][0]["annotations"] = {"toc": "kept"}
    layout.publish(oci.manifest(oci.encode(document), "x"), "docker")
    built = build(open_base(layout, "docker"), files, Layout.create(tmp_path / "image"), "1", scratch)
    assert {layer.media_type for layer in built.manifest.layers} == {oci.LAYER_GZIP}
    assert built.manifest.layers[0].annotations == {"toc": "kept"}
    assert built.titles[0] == "base 1"


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"architecture": "arm64"}, UnsupportedError, "is for .linux/arm64"),
        ({"os": "windows"}, UnsupportedError, "is for .windows/amd64"),
        ({"rootfs": {"type": "layers", "diff_ids": []}}, InputError, "do not name the same layers"),
        ({"rootfs": {"type": "layers", "diff_ids": ["x"]}}, InputError, "do not name the same layers"),
        ({"rootfs": None}, InputError, "do not name the same layers"),
        ({"config": {"Entrypoint": None}}, InputError, "starts nothing"),
    ],
)
def test_bases_that_will_not_do(tmp_path, small_base, settings, kind, said):
    store = Layout.create(tmp_path / "base")
    small_base(store, "1", **settings)
    with pytest.raises(kind, match=said):
        open_base(store, "1")


def republished(layout, **changes):
    document = json.loads(layout.resolve("1").content)
    for key, value in changes.items():
        document[key] = document[key] | value if isinstance(value, dict) else value
    layout.publish(oci.manifest(oci.encode(document), "x"), "changed")


def test_an_artifact_is_no_base(layout):
    republished(layout, config={"mediaType": oci.EMPTY})
    with pytest.raises(UnsupportedError, match="an artifact, not an image"):
        open_base(layout, "changed")


def test_foreign_layers_are_refused(layout):
    layers = [json.loads(layout.resolve("1").content)["layers"][0] | {"mediaType": "application/foreign"}]
    republished(layout, layers=layers)
    with pytest.raises(UnsupportedError, match="cannot be carried over"):
        open_base(layout, "changed")


def test_a_base_whose_config_is_not_its_own(layout):
    path = layout.path(layout.resolve("1").config.digest)
    path.write_bytes(path.read_bytes().replace(b"runtime", b"rantime"))
    with pytest.raises(OutsideError, match="do not match the digest"):
        open_base(layout, "1")


def test_tags_annotations_and_compression_of_ones_own(files, layout, tmp_path, scratch):
    chosen = Choices(("latest", "v"), {"com.example.team": "a b", "org.opencontainers.image.title": "seals"}, "zstd")
    target = Layout.create(tmp_path / "image")
    built = build(open_base(layout, "1"), files, target, "v", scratch, chosen)
    assert target.tags() == ["latest", "v"]
    assert {target.resolve(tag).descriptor.digest for tag in target.tags()} == {built.digest}
    assert built.manifest.annotations["com.example.team"] == "a b"
    assert built.manifest.annotations["org.opencontainers.image.title"] == "seals"
    assert config_of(target, built.manifest)["config"]["Labels"]["com.example.team"] == "a b"
    assert [layer.media_type for layer in built.manifest.layers] == [oci.LAYER_GZIP, oci.LAYER_ZSTD, oci.LAYER_ZSTD]
    for layer, diff_id in zip(
        built.manifest.layers[1:], config_of(target, built.manifest)["rootfs"]["diff_ids"][1:], strict=True
    ):
        content = zstandard.ZstdDecompressor().decompressobj().decompress(target.path(layer.digest).read_bytes())
        assert digest.of_bytes(content) == diff_id
    again = build(open_base(layout, "1"), files, target, "v", scratch, chosen)
    assert (again.was_there, again.uploaded_bytes) == (True, 0)
    another = build(open_base(layout, "1"), files, target, "v", scratch, replace(chosen, tags=("new",)))
    assert (another.was_there, another.digest) == (False, built.digest)


def skopeo(*arguments):
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed (apt-get install skopeo)")
    done = subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.mark.images
@pytest.mark.parametrize(
    ("options", "base_type", "layer_type"),
    [
        (["--format=v2s2"], oci.DOCKER_MANIFEST, oci.DOCKER_LAYER_GZIP),
        (["--format=oci", "--dest-compress-format=zstd"], oci.MANIFEST, oci.LAYER_ZSTD),
        (["--format=v2s2", "--all"], oci.DOCKER_MANIFEST, oci.DOCKER_LAYER_GZIP),
    ],
)
def test_bases_as_skopeo_writes_them(
    files, small_base, scratch, plain_registry, tmp_path, options, base_type, layer_type
):
    """Docker schema 2, zstd layers, a Docker manifest list: what is built on each, skopeo reads."""
    name = f"bases/{'-'.join(option.strip('-').replace('=', '-') for option in options)}"
    which = "index" if "--all" in options else "1"
    layout = Layout.create(tmp_path / "own")
    small_base(layout, "1", content=os.urandom(99))  # skopeo remembers how blobs it knows were compressed
    described = layout.resolve("1").descriptor.to_json()
    other = {**described, "platform": {"os": "linux", "architecture": "amd64"}}
    put_index(layout, [other])
    target = f"docker://{plain_registry}/{name}:1"
    given = ["--insecure-policy", "--dest-tls-verify=false", *options]
    source = f"oci:{layout.folder}:{which}"
    if layer_type == oci.LAYER_ZSTD:  # skopeo compresses only what is not compressed yet
        skopeo("copy", "--insecure-policy", "--dest-decompress", source, f"dir:{tmp_path}/unpacked")
        source = f"dir:{tmp_path}/unpacked"
    skopeo("copy", *given, source, target)
    if "--all" in options:
        raw = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", target))
        assert raw["mediaType"] == oci.DOCKER_INDEX
    store = Repository(Registry(plain_registry, Access()), name)
    base = open_base(store, "1")
    assert (base.manifest.descriptor.media_type, base.manifest.layers[0].media_type) == (base_type, layer_type)
    built = build(base, files, store, "built", scratch)
    assert built.manifest.layers[0].digest == base.manifest.layers[0].digest
    assert built.manifest.layers[0].media_type == oci.OCI_LAYERS[layer_type]
    copied = f"oci:{tmp_path}/copied:1"
    skopeo("copy", "--insecure-policy", "--src-tls-verify=false", f"docker://{plain_registry}/{name}:built", copied)
    assert Layout.open(tmp_path / "copied").resolve("1").descriptor.digest == built.digest


def put_index(layout, entries):
    """An OCI index of `entries` as tag `index` of the layout."""
    content = oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries})
    described = oci.Descriptor(oci.INDEX, digest.of_bytes(content), len(content), {oci.REF_NAME: "index"})
    layout.add_bytes(described, content)
    index = layout.index()
    index["manifests"].append(described.to_json())
    layout.write_index(index)
