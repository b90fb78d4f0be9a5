import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nearedge.delivery import digest, oci
from nearedge.delivery.layout import Layout
from nearedge.errors import InputError, OutsideError

WRITER = """
import sys
from pathlib import Path
from nearedge.delivery import digest, oci
from nearedge.delivery.layout import Layout
layout = Layout.create(Path(sys.argv[1]))
for number in range(15):
    config = {"mediaType": oci.CONFIG, "digest": digest.of_bytes(b"{}"), "size": 2}
    document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "layers": [], "config": config}
    content = oci.encode(document | {"annotations": {"n": sys.argv[2]}})
    layout.publish(oci.manifest(content, "x"), f"{sys.argv[2]}-{number}")
"""


def blob(content):
    return oci.Descriptor("text/plain", digest.of_bytes(content), len(content))


def a_manifest(text="a"):
    config = oci.Descriptor(oci.CONFIG, digest.of_bytes(b"{}"), 2).to_json()
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": config,
        "layers": [],
        "annotations": {"t": text},
    }
    return oci.manifest(oci.encode(document | {"annotations": {"t": text}}), "x")


@pytest.fixture
def layout(tmp_path):
    return Layout.create(tmp_path / "layout")


def test_blobs_come_back_and_are_written_once(layout, tmp_path):
    (tmp_path / "file").write_bytes(b"from a file")
    assert layout.add_bytes(blob(b"bytes"), b"bytes") == 5
    assert layout.add_bytes(blob(b"bytes"), b"bytes") == 0
    assert layout.add_file(blob(b"from a file"), tmp_path / "file") == 11
    assert layout.add_file(blob(b"from a file"), tmp_path / "file") == 0
    assert layout.read(blob(b"bytes"), 5) == b"bytes"
    assert b"".join(layout.chunks(blob(b"from a file"))) == b"from a file"
    assert {path.name[0] for path in (layout.folder / "blobs/sha256").iterdir()} != {"."}


def test_add_copy_does_not_share_the_file(layout, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    layout.add_copy(blob(b"mine"), tmp_path / "file")
    (tmp_path / "file").write_bytes(b"next")
    assert layout.read(blob(b"mine"), 4) == b"mine"


def test_tags_move_and_digests_stay(layout):
    first, second = a_manifest("1"), a_manifest("2")
    assert layout.find("v") is None
    assert layout.publish(first, "v") == first.descriptor.size
    assert layout.publish(first, "v") == 0
    layout.publish(second, "v")
    layout.publish(second, "w")
    assert layout.resolve("v").content == second.content
    assert layout.resolve(first.descriptor.digest).content == first.content
    assert layout.tags() == ["v", "w"]
    layout.publish(first, "")
    layout.publish(first, "")
    assert len(layout.index()["manifests"]) == 3


def test_the_index_is_the_same_whatever_the_order(tmp_path):
    texts = []
    for order in ("ab", "ba"):
        found = Layout.create(tmp_path / order)
        for tag in order:
            found.publish(a_manifest(tag), tag)
        texts.append((found.folder / "index.json").read_bytes())
    assert texts[0] == texts[1]


def test_an_index_is_followed_to_our_platform(layout):
    inner = a_manifest("inner")
    layout.add_bytes(inner.descriptor, inner.content)
    entry = inner.descriptor.to_json() | {"platform": {"os": "linux", "architecture": "amd64"}}
    content = oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]})
    top = oci.Descriptor(oci.INDEX, digest.of_bytes(content), len(content), {oci.REF_NAME: "multi"})
    layout.add_bytes(top, content)
    layout.write_index({"schemaVersion": 2, "manifests": [top.to_json()]})
    assert layout.resolve("multi").descriptor.digest == inner.descriptor.digest


def test_an_index_that_names_indexes_for_ever_is_refused(layout):
    content = oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []})
    for _ in range(4):
        entry = oci.Descriptor(oci.INDEX, digest.of_bytes(content), len(content))
        layout.add_bytes(entry, content)
        content = oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry.to_json()]})
    top = oci.Descriptor(oci.INDEX, digest.of_bytes(content), len(content), {oci.REF_NAME: "deep"})
    layout.add_bytes(top, content)
    layout.write_index({"schemaVersion": 2, "manifests": [top.to_json()]})
    with pytest.raises(OutsideError, match="more than twice"):
        layout.resolve("deep")


def test_a_layout_takes_over_a_copy_of_its_own_and_verified(layout, tmp_path):
    other = Layout.create(tmp_path / "other")
    layout.add_bytes(blob(b"shared"), b"shared")
    assert other.adopt(blob(b"shared"), layout) == 6
    assert other.adopt(blob(b"shared"), layout) == 0
    layout.path(blob(b"shared").digest).write_bytes(b"harmed")
    assert other.read(blob(b"shared"), 6) == b"shared"
    layout.add_bytes(blob(b"rotten"), b"rotten")
    layout.path(blob(b"rotten").digest).write_bytes(b"rotted")
    with pytest.raises(OutsideError, match="do not match"):
        other.adopt(blob(b"rotten"), layout)
    assert not other.has(blob(b"rotten"))
    assert not list((other.folder / "blobs/sha256").glob(".*"))


def test_where_links_do_not_work_it_copies(layout, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"content")

    def refused(*_args):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    assert layout.add_file(blob(b"content"), tmp_path / "file") == 7
    assert layout.read(blob(b"content"), 7) == b"content"


def test_a_write_that_fails_leaves_nothing(layout):
    def failing(out):
        out.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        layout.add(blob(b"half of it"), failing)
    assert list((layout.folder / "blobs/sha256").iterdir()) == []


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    folder = tmp_path / "layout"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, folder, name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(Layout.open(folder).tags()) == 45


@pytest.mark.parametrize("content", [b"short", b"longer than it", b"same siz!"])
def test_damaged_blobs_are_not_handed_out(layout, content):
    layout.add_bytes(blob(b"same size"), b"same size")
    layout.path(blob(b"same size").digest).write_bytes(content)
    with pytest.raises(OutsideError):
        layout.read(blob(b"same size"), 100)


def test_missing_and_huge_blobs(layout):
    with pytest.raises(OutsideError, match="is missing"):
        layout.read(blob(b"x"), 10)
    with pytest.raises(OutsideError, match="more than the 10 expected"):
        layout.read(oci.Descriptor("t", digest.of_bytes(b"x"), 11), 10)
    with pytest.raises(OutsideError, match="holds no 'v'; it holds no tags"):
        layout.resolve("v")


def damage(folder: Path, name: str, text: str | None) -> None:
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("oci-layout", None, InputError),
        ("oci-layout", "nonsense", InputError),
        ("oci-layout", "[]", InputError),
        ("oci-layout", '{"imageLayoutVersion": "2.0.0"}', InputError),
        ("index.json", None, OutsideError),
        ("index.json", "{", OutsideError),
        ("index.json", '{"manifests": 7}', OutsideError),
        ("index.json", '{"manifests": [7]}', OutsideError),
        ("index.json", '{"manifests": [{"mediaType": "t", "digest": "sha256:../x", "size": 1}]}', OutsideError),
    ],
)
def test_damaged_layouts_are_refused(layout, name, text, kind):
    layout.publish(a_manifest(), "v")
    damage(layout.folder, name, text)
    with pytest.raises(kind):
        Layout.open(layout.folder).resolve("v")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(InputError, match="no OCI layout"):
        Layout.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_index_says_what_the_specification_asks_for(layout):
    layout.publish(a_manifest(), "v")
    index = json.loads((layout.folder / "index.json").read_text())
    assert index["schemaVersion"] == 2
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "v"}
    assert json.loads((layout.folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
