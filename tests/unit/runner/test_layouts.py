"""Finding an image in a layout, and refusing layouts that are wrong."""

import json

import pytest

from nearedge.errors import InputError, UnsupportedError
from nearedge.runner import layouts

OTHER = "sha256:" + "0" * 64


def test_the_tag_names_the_image_and_its_config_is_read(layout, make_tar, tmp_path):
    layout.image([make_tar(("a", b"1", {}))], "one")
    digest = layout.image([make_tar(("a", b"2", {}))], "two", User="1001", Labels={"io.nearedge.runtime": "1"})
    image = layouts.find("oci:image:two", [tmp_path / "elsewhere", tmp_path])
    assert (image.digest, image.tag, image.folder) == (digest, "two", tmp_path / "image")
    assert (image.settings.user, image.ours, len(image.manifest.layers)) == ("1001", True, 1)
    assert not layouts.find("oci:image:one", [tmp_path]).ours


@pytest.mark.parametrize("form", ["oci:image:two@{}", "oci:image@{}", "oci:{folder}/image:two"])
def test_other_forms_of_a_reference(layout, make_tar, tmp_path, form):
    layout.image([make_tar(("a", b"1", {}))], "one")
    digest = layout.image([make_tar(("a", b"2", {}))], "two")
    assert layouts.find(form.format(digest, folder=tmp_path), [tmp_path]).digest == digest


def test_the_only_image_needs_no_name(layout, make_tar, tmp_path):
    digest = layout.image([make_tar()], "one")
    assert layouts.find("oci:image", [tmp_path]).digest == digest


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("oci:image:absent", "no image for absent"),
        ("oci:image", "2 images"),
        (f"oci:image:one@{OTHER}", "no image for one@sha256:0"),
        ("oci:image:one@sha256:12", "not a layout's reference"),
        ("oci::one", "not a layout's reference"),
        ("oci:none:one", "no OCI layout 'none'"),
        ("oci:../image:one", "no OCI layout"),
        ("oci:/etc:one", "no OCI layout"),
    ],
)
def test_a_reference_that_names_nothing(layout, make_tar, tmp_path, reference, message):
    layout.image([make_tar(("a", b"1", {}))], "one")
    layout.image([make_tar(("a", b"2", {}))], "two")
    (tmp_path / "inner").mkdir()
    with pytest.raises(InputError, match=message):
        layouts.find(reference, [tmp_path / "inner" if ".." in reference else tmp_path])


@pytest.mark.parametrize("platform", ["amd64", "arm64"])
def test_an_index_of_platforms_gives_ours(layout, make_tar, tmp_path, platform):
    digest = layout.image([make_tar()], "single")
    manifest = {key: value for key, value in layout.descriptors.pop().items() if key != "annotations"}
    manifest["platform"] = {"os": "linux", "architecture": platform}
    inner = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    layout.entry(layout.blob(inner, "application/vnd.oci.image.index.v1+json"), "many")
    if platform == "amd64":
        assert layouts.find("oci:image:many", [tmp_path]).digest == digest
    else:
        with pytest.raises(UnsupportedError, match="no image for linux/amd64"):
            layouts.find("oci:image:many", [tmp_path])


def damage(layout, how):
    """Make the layout wrong; the message that must tell it."""
    index = json.loads((layout.folder / "index.json").read_text())
    blob = layout.folder / "blobs/sha256" / index["manifests"][0]["digest"][7:]
    if how == "json":
        (layout.folder / "index.json").write_text("{")
        return "not an OCI index"
    if how == "missing":
        blob.unlink()
        return "lacks this blob"
    if how == "changed":
        blob.write_bytes(blob.read_bytes().replace(b"2", b"3", 1))
        return "not what its digest says"
    if how == "longer":
        blob.write_bytes(blob.read_bytes() + b" ")
        return "not what its digest says"
    changes = {
        "traversal": ("digest", "sha256:../../../etc/passwd", "no sha256 digest"),
        "huge": ("size", 1 << 40, "too many for a manifest"),
        "type": ("mediaType", "text/plain", "is text/plain, not an image"),
        "size": ("size", -1, r"manifests.0.size: .*not an OCI index"),
    }
    key, value, message = changes[how]
    index["manifests"][0][key] = value
    (layout.folder / "index.json").write_text(json.dumps(index))
    return message


@pytest.mark.parametrize("how", ["json", "missing", "changed", "longer", "traversal", "huge", "type", "size"])
def test_a_damaged_layout_is_refused(layout, make_tar, tmp_path, how):
    layout.image([make_tar()], "one")
    message = damage(layout, how)
    with pytest.raises(InputError, match=message):
        layouts.find("oci:image:one", [tmp_path])


def test_layers_and_diff_ids_must_match_in_number(layout, make_tar, tmp_path):
    layout.image([make_tar()], "one")
    config = {"rootfs": {"diff_ids": []}}
    manifest = json.loads((layout.folder / "blobs/sha256" / layout.descriptors.pop()["digest"][7:]).read_text())
    manifest["config"] = layout.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
    layout.entry(layout.blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json"), "bad")
    with pytest.raises(InputError, match="has 1 layers and its config another number"):
        layouts.find("oci:image:bad", [tmp_path])
