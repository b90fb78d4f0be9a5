"""Tables of contents by others: what is not honest ends in one clear line, and little is read."""

import json
from dataclasses import replace

import pytest
import zstandard

from nearedge.delivery import digest, oci
from nearedge.delivery.access import Access
from nearedge.delivery.chunked import form, read_contents, write_layer
from nearedge.delivery.chunked.reader import is_chunked
from nearedge.delivery.layers import Entry
from nearedge.delivery.layout import Layout
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import OutsideError

START, SIZE = 500, 600
GOOD = {"type": "reg", "name": "a", "size": 9, "digest": "sha256:" + "a" * 64, "offset": 10, "endOffset": 20}


@pytest.fixture
def layout(tmp_path):
    return Layout.create(tmp_path / "layout")


@pytest.fixture
def hostile(layout):
    """A function that puts a blob with a given table into the layout; its descriptor, with changed annotations."""

    def put(table, content=None, **changes):
        text = table if isinstance(table, bytes) else json.dumps(table).encode()
        packed = zstandard.compress(text) if content is None else content
        blob = bytes(START) + packed + bytes(100)
        position = f"{START}:{len(packed)}:{len(text)}:1"
        named = {form.CHECKSUM: digest.of_bytes(packed), form.POSITION: position} | {
            getattr(form, key): value for key, value in changes.items()
        }
        layer = oci.Descriptor(oci.LAYER_ZSTD, digest.of_bytes(blob), len(blob), named)
        layout.add_bytes(layer, blob)
        return layer

    return put


def entries(*listed, **changes):
    return {"version": 1, "entries": list(listed)} | changes


def test_contents_of_what_we_wrote(layout, tmp_path):
    layer = write_layer([Entry("d/a", b"text"), Entry("b", bytes(600_000)), Entry("e", b"")], tmp_path / "l", "t")
    layout.add_file(layer.descriptor, layer.path)
    found = read_contents(layout, layer.descriptor)
    assert [(file.name, file.size, len(file.chunks)) for file in found.files] == [("b", 600_000, 3), ("d/a", 4, 1)]
    assert digest.of_bytes(b"text") in found.known
    assert digest.of_bytes(bytes(256 << 10)) in found.known
    assert found.split.end <= found.blob_size


def test_chunks_end_where_the_next_begins(hostile, layout):
    first = GOOD | {"chunkSize": 5, "chunkDigest": "sha256:" + "b" * 64}
    del first["endOffset"]
    rest = {"type": "chunk", "name": "a", "offset": 15, "chunkType": "zeros"}
    after = {"type": "reg", "name": "z", "size": 1, "offset": 40}
    found = read_contents(layout, hostile(entries({"type": "dir", "name": "d"}, first, rest, after)))
    assert [(chunk.start, chunk.end, chunk.zeros) for chunk in found.files[0].chunks] == [
        (10, 15, False),
        (15, 40, True),
    ]
    assert (found.files[1].chunks[0].end, found.split) == (START, None)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "lists no entries"),
        ({"version": 1, "entries": 5}, "lists no entries"),
        ({"version": 1, "entries": [5]}, "lists no entries"),
        (b"[" + b"[]," * 300_000 + b"[]]", "more than 200000 entries"),
        (entries(version=2), "version '2'"),
        (entries({"type": "chunk"}), "belongs to no file"),
        (entries({"type": "dir"}, {"type": "chunk"}), "belongs to no file"),
        (entries(GOOD | {"size": -1}), "size of 'a' is no size"),
        (entries(GOOD | {"size": 1 << 60}), "size of 'a' is no size"),
        (entries(GOOD | {"offset": "x\n"}), "offset of 'a' is no size"),
        (entries(GOOD | {"offset": True}), "offset of 'a' is no size"),
        (entries(GOOD | {"endOffset": 501}), "'a' lies outside"),
        (entries(GOOD | {"offset": 30}), "'a' lies outside"),
        (entries(GOOD | {"digest": "md5:1"}), "is no digest"),
        (entries(GOOD, {"type": "chunk", "offset": 5, "endOffset": 20}), "'a' lies outside"),
    ],
)
def test_tables_that_are_not_honest(hostile, layout, table, said):
    with pytest.raises(OutsideError, match=said) as caught:
        read_contents(layout, hostile(table))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"POSITION": ""}, "gives no position"),
        ({"POSITION": "1:2:3"}, "gives no position"),
        ({"POSITION": "1:-2:3:1"}, "gives no position"),
        ({"POSITION": "1:2:3:٤"}, "gives no position"),
        ({"POSITION": "1:2:3:2"}, "a kind we do not know"),
        ({"POSITION": "9" * 5000 + ":2:3:1"}, "a kind we do not know"),
        ({"POSITION": "600:900:3:1"}, "900 bytes .* in a blob of"),
        ({"POSITION": "1:0:3:1"}, "0 bytes"),
        ({"POSITION": f"1:2:{1 << 30}:1"}, "at most 16 MiB"),
        ({"SPLIT_POSITION": "600:900:3"}, "900 bytes"),
        ({"CHECKSUM": "sha256:" + "0" * 64}, "does not match its checksum"),
        ({"CHECKSUM": "no"}, "is no digest"),
        ({"CHECKSUM": ""}, "is no zstd:chunked layer"),
    ],
)
def test_annotations_that_are_not_honest(hostile, layout, changes, said):
    with pytest.raises(OutsideError, match=said):
        read_contents(layout, hostile(entries(GOOD), **changes))


def test_a_bomb_and_damage_are_left(hostile, layout):
    bomb = zstandard.compress(bytes(200 << 20))
    with pytest.raises(OutsideError, match="has not the 100 bytes"):
        read_contents(layout, hostile(bytes(100), bomb))
    with pytest.raises(OutsideError, match="is damaged"):
        read_contents(layout, hostile(bytes(100), b"no zstd"))


def test_a_layer_that_is_missing_or_cut(hostile, layout):
    layer = hostile(entries(GOOD))
    layout.path(layer.digest).write_bytes(bytes(START))
    with pytest.raises(OutsideError, match="ends before byte"):
        read_contents(layout, layer)
    layout.path(layer.digest).unlink()
    with pytest.raises(OutsideError, match="is missing"):
        read_contents(layout, layer)


def test_layers_of_old_engines(hostile, layout):
    layer = hostile(entries(GOOD))
    old = {form.OLD_CHECKSUM: layer.annotations[form.CHECKSUM], form.OLD_POSITION: layer.annotations[form.POSITION]}
    assert read_contents(layout, replace(layer, annotations=old)) == read_contents(layout, layer)
    assert is_chunked(replace(layer, annotations=old))
    assert not is_chunked(replace(layer, annotations={}))


@pytest.mark.parametrize("knows_range", [True, False])
def test_only_the_table_is_asked_for(serve, answer, hostile, layout, knows_range):
    layer = hostile(entries(GOOD))
    blob = layout.path(layer.digest).read_bytes()

    def respond(request):
        if not request.path.endswith(layer.digest):
            return answer()
        if not knows_range:
            return answer(body=blob)
        start, end = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        return answer(206, blob[start : end + 1])

    server = serve(respond)
    store = Repository(Registry(server.host, Access(plain_http=True)), "m")
    assert read_contents(store, layer) == read_contents(layout, layer)
    asked = [request for request in server.asked("GET") if request.path.endswith(layer.digest)]
    size = layer.annotations[form.POSITION].split(":")[1]
    assert [request.headers["Range"] for request in asked] == [f"bytes={START}-{START + int(size) - 1}"]


def test_a_registry_that_refuses_or_breaks_off(serve, answer, hostile):
    layer = hostile(entries(GOOD))
    server = serve(lambda _request: answer(403))
    with pytest.raises(OutsideError, match=r"part of blob .* status 403"):
        read_contents(Repository(Registry(server.host, Access(plain_http=True)), "m"), layer)
    server = serve(lambda _request: answer(206, bytes(50), cut=30))
    with pytest.raises(OutsideError, match=server.host):
        read_contents(Repository(Registry(server.host, Access(plain_http=True)), "m"), layer)
