"""A release out of its own image: every layout of the model, and every image that is none."""

from pathlib import Path

import numpy as np
import pytest

from nearedge.delivery import oci
from nearedge.delivery.image import Choices, build, open_base
from nearedge.delivery.layout import Layout
from nearedge.delivery.model_layers import ModelFiles
from nearedge.delivery.sources import release_image
from nearedge.errors import InputError, UnsupportedError
from nearedge.files import sha256_file
from nearedge.release import description, record
from nearedge.release.sections import GoldenSection

ENOUGH = 1 << 22
RECORD = record.read(Path(__file__).parents[1] / "data/release.json")


@pytest.fixture
def released(tmp_path, small_base):
    """A function that builds a release into a layout; the layout and the manifest."""

    def release(layout="single", identity_text=None, golden=True, **changes):
        given = tmp_path / "given"
        given.mkdir()
        (given / "model.xml").write_text("<net/>")
        (given / "model.bin").write_bytes(bytes(range(256)) * 2000)
        shape = [1 if size < 0 else size for size in RECORD.identity.ir.inputs[0].shape]
        np.savez(given / "golden.npz", **{f"input/{RECORD.identity.ir.inputs[0].name}": np.zeros((2, *shape))})
        hashes = {f"{kind}_sha256": sha256_file(given / f"model.{kind}") for kind in ("xml", "bin")}
        held = GoldenSection(
            sha256=sha256_file(given / "golden.npz"), count=2, size_bytes=900, instruction_set="avx2", tolerances=[]
        )
        identity = RECORD.identity.model_copy(
            update={
                "ir": RECORD.identity.ir.model_copy(update=hashes),
                "golden": held if golden else None,
                "precision": "f32",
                **changes,
            }
        )
        files = ModelFiles(
            identity.name, identity.version, given / "model.xml", hashes["xml_sha256"], given / "model.bin",
            hashes["bin_sha256"], given / "golden.npz" if golden else None, held.sha256 if golden else "",
            identity_text or record.dump(identity),
        )  # fmt: skip
        base, target = Layout.create(tmp_path / "base"), Layout.create(tmp_path / "target")
        small_base(base, "1")
        (tmp_path / "scratch").mkdir()
        build(open_base(base, "1"), files, target, "1", tmp_path / "scratch", Choices(layout=layout))
        return target, target.resolve("1")

    return release


@pytest.mark.parametrize("layout", ["single", "sharded", "layered"])
def test_a_release_becomes_a_model_to_build(released, tmp_path, layout):
    target, manifest = released(layout)
    again = release_image.bring(target, manifest, tmp_path / "into", ENOUGH)
    names = {path.name for path in (tmp_path / "into").iterdir()}
    assert names == {"model.xml", "model.bin", "model.yaml", "data.npz"}
    assert (tmp_path / "into" / "model.bin").read_bytes() == bytes(range(256)) * 2000
    assert again.source == RECORD.identity.source
    made = description.read(tmp_path / "into" / "model.yaml")
    assert (made.name, made.precision, made.source.path) == (RECORD.identity.name, "f32", "model.xml")
    assert made.golden is not None
    assert made.golden.rows == (0, 2)


def test_a_quantised_release_without_samples_keeps_its_weights(released, tmp_path):
    target, manifest = released(golden=False, precision="int8")
    assert release_image.bring(target, manifest, tmp_path / "into", ENOUGH).precision == "int8"
    made = description.read(tmp_path / "into" / "model.yaml")
    assert (made.precision, made.data, made.golden, made.parity) == ("f32", None, None, {})


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("{}", InputError, "Field required"),
        ('{"schema_version": 9}', UnsupportedError, "schema_version 9 is newer"),
        (record.dump(RECORD.identity), InputError, "holds no model.xml with the sha256"),
    ],
)
def test_an_identity_that_is_another_s_is_refused(released, tmp_path, text, kind, message):
    target, manifest = released(identity_text=text)
    with pytest.raises(kind, match=message):
        release_image.bring(target, manifest, tmp_path / "into", ENOUGH)
    assert not (tmp_path / "into" / "model.yaml").exists()


def test_too_large_is_refused_before_it_is_pulled(released, tmp_path):
    target, manifest = released()
    with pytest.raises(InputError, match="max-bytes"):
        release_image.bring(target, manifest, tmp_path / "into", 10)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"config": None},
        {"config": {"Labels": {"io.nearedge.runtime": "1"}}},
        {"config": {"Labels": {"io.nearedge.model": "../x", "io.nearedge.version": "1"}}},
        {"config": {"Labels": {"io.nearedge.model": "..", "io.nearedge.version": "1"}}},
    ],
)
def test_an_image_without_a_release_is_refused(config):
    with pytest.raises(InputError, match="without a release"):
        release_image.model_folder(config, "r.example/x:1")


def test_labels_that_name_a_model_which_is_not_there(released, tmp_path, monkeypatch):
    target, manifest = released()
    monkeypatch.setattr(release_image, "model_folder", lambda *_: "models/other/1")
    with pytest.raises(InputError, match="none of its topmost layers holds"):
        release_image.bring(target, manifest, tmp_path / "into", ENOUGH)


def test_an_artifact_is_no_image(released):
    _, manifest = released()
    assert release_image.is_image(manifest)
    artifact = oci.manifest(manifest.content.replace(oci.CONFIG.encode(), oci.EMPTY.encode()), "x")
    assert not release_image.is_image(artifact)
