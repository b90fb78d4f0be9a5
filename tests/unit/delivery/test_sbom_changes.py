"""What differs between two bills of software, and the one attached to an image."""

from pathlib import Path

import pytest

from nearedge.delivery import digest, oci, referrers, sbom, sbom_changes
from nearedge.delivery.access import Access
from nearedge.delivery.layout import Layout
from nearedge.delivery.referrers import Attachment
from nearedge.delivery.sbom_changes import Changed, Changes, Part, diff
from nearedge.errors import InputError, OutsideError
from nearedge.release import record as records

RECORD = records.read(Path(__file__).parent / "data" / "release.json")


def library(name: str, version: str, **files: str) -> dict:
    inner = [
        {"type": "library", "name": key, "hashes": [{"alg": "SHA-256", "content": value}]}
        for key, value in files.items()
    ]
    return {"type": "library", "name": name, "version": version, "components": inner}


def bill(*components: dict) -> dict:
    return sbom.document(components)


def test_added_removed_changed() -> None:
    old = bill(library("a", "1"), library("b", "1"), library("c", "1", so="11"), library("d", "1"), library("d", "2"))
    new = bill(library("a", "1"), library("b", "2"), library("c", "1", so="22"), library("d", "2"), library("e", "9"))
    assert diff(old, new) == Changes(
        added=(Part("library", "e", "9"),),
        changed=(
            Changed("library", "b", "1", "2"),
            Changed("library", "c", "1", "1"),
            Changed("library", "d", "1, 2", "2"),
        ),
    )
    assert diff(new, old).removed == (Part("library", "e", "9"),)
    assert not diff(old, old)
    assert diff({}, {"components": ["x", {}]}) == Changes(added=(Part("", "", ""),))


def layout_with(workspace: Path, *attachments: Attachment) -> records.Record:
    """The record of an image that lies in a layout of the workspace."""
    store = Layout.create(workspace / "image")
    config = oci.Descriptor(oci.EMPTY, digest.of_bytes(b"{}"), 2)
    store.add_bytes(config, b"{}")
    document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.to_json(), "layers": []}
    manifest = oci.manifest(oci.encode(document), "x")
    store.publish(manifest, "1")
    referrers.attach(store, manifest.descriptor, attachments)
    image = RECORD.evidence.image
    assert image is not None
    image = image.model_copy(update={"url": "oci:image:1", "digest": manifest.descriptor.digest})
    return RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"image": image})})


def test_the_attached_bill(tmp_path: Path) -> None:
    there = bill(library("a", "1"))
    others = Attachment("application/x", "x", b"{}")
    record = layout_with(tmp_path, others, Attachment(referrers.SBOM_TYPE, "sbom.json", sbom.encode(there)))
    assert sbom_changes.attached(record, tmp_path, Access()) == there


def test_bills_that_cannot_be_had(tmp_path: Path) -> None:
    record = layout_with(tmp_path)
    with pytest.raises(InputError, match="no bill of software is attached"):
        sbom_changes.attached(record, tmp_path, Access())
    record = layout_with(tmp_path / "other", Attachment(referrers.SBOM_TYPE, "sbom.json", b"[]"))
    with pytest.raises(InputError, match="is no CycloneDX document"):
        sbom_changes.attached(record, tmp_path / "other", Access())
    with pytest.raises((InputError, OutsideError)):
        sbom_changes.attached(record, tmp_path / "nowhere", Access())
    bare = record.model_copy(update={"evidence": record.evidence.model_copy(update={"image": None})})
    with pytest.raises(InputError, match="names no image"):
        sbom_changes.attached(bare, tmp_path, Access())


def test_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        sbom_changes.read(tmp_path / "sbom.json")
    (tmp_path / "sbom.json").write_bytes(sbom.encode(bill()))
    assert sbom_changes.read(tmp_path / "sbom.json")["components"] == []
    for content in (b"{", b"[" * 100_000, b'{"components": 1}'):
        (tmp_path / "sbom.json").write_bytes(content)
        with pytest.raises(InputError, match="CycloneDX"):
            sbom_changes.read(tmp_path / "sbom.json")
