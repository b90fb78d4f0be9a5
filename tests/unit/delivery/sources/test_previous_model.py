"""The deployed model out of its image: from a layout and a registry, and every way in which it cannot be had."""

import shutil
from pathlib import Path

import pytest
import zstandard

from nearedge.delivery import digest, layers, oci
from nearedge.delivery.access import Access
from nearedge.delivery.image import Choices, build, open_base
from nearedge.delivery.layout import Layout
from nearedge.delivery.model_layers import ModelFiles
from nearedge.delivery.reference import parse
from nearedge.delivery.repository import Repository
from nearedge.delivery.sources import previous_model
from nearedge.delivery.store import open_store
from nearedge.errors import InputError
from nearedge.files import sha256_file, write_text
from nearedge.release import record
from nearedge.release.sections import ImageSection
from nearedge.release.sections.image import Layer

ENOUGH = 1 << 20
RECORD = record.read(Path(__file__).parents[1] / "data/release.json")


@pytest.fixture
def deployed(tmp_path, small_base):
    """A function that deploys a small model to a target as `build-serving-image` would; the workspace and the layer."""

    def deploy(target="oci:image:1", compression="fast", layout="single", flavour="serving", xml="<net/>", **changes):
        workspace, given = tmp_path / "release", tmp_path / "given"
        for folder in (workspace, given, tmp_path / "scratch"):
            folder.mkdir(exist_ok=True)
        (given / "model.xml").write_text(xml)
        (given / "model.bin").write_bytes(bytes(range(256)) * 2000)
        base = Layout.create(tmp_path / "base")
        small_base(base, "1")
        hashes = {f"{kind}_sha256": sha256_file(given / f"model.{kind}") for kind in ("xml", "bin")}
        ir = RECORD.identity.ir.model_copy(update=hashes)
        identity = RECORD.identity.model_copy(update={"ir": ir})
        files = ModelFiles(
            identity.name, identity.version, given / "model.xml", ir.xml_sha256, given / "model.bin", ir.bin_sha256,
            None, "", record.dump(identity),
        )  # fmt: skip
        reference = parse(target, allow_layout=True)
        store = open_store(reference, workspace, Access(), create=True)
        chosen = Choices(compression=compression, layout=layout, flavour=flavour)
        built = build(open_base(base, "1"), files, store, reference.tag, tmp_path / "scratch", chosen)
        image = ImageSection(
            url=target, digest=built.digest, size_bytes=built.manifest.size, base="base", base_kind="layout",
            uploaded_bytes=0, upgrade_bytes=None,
            layers=[
                Layer(digest=layer.digest, size_bytes=layer.size, title=title)
                for layer, title in zip(built.manifest.layers, built.titles, strict=True)
            ],
        )  # fmt: skip
        say_deployed(workspace, identity, image.model_copy(update=changes))
        return workspace, built.manifest.layers[1]

    def say_deployed(workspace, identity, image):
        evidence = RECORD.evidence.model_copy(update={"image": image})
        whole = RECORD.model_copy(update={"identity": identity, "evidence": evidence})
        write_text(workspace / record.PREVIOUS, record.dump(whole))

    return deploy


def bring(workspace, most=ENOUGH):
    return previous_model.bring(workspace, Access(), most)


def nothing_there(workspace):
    return [path.name for path in (workspace / "previous").iterdir()] == ["release.json"]


@pytest.mark.parametrize("compression", ["fast", "small", "zstd"])
def test_the_model_comes_out_of_a_layout(deployed, tmp_path, compression):
    workspace, _ = deployed(compression=compression)
    assert bring(workspace) and bring(workspace), "a second run replaces the first one's"
    folder = workspace / record.PREVIOUS_MODEL
    assert sorted(path.name for path in folder.iterdir()) == ["model.bin", "model.xml", "release.json"]
    for name in ("model.xml", "model.bin"):
        assert (folder / name).read_bytes() == (tmp_path / "given" / name).read_bytes()
    said = record.Identity.model_validate_json((folder / "release.json").read_text())
    assert said == record.read_previous(workspace).identity
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model", "release.json"]


@pytest.mark.parametrize("compression", ["fast", "zstd"])
@pytest.mark.parametrize(
    ("layout", "flavour"), [("sharded", "serving"), ("layered", "serving"), ("single", "modelcar")]
)
def test_the_model_comes_out_of_every_layout(deployed, tmp_path, monkeypatch, compression, layout, flavour):
    monkeypatch.setattr("nearedge.delivery.model_layers.LEAST_GROUP_BYTES", 1 << 17)  # several layers of weights
    tensors = [(0, 300_000), (300_000, 1000), (301_000, 150_000)]
    xml = "".join(f'<layer type="Const"><data offset="{at}" size="{size}"/></layer>' for at, size in tensors)
    workspace, _ = deployed(compression=compression, layout=layout, flavour=flavour, xml=f"<net>{xml}</net>")
    titles = [layer.title for layer in record.read_previous(workspace).evidence.image.layers]
    assert ("weights 2" in titles) == (layout == "layered")
    assert bring(workspace)
    folder = workspace / record.PREVIOUS_MODEL
    assert sorted(path.name for path in folder.iterdir()) == ["model.bin", "model.xml", "release.json"]
    for name in ("model.xml", "model.bin"):
        assert (folder / name).read_bytes() == (tmp_path / "given" / name).read_bytes()


def test_a_lost_layer_of_weights_is_one_line(deployed, capsys):
    workspace, _ = deployed(layout="layered")
    layers = record.read_previous(workspace).evidence.image.layers
    weights = next(layer for layer in layers if layer.title == "weights 1")
    Layout.open(workspace / "image").path(weights.digest).unlink()
    assert not bring(workspace)
    assert "the deployed model cannot be had" in capsys.readouterr().err
    assert nothing_there(workspace)


def test_the_model_comes_from_a_registry_and_nothing_else_does(deployed, plain_registry, monkeypatch):
    workspace, layer = deployed(f"{plain_registry}/edge/digits:1")
    pulled = []
    chunks = Repository.chunks
    monkeypatch.setattr(Repository, "chunks", lambda self, blob: pulled.append(blob.digest) or chunks(self, blob))
    assert bring(workspace)
    assert pulled == [layer.digest]
    assert (workspace / record.PREVIOUS_MODEL / "model.xml").read_text() == "<net/>"


def no_record(deployed):
    workspace, _ = deployed()
    (workspace / record.PREVIOUS).unlink()
    return workspace


def test_a_first_release_has_none_and_says_nothing(deployed, capsys):
    assert not bring(no_record(deployed)) and capsys.readouterr().err == ""


def no_layout(deployed):
    workspace, _ = deployed()
    shutil.rmtree(workspace / "image")
    return workspace


def no_image(deployed):
    return deployed(digest="sha256:" + "d" * 64)[0]


def no_layer(deployed):
    workspace, layer = deployed()
    (workspace / "image/blobs/sha256" / layer.digest.removeprefix("sha256:")).unlink()
    return workspace


def damaged_layer(deployed):
    workspace, layer = deployed()
    path = workspace / "image/blobs/sha256" / layer.digest.removeprefix("sha256:")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    return workspace


def other_model(deployed):
    workspace, _ = deployed()
    text = (workspace / record.PREVIOUS).read_text()
    known = record.read_previous(workspace).identity.ir.bin_sha256
    write_text(workspace / record.PREVIOUS, text.replace(known, "4" * 64))
    return workspace


def no_title(deployed):
    return deployed(layers=[])[0]


def no_registry(deployed):
    return deployed(url="127.0.0.1:1/edge/digits:1")[0]


def outside(deployed):
    return deployed(url="oci:../elsewhere:1")[0]


def no_reference(deployed):
    return deployed(url="digits")[0]


@pytest.mark.parametrize("fault,words", [
    (no_layout, "is no OCI layout"), (no_image, "holds no 'sha256:ddd"), (no_layer, "is missing"),
    (damaged_layer, "do not match the digest"), (other_model, "holds no model.bin with the sha256"),
    (no_title, "no layer that its record calls the model"), (no_registry, "127.0.0.1:1"), (outside, "leads out of"),
    (no_reference, "names no registry"),
])  # fmt: skip
def test_what_cannot_be_had_is_one_line_and_leaves_nothing(deployed, capsys, fault, words):
    workspace = fault(deployed)
    assert not bring(workspace) and nothing_there(workspace)
    said = capsys.readouterr().err
    assert said.startswith("warning: the deployed model cannot be had (") and words in said
    assert said.count("\n") == 1 and "recorded figures" in said


def test_a_release_without_an_image(deployed, capsys):
    workspace, _ = deployed()
    whole = record.read_previous(workspace)
    evidence = whole.evidence.model_copy(update={"image": None})
    write_text(workspace / record.PREVIOUS, record.dump(whole.model_copy(update={"evidence": evidence})))
    assert not bring(workspace) and "its record names no image" in capsys.readouterr().err


@pytest.mark.parametrize("most,words", [(100, "takes "), (100_000, "unpacks to more than")])
def test_more_than_max_bytes_is_not_taken(deployed, capsys, most, words):
    workspace, layer = deployed()
    assert 100 < layer.size < 100_000
    assert not bring(workspace, most) and nothing_there(workspace)
    said = capsys.readouterr().err
    assert words in said and "max-bytes" in said


def hostile(entries, tmp_path):
    """A layer of the entries in a layout of its own; the layout and the layer's descriptor."""
    made = layers.write_layer(entries, tmp_path / "hostile", "model")
    store = Layout.create(tmp_path / "store")
    store.add_copy(made.descriptor, made.path)
    return store, made.descriptor


def test_a_link_in_the_layer_is_refused(tmp_path):
    store, layer = hostile([layers.Entry("models/digits/1/model.xml", link="/etc/passwd")], tmp_path)
    with pytest.raises(InputError, match="is a link"):
        previous_model.unpack(store, layer, tmp_path, ENOUGH)


def test_a_zstd_bomb_and_what_is_no_zstd_are_refused(tmp_path):
    blob = tmp_path / "blob"
    blob.write_bytes(zstandard.compress(bytes(16 << 20)))
    with pytest.raises(InputError, match="unpacks to more than 1048576"):
        previous_model.plain(blob, tmp_path / "tar", ENOUGH)
    blob.write_bytes(b"\x28\xb5\x2f\xfd" + b"x" * 40)
    with pytest.raises(InputError, match="no zstd stream"):
        previous_model.plain(blob, tmp_path / "tar", ENOUGH)


def test_an_own_title_does_not_make_a_bases_layer_the_models():
    ours, theirs = (oci.Descriptor(oci.LAYER_GZIP, digest.of_bytes(text), 1) for text in (b"ours", b"theirs"))
    manifest = oci.Manifest(ours, b"", ours, (theirs, ours), {}, "")
    titled = [Layer(digest=one.digest, size_bytes=1, title="model") for one in manifest.layers]
    image = ImageSection(
        url="x",
        digest="x",
        size_bytes=1,
        layers=titled,
        base="x",
        base_kind="host",
        uploaded_bytes=0,
        upgrade_bytes=None,
    )
    assert previous_model.model_layers(image, manifest, "x") == [ours]
