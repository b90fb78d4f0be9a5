import hashlib

import pytest

from nearedge.delivery import chunked, digest, oci
from nearedge.delivery.layers import Entry
from nearedge.delivery.layout import Layout
from nearedge.delivery.upgrade import pulled_bytes, pulled_from
from nearedge.release.record import Evidence, Record
from nearedge.release.sections import ImageSection, Layer


def d(letter):
    return "sha256:" + letter * 64


def manifest(*layers):
    config = {"mediaType": oci.CONFIG, "digest": d("c"), "size": 100}
    body = [{"mediaType": oci.LAYER_GZIP, "digest": d(letter), "size": size} for letter, size in layers]
    document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": body}
    return oci.manifest(oci.encode(document), "x")


def release(image):
    return Record.model_construct(evidence=Evidence.model_construct(image=image))


def image(digest, *letters):
    layers = [Layer(digest=d(letter), size_bytes=1, title="t") for letter in letters]
    return ImageSection.model_construct(digest=digest, layers=layers)


NEW = manifest(("a", 1000), ("b", 20), ("b", 20), ("e", 3))
DOCUMENTS = 100 + NEW.descriptor.size


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        (None, None),
        (release(None), None),
        (release(image(NEW.descriptor.digest, "a", "b", "e")), 0),
        (release(image(d("0"), "a")), DOCUMENTS + 23),
        (release(image(d("0"), "a", "b", "e")), DOCUMENTS),
        (release(image(d("0"), "f")), DOCUMENTS + 1023),
    ],
)
def test_a_site_pulls_what_it_lacks_once(previous, expected):
    assert pulled_bytes(NEW, previous) == expected


@pytest.fixture
def layout(tmp_path):
    return Layout.create(tmp_path / "layout")


def chunked_image(layout, tmp_path, *contents):
    """An image in the layout with a file for each of `contents` in a zstd:chunked layer; its manifest."""
    entries = [Entry(f"t{number}", content) for number, content in enumerate(contents)]
    layer = chunked.write_layer(entries, tmp_path / "layer", "model")
    layout.add_copy(layer.descriptor, layer.path)
    config = oci.Descriptor(oci.CONFIG, digest.of_bytes(layer.diff_id.encode()), 100)
    body = {"config": config.to_json(), "layers": [layer.descriptor.to_json()]}
    found = oci.manifest(oci.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST} | body), "x")
    layout.publish(found, "x")
    return found


def recorded(manifest):
    layers = [Layer(digest=layer.digest, size_bytes=layer.size, title="t") for layer in manifest.layers]
    return release(ImageSection.model_construct(digest=manifest.descriptor.digest, layers=layers))


def test_chunks_that_did_not_change_are_not_pulled(layout, tmp_path):
    same, other = bytes(range(256)) * 100, hashlib.shake_128(b"new").digest(50_000)
    old = chunked_image(layout, tmp_path, hashlib.shake_128(b"old").digest(200_000), same)
    new = chunked_image(layout, tmp_path, hashlib.shake_128(b"old").digest(200_000), same, other)
    found = pulled_from(layout, new, recorded(old))
    assert found.whole == new.size
    assert 50_000 < found.partial < 60_000
    assert pulled_from(layout, new, recorded(new)) == chunked.Pulled(0, 0)


def test_without_the_previous_image_whole_blobs_are_counted(layout, tmp_path):
    old = chunked_image(layout, tmp_path, b"old")
    new = chunked_image(layout, tmp_path, b"new")
    layout.path(old.layers[0].digest).unlink()
    assert pulled_from(layout, new, recorded(old)) == chunked.Pulled(new.size, new.size)
    layout.path(old.descriptor.digest).unlink()
    assert pulled_from(layout, new, recorded(old)) == chunked.Pulled(new.size, new.size)
    assert pulled_from(layout, new, None) is None
