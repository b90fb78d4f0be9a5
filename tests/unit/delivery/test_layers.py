import gzip
import hashlib
import json
import subprocess
import sys
import tarfile

import pytest

from nearedge.delivery.layers import Entry, write_layer
from nearedge.errors import InputError
from tests.layer_entries import odd_ones, peak, pinned

PROGRAM = """
import json, sys
from pathlib import Path
from nearedge.delivery.layers import Entry, write_layer
folder = Path(sys.argv[1])
layer = write_layer([Entry("b/two", folder / "two"), Entry("a/one", folder / "one")], folder / sys.argv[2], "t")
print(json.dumps([layer.descriptor.digest, layer.diff_id]))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one").write_bytes(b"1" * 5000)
    (tmp_path / "two").write_bytes(hashlib.sha512(b"2").digest() * 40_000)
    return tmp_path


def entries(folder):
    return [Entry("a/one", folder / "one"), Entry("b/two", folder / "two")]


def test_the_tar_is_what_was_asked_for(folder):
    long = "deep/" * 30 + "name"
    given = [*entries(folder), *odd_ones("one", long)]
    layer = write_layer(given, folder / "layer", "title")
    content = gzip.decompress((folder / "layer").read_bytes())
    assert layer.diff_id == "sha256:" + hashlib.sha256(content).hexdigest()
    assert layer.descriptor.digest == "sha256:" + hashlib.sha256((folder / "layer").read_bytes()).hexdigest()
    assert layer.descriptor.size == (folder / "layer").stat().st_size
    assert len(content) % 10240 == 0
    with tarfile.open(folder / "layer") as archive:
        found = {entry.name: entry for entry in archive}
        assert archive.extractfile("b/two").read() == (folder / "two").read_bytes()
        assert archive.extractfile(long).read() == b"x"
    names = list(found)
    assert names == sorted(names, key=lambda name: name.split("/"))
    assert all(names.index(name.rpartition("/")[0]) < names.index(name) for name in names if "/" in name)
    assert {entry.mtime for entry in found.values()} == {0}
    assert {(entry.uname, entry.gname) for entry in found.values()} == {("", "")}
    text, tmp, link = found["c/text"], found["tmp"], found["bin/sh"]
    assert (text.mode, text.uid, text.gid) == (0o600, 1001, 7)
    assert (tmp.isdir(), tmp.mode, link.issym(), link.linkname) == (True, 0o1777, True, "../a/one")
    assert (found["c"].mode, found["c"].uid) == (0o755, 0)


@pytest.mark.parametrize("compression", ["fast", "small", "zstd"])
def test_same_bytes_whatever_the_order_and_the_files_dates(folder, compression):
    first = write_layer(entries(folder), folder / "first", "t", compression)
    (folder / "one").chmod(0o600)
    (folder / "one").touch()
    second = write_layer(reversed(entries(folder)), folder / "second", "t", compression)
    assert (folder / "first").read_bytes() == (folder / "second").read_bytes()
    assert first.descriptor == second.descriptor


def test_same_bytes_from_two_processes(folder):
    here = write_layer(entries(folder), folder / "here", "t")
    there = [
        json.loads(
            subprocess.run([sys.executable, "-c", PROGRAM, folder, name], check=True, capture_output=True).stdout
        )
        for name in ("p", "q")
    ]
    assert there == [[here.descriptor.digest, here.diff_id]] * 2


@pytest.mark.parametrize(
    ("compression", "expected"),
    [
        ("fast", "ac18d22bb8691fd3914935b35e5689c2fb70848743d3082886381d818e945a68"),
        ("zstd", "731bef9e226f466f00293f6f89cacb0ed408d7ff74478f442a81816f3459e084"),
    ],
)
def test_the_compressors_bytes_are_pinned(tmp_path, compression, expected):
    """A new version of the compressor that writes other bytes changes every digest: that must not go unnoticed."""
    layer = write_layer([Entry("data", pinned())], tmp_path / "layer", "t", compression)
    assert layer.descriptor.digest == f"sha256:{expected}"


def test_memory_does_not_grow_with_the_file(tmp_path):
    assert peak(write_layer, tmp_path, 200) < 12 << 20


def test_a_file_that_is_not_the_proven_one_is_refused(folder):
    right = hashlib.sha256((folder / "one").read_bytes()).hexdigest()
    write_layer([Entry("x", folder / "one", sha256=right)], folder / "layer", "t")
    with pytest.raises(InputError, match="not the file that was proven"):
        write_layer([Entry("x", folder / "two", sha256=right)], folder / "layer", "t")


def test_a_file_that_changes_meanwhile_is_refused(folder, monkeypatch):
    from nearedge.delivery import layers

    def growing(file):
        with (folder / "one").open("ab") as more:
            more.write(b"more")
        return iter(lambda: file.read(1 << 20), b"")

    monkeypatch.setattr(layers, "chunks", growing)
    with pytest.raises(InputError, match="changed while it was read"):
        write_layer([Entry("x", folder / "one")], folder / "layer", "t")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "a"], "twice"),
        (["a", "/a"], "twice"),
        (["../a"], "no name"),
        (["a/../../b"], "no name"),
        (["/"], "no name"),
    ],
)
def test_names_that_cannot_be(folder, names, said):
    with pytest.raises(InputError, match=said):
        write_layer([Entry(name, b"") for name in names], folder / "layer", "t")


def test_only_regular_files(folder):
    with pytest.raises((InputError, IsADirectoryError)):
        write_layer([Entry("x", folder)], folder / "layer", "t")
    with pytest.raises(InputError, match="no regular file"):
        write_layer([Entry("x", type(folder)("/dev/null"))], folder / "layer", "t")
