"""A release from its image: the record attached to it in docker-registry, where it is and where it will not do."""

import json
from pathlib import Path

import pytest

from nearedge.delivery import digest, oci, referrers
from nearedge.delivery.access import Access
from nearedge.delivery.gitops import image_record
from nearedge.delivery.image import MODEL_LABEL, RUNTIME_LABEL, VERSION_LABEL
from nearedge.delivery.reference import parse
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import InputError, OutsideError, UnsupportedError
from nearedge.release import record as records
from nearedge.release.record import Record
from scripts import render_gitops

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
LABELS = {MODEL_LABEL: "digits", VERSION_LABEL: RECORD.identity.version, RUNTIME_LABEL: "1"}


def changed(record: Record, **evidence) -> Record:
    return record.model_copy(update={"evidence": record.evidence.model_copy(update=evidence)})


def image(host: str, name: str, labels=None) -> tuple[Repository, oci.Manifest]:
    """An image of one layer under the tag 1."""
    store = Repository(Registry(host, Access()), name)
    layer = json.dumps([name, labels]).encode()
    config = oci.encode({"config": {"Labels": LABELS if labels is None else labels}})
    blobs = [oci.Descriptor(kind, digest.of_bytes(content), len(content), {oci.TITLE: title} if title else {})
             for kind, content, title in ((oci.CONFIG, config, ""), (oci.LAYER, layer, "model"))]  # fmt: skip
    for blob, content in zip(blobs, (config, layer), strict=True):
        store.add_bytes(blob, content)
    body = oci.encode({
        "schemaVersion": 2, "mediaType": oci.MANIFEST, "config": blobs[0].to_json(), "layers": [blobs[1].to_json()],
        "annotations": {image_record.BASE_NAME: "edge/runtime:1", image_record.BASE_DIGEST: "sha256:" + "5" * 64},
    })  # fmt: skip
    manifest = oci.manifest(body, "test")
    store.publish(manifest, "1")
    return store, manifest


def attach(store: Repository, manifest: oci.Manifest, text: str) -> None:
    referrers.attach(
        store, manifest.descriptor, [referrers.Attachment(referrers.RECORD_TYPE, "release.json", text.encode())]
    )


def of_image(record: Record, manifest: oci.Manifest, url: str) -> Record:
    assert record.evidence.image is not None
    section = record.evidence.image.model_copy(update={"digest": manifest.descriptor.digest, "url": url})
    return changed(record, image=section)


def test_the_record_with_the_place_where_the_image_is_now(plain_registry):
    store, manifest = image(plain_registry, "site/digits")
    attach(store, manifest, records.dump(of_image(RECORD, manifest, "quay.io/elsewhere/digits:1")))
    found = image_record.read(store, parse(f"{plain_registry}/site/digits:1"))
    assert found == of_image(RECORD, manifest, f"{plain_registry}/site/digits:1")
    assert image_record.read(store, parse(f"{plain_registry}/site/digits@{manifest.descriptor.digest}")).identity == (
        RECORD.identity
    )


@pytest.mark.parametrize("kind", ["serving", "modelcar"])
def test_a_record_without_an_image_is_completed_from_the_manifest(plain_registry, kind):
    labels = {key: text for key, text in LABELS.items() if kind == "serving" or key != RUNTIME_LABEL}
    store, manifest = image(plain_registry, f"complete/{kind}", labels)
    attach(store, manifest, records.dump(changed(RECORD, image=None, test=None)))
    found = image_record.read(store, parse(f"{plain_registry}/complete/{kind}:1"), RECORD).evidence.image
    assert found is not None
    assert (found.digest, found.size_bytes) == (manifest.descriptor.digest, manifest.size)
    assert [(layer.title, layer.digest) for layer in found.layers] == [("model", manifest.layers[0].digest)]
    assert found.base == "edge/runtime:1@sha256:" + "5" * 64
    assert found.upgrade_bytes == manifest.size, "nothing of it is in the release before"
    assert found.flavour == kind


def test_what_is_refused(plain_registry):
    store, manifest = image(plain_registry, "refused/none")
    with pytest.raises(InputError, match="no release record is attached to it"):
        image_record.read(store, parse(f"{plain_registry}/refused/none:1"))
    with pytest.raises(OutsideError, match="has no image '2'"):
        image_record.read(store, parse(f"{plain_registry}/refused/none:2"))
    newer = records.dump(RECORD).replace('"schema_version": 1', '"schema_version": 9')
    other = records.dump(of_image(RECORD, manifest, "quay.io/x:1"))
    for number, (text, kind, words) in enumerate([
        (newer, UnsupportedError, "schema_version 9 is newer"),
        ("{", InputError, "is no release record"),
        (other, InputError, "is that of sha256:"),
    ]):  # fmt: skip
        store, manifest = image(plain_registry, f"refused/{number}")
        attach(store, manifest, text)
        with pytest.raises(kind, match=words):
            image_record.read(store, parse(f"{plain_registry}/refused/{number}:1"))


def test_a_record_of_another_model(plain_registry):
    store, manifest = image(plain_registry, "refused/labels", {**LABELS, MODEL_LABEL: "faces"})
    attach(store, manifest, records.dump(of_image(RECORD, manifest, "quay.io/x/digits:1")))
    with pytest.raises(InputError, match="is of 'digits', and the image"):
        image_record.read(store, parse(f"{plain_registry}/refused/labels:1"))


def test_the_program_needs_no_sections_then(plain_registry, tmp_path):
    store, manifest = image(plain_registry, "site/rendered")
    attach(store, manifest, records.dump(changed(of_image(RECORD, manifest, "quay.io/x:1"), test=None)))
    argv = [f"--serving-image={plain_registry}/site/rendered:1", f"--result-image={tmp_path}/image", "--ca-bundle="]
    assert render_gitops.main([f"--workspace={tmp_path}", *argv, "--", "a"]) == 0
    named = f"{plain_registry}/site/rendered@{manifest.descriptor.digest}"
    assert (tmp_path / "image").read_text() == named
    base = tmp_path / "gitops" / "models" / "digits" / "base"
    assert named in (base / "deployment.yaml").read_text()
    found = records.read(base / "release.json")
    assert found == changed(of_image(RECORD, manifest, f"{plain_registry}/site/rendered:1"), test=None)


@pytest.mark.parametrize("name", ["../elsewhere", "", "a/b", "A"])
def test_a_name_that_is_no_folder_of_ours_is_refused(name):
    named = RECORD.model_copy(update={"identity": RECORD.identity.model_copy(update={"name": name})})
    with pytest.raises(InputError, match="is no name of a model"):
        image_record.check_model({MODEL_LABEL: name, VERSION_LABEL: RECORD.identity.version}, named, "r.example/x:1")
