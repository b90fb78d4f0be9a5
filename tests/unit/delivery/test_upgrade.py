import pytest

from nearedge.delivery import oci
from nearedge.delivery.upgrade import pulled_bytes
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
