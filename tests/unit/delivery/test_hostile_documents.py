"""Whatever a registry or a layout says, it is read or refused in one line; nothing else comes out."""

import contextlib
import json
from pathlib import PurePosixPath

from hypothesis import given, settings
from hypothesis import strategies as st

from nearedge.delivery import authentication, oci, reference
from nearedge.delivery.sources import artifact
from nearedge.errors import InputError, NearedgeError, OutsideError

D = "sha256:" + "0" * 64
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(D) | st.just(oci.INDEX),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
DESCRIPTOR = st.fixed_dictionaries(
    {},
    optional={"mediaType": VALUES, "digest": VALUES, "size": VALUES, "annotations": VALUES, "platform": VALUES},
)
DOCUMENT = st.fixed_dictionaries(
    {"schemaVersion": st.just(2) | VALUES},
    optional={
        "mediaType": st.sampled_from([*oci.MANIFESTS, *oci.INDEXES]) | VALUES,
        "config": DESCRIPTOR | VALUES,
        "layers": st.lists(DESCRIPTOR, max_size=3) | VALUES,
        "manifests": st.lists(DESCRIPTOR, max_size=3) | VALUES,
        "annotations": VALUES,
        "artifactType": VALUES,
    },
)


def one_line(error: NearedgeError) -> bool:
    return len(str(error).splitlines()) == 1 and len(str(error)) < 1000


@settings(max_examples=200, deadline=None)
@given(DOCUMENT)
def test_manifests_and_indexes(document):
    content = json.dumps(document).encode()
    for read in (
        lambda: oci.manifest(content, "here"),
        lambda: oci.for_platform(oci.decode(content, "here"), "here"),
    ):
        try:
            found = read()
        except NearedgeError as error:
            assert one_line(error)
        else:
            assert isinstance(found, oci.Manifest | oci.Descriptor)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_bytes(content):
    with contextlib.suppress(OutsideError):
        oci.decode(content, "here")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("abZ0.:/@-_ \n[]") | st.characters(), max_size=60))
def test_references(text):
    try:
        found = reference.parse(text, allow_layout=True)
    except InputError:
        return
    assert reference.parse(str(found), allow_layout=True) == found


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet=st.sampled_from("ab./\\\0") | st.characters(), max_size=12), max_size=4))
def test_names_of_files(names):
    layers = tuple(oci.Descriptor(artifact.FILE, D, 1, {oci.TITLE: name}) for name in names)
    manifest = oci.Manifest(oci.Descriptor(oci.MANIFEST, D, 1), b"", layers[0] if layers else None, layers, {}, "")
    try:
        found = artifact.named(manifest, "here")
    except (InputError, OutsideError) as error:
        assert one_line(error)
        return
    assert len(found) == len(names)
    for name in found:
        path = PurePosixPath("/root") / name
        assert path.is_relative_to("/root")
        assert ".." not in path.parts
        assert path != PurePosixPath("/root")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.builds('Bearer {}="{}"'.format, st.text(max_size=10), st.text(max_size=50)))
def test_challenges(text):
    found = authentication.challenge(text)
    assert all(isinstance(value, str) for value in found.parameters.values())
