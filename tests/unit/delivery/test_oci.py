import pytest

from nearedge.delivery import oci
from nearedge.errors import OutsideError, UnsupportedError

D = "sha256:" + "0" * 64
CONFIG = {"mediaType": oci.CONFIG, "digest": D, "size": 2}
LAYER = {"mediaType": oci.LAYER_GZIP, "digest": D, "size": 3}


def document(**changes):
    return oci.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": CONFIG, "layers": [LAYER]} | changes)


def test_a_manifest_is_read_with_its_own_digest():
    content = document(annotations={"a": "b", "n": 1})
    found = oci.manifest(content, "x")
    assert (found.config.size, found.layers[0].size, found.annotations) == (2, 3, {"a": "b"})
    assert found.size == len(content) + 5
    assert found.layers[0].to_json() == LAYER


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"", OutsideError, "no JSON"),
        (b"\xff\xfe", OutsideError, "no JSON"),
        (b"[" * 100_000, OutsideError, "no JSON"),
        (b"[]", OutsideError, "no JSON object"),
        (b" " * (oci.LARGEST_DOCUMENT + 1), OutsideError, "larger than 4 MiB"),
        (document(schemaVersion=1), UnsupportedError, "schemaVersion '1'"),
        (document(mediaType="text/html"), UnsupportedError, "not an image manifest"),
        (document(config=None), OutsideError, "config: is no descriptor"),
        (document(layers={}), OutsideError, "layers is no list"),
        (document(layers=[LAYER] * 1001), OutsideError, "layers is no list"),
        (document(layers=["x"]), OutsideError, "layer 0: is no descriptor"),
        (document(layers=[LAYER | {"size": -1}]), OutsideError, "no size"),
        (document(layers=[LAYER | {"size": 1.5}]), OutsideError, "no size"),
        (document(layers=[LAYER | {"size": True}]), OutsideError, "no size"),
        (document(layers=[LAYER | {"size": 1 << 60}]), OutsideError, "no size"),
        (document(layers=[LAYER | {"digest": "sha256:../../x"}]), OutsideError, "no digest"),
        (document(layers=[LAYER | {"digest": "sha512:" + "0" * 128}]), UnsupportedError, "not sha256"),
        (document(layers=[{"digest": D, "size": 1}]), OutsideError, "no media type"),
    ],
)
def test_damaged_manifests_are_one_line(content, kind, said):
    with pytest.raises(kind, match=said) as caught:
        oci.manifest(content, "here")
    assert str(caught.value).startswith("here")
    assert len(str(caught.value)) < 300


def test_dockers_type_is_taken_from_the_answer_where_the_document_has_none():
    content = oci.encode({"schemaVersion": 2, "config": CONFIG, "layers": []})
    assert oci.manifest(content, "x", oci.DOCKER_MANIFEST).descriptor.media_type == oci.DOCKER_MANIFEST
    assert oci.manifest(content, "x", "text/plain").descriptor.media_type == oci.MANIFEST
    assert oci.media_type({"manifests": []}) == oci.INDEX


def entry(system, architecture, digest=D):
    return {
        "mediaType": oci.MANIFEST,
        "digest": digest,
        "size": 1,
        "platform": {"os": system, "architecture": architecture},
    }


def test_of_an_index_linux_amd64_is_taken():
    wanted = "sha256:" + "1" * 64
    index = {"manifests": [entry("linux", "arm64"), entry("windows", "amd64"), entry("linux", "amd64", wanted)]}
    assert oci.for_platform(index, "x").digest == wanted


@pytest.mark.parametrize("entries", [[], [entry("linux", "arm64")], ["x", entry("linux", "s390x")][1:]])
def test_an_index_without_it_is_refused(entries):
    with pytest.raises(UnsupportedError, match="nearedge needs linux/amd64"):
        oci.for_platform({"manifests": entries}, "x")


def test_an_index_entry_without_platform_is_taken():
    assert oci.for_platform({"manifests": [LAYER | {"mediaType": oci.MANIFEST}]}, "x").digest == D
