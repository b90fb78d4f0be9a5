"""The report that is attached to an image: read back as it was, and nothing else taken for one."""

import gzip

import pytest

from nearedge.delivery import digest, evidence_attached, oci, referrers
from nearedge.delivery.layout import Layout
from nearedge.errors import InputError

PAGE = b"<!doctype html>" + b"<p>figures</p>" * 500


@pytest.fixture
def layout(tmp_path):
    return Layout.create(tmp_path / "layout")


@pytest.fixture
def image(layout):
    config = oci.Descriptor(oci.CONFIG, digest.of_bytes(b"{}"), 2)
    layout.add_bytes(config, b"{}")
    body = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.to_json(), "layers": [config.to_json()]}
    manifest = oci.manifest(oci.encode(body), "x")
    layout.publish(manifest, "1")
    return manifest


def attach(layout, image, content):
    referrers.attach(layout, image.descriptor, [referrers.Attachment(referrers.REPORT_TYPE, "report.html.gz", content)])


def test_it_is_read_as_it_was_written(layout, image):
    attach(layout, image, evidence_attached.packed(PAGE))
    assert evidence_attached.report(layout, image) == PAGE
    assert gzip.decompress(evidence_attached.packed(PAGE)) == PAGE
    assert evidence_attached.packed(PAGE) == evidence_attached.packed(PAGE)


def test_an_image_without_one(layout, image):
    with pytest.raises(InputError, match="no report is attached"):
        evidence_attached.report(layout, image)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PAGE, "is damaged"),
        (evidence_attached.packed(PAGE)[:-9], "cut short"),
        (evidence_attached.packed(bytes(evidence_attached.LARGEST_REPORT + 1)), "larger than 8 MiB"),
        (b"", "cut short"),
    ],
)
def test_what_is_no_report_is_refused(layout, image, content, words):
    attach(layout, image, content)
    with pytest.raises(InputError, match=words):
        evidence_attached.report(layout, image)
