import base64
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from functools import partial
from pathlib import PurePosixPath

import pytest
import zstandard

from nearedge.delivery.chunked import form, write_layer
from nearedge.delivery.chunked.writer import CHUNK_SIZE
from nearedge.delivery.layers import Entry
from nearedge.delivery.layers import write_layer as write_plain
from nearedge.errors import InputError
from tests.layer_entries import odd_ones, peak, pinned

LONG = "deep/" * 30 + "näme"


@pytest.fixture
def given(tmp_path):
    (tmp_path / "large").write_bytes(hashlib.sha512(b"2").digest() * 20_000)
    return [
        Entry("a/large", tmp_path / "large"),
        Entry("a/exact", bytes(range(256)) * (2 * CHUNK_SIZE // 256)),
        Entry("empty", b""),
        *odd_ones("large", LONG),
    ]


@pytest.fixture
def layer(given, tmp_path):
    return write_layer(given, tmp_path / "layer", "title")


def part(layer, key):
    start, size, content = map(int, layer.descriptor.annotations[key].split(":")[:3])
    compressed = layer.path.read_bytes()[start : start + size]
    text = zstandard.decompress(compressed)
    assert len(text) == content
    return compressed, text


def test_the_tar_is_the_plain_layers(given, layer, tmp_path):
    plain = write_plain(given, tmp_path / "plain", "title", "zstd")
    with layer.path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as it:
        tar = it.read()
    assert layer.diff_id == plain.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert layer.descriptor.digest == f"sha256:{hashlib.sha256(layer.path.read_bytes()).hexdigest()}"
    assert layer.descriptor.size == layer.path.stat().st_size
    assert layer.descriptor.media_type == plain.descriptor.media_type


def test_each_chunk_is_found_where_the_table_says(layer, given):
    compressed, text = part(layer, form.POSITION)
    assert layer.descriptor.annotations[form.CHECKSUM] == f"sha256:{hashlib.sha256(compressed).hexdigest()}"
    blob, entries = layer.path.read_bytes(), json.loads(text)["entries"]
    found = {}
    for number, entry in enumerate(entries):
        if entry["type"] in ("reg", "chunk") and "offset" in entry:
            following = entries[number + 1] if number + 1 < len(entries) else {}
            end = following["offset"] if following.get("type") == "chunk" else entry["endOffset"]
            data = zstandard.decompress(blob[entry["offset"] : end])
            assert len(data) == entry.get("chunkSize", entry.get("size")) <= CHUNK_SIZE
            assert len(found.get(entry["name"], b"")) == entry.get("chunkOffset", 0)
            if "chunkDigest" in entry:
                assert entry["chunkDigest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
            found[entry["name"]] = found.get(entry["name"], b"") + data
    wanted = {
        entry.name.lstrip("/"): entry.source if isinstance(entry.source, bytes) else entry.source.read_bytes()
        for entry in given
        if entry.source
    }
    assert found == wanted
    whole = {entry["name"]: entry for entry in entries if entry["type"] != "chunk"}
    for name, content in wanted.items():
        assert whole[name]["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    text = whole["c/text"]
    assert (text["mode"], text["uid"], text["gid"], text["size"]) == (0o600, 1001, 7, 5)
    assert (whole["bin/sh"]["type"], whole["bin/sh"]["linkName"]) == ("symlink", "../a/large")
    assert (whole["tmp/"]["type"], whole["tmp/"]["mode"]) == ("dir", 0o1777)
    assert "digest" not in whole["empty"]


def crc64(data):
    """CRC-64 with ISO's polynomial, as Go's hash/crc64 has it, byte by byte."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xD800000000000000 if value & 1 else 0)
        table.append(value)
    found = (1 << 64) - 1
    for byte in data:
        found = table[found & 255 ^ byte] ^ found >> 8
    return (found ^ (1 << 64) - 1).to_bytes(8, "big")


def test_tar_split_and_files_give_the_tar_back(layer, given):
    compressed, text = part(layer, form.SPLIT_POSITION)
    named = f"sha256:{hashlib.sha256(compressed).hexdigest()}"
    assert json.loads(part(layer, form.POSITION)[1])["tarSplitDigest"] == named
    assert layer.descriptor.annotations[form.SPLIT_CHECKSUM] == named
    contents = {str(PurePosixPath(entry.name.lstrip("/"))): entry.source for entry in given}
    tar, names, padding = b"", [], 0
    lines = [json.loads(line) for line in text.splitlines()]
    for place, line in enumerate(lines):
        assert line["position"] == place
        if line["type"] == 2:
            payload = base64.b64decode(line["payload"])
            tar += payload
            if any(payload[padding:][:512]):  # what engines read: one header a segment, after the padding before it
                with tarfile.open(fileobj=io.BytesIO(payload[padding:] + bytes(1024))) as archive:
                    member = archive.next()
                names.append(member.name)
                padding = -member.size % 512
        else:
            assert line["name"].rstrip("/") == names[-1].rstrip("/")
            source = contents.get(line["name"]) or b""
            content = source if isinstance(source, bytes) else source.read_bytes()
            assert line.get("size", 0) == len(content)
            assert line["payload"] == (base64.b64encode(crc64(content)).decode() if content else None)
            tar += content
    assert f"sha256:{hashlib.sha256(tar).hexdigest()}" == layer.diff_id
    assert names == [
        entry["name"].rstrip("/")
        for entry in json.loads(part(layer, form.POSITION)[1])["entries"]
        if entry["type"] != "chunk"
    ]


def test_the_program_tar_split_gives_the_tar_back(layer, tmp_path):
    if shutil.which("tar-split") is None:
        pytest.skip("tar-split is not installed (apt-get install tar-split)")
    with layer.path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as it:
        (tmp_path / "tar").write_bytes(it.read())
    with tarfile.open(tmp_path / "tar") as archive:
        archive.extractall(tmp_path / "files", filter="data")
    _, ours = part(layer, form.SPLIT_POSITION)
    (tmp_path / "ours.gz").write_bytes(gzip.compress(ours))
    run = partial(subprocess.run, check=True, capture_output=True, cwd=tmp_path)
    run(["tar-split", "asm", "--input", "ours.gz", "--output", "again", "--path", "files"])
    assert (tmp_path / "again").read_bytes() == (tmp_path / "tar").read_bytes()
    run(["tar-split", "disasm", "--no-stdout", "--output", "theirs.gz", "tar"])
    theirs = gzip.decompress((tmp_path / "theirs.gz").read_bytes()).splitlines()
    headers = ours.splitlines()[:-1]  # the zeros at the end are one segment here, several there
    assert [json.loads(line) for line in headers] == [json.loads(line) for line in theirs[: len(headers)]]


def test_the_footer_repeats_the_positions(layer):
    said = form.FOOTER.unpack(layer.path.read_bytes()[-form.FOOTER.size :])
    numbers = ":".join(map(str, said[:4]))
    start, size, content, kind = layer.descriptor.annotations[form.POSITION].split(":")
    assert numbers == ":".join((start, size, content, kind))
    assert ":".join(map(str, said[4:7])) == layer.descriptor.annotations[form.SPLIT_POSITION]
    assert said[7] == form.FOOTER_MAGIC


def test_same_entries_same_bytes(given, layer, tmp_path):
    again = write_layer(reversed(given), tmp_path / "again", "title")
    assert again.path.read_bytes() == layer.path.read_bytes()
    assert again.descriptor == layer.descriptor


def test_the_bytes_are_pinned(tmp_path):
    """A new version of the compressor that writes other bytes changes every digest: that must not go unnoticed."""
    layer = write_layer([Entry("data", pinned())], tmp_path / "layer", "t")
    assert layer.descriptor.digest == "sha256:ae5e749678c18f9d75019538fbb6aa6a36bce190c09b5040015762e30c3880a8"


def test_memory_does_not_grow_with_the_file(tmp_path):
    assert peak(write_layer, tmp_path, 64) < 8 << 20


def test_files_that_are_not_the_proven_ones_are_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"text")
    with pytest.raises(InputError, match="not the file that was proven"):
        write_layer([Entry("x", tmp_path / "file", sha256="0" * 64)], tmp_path / "layer", "t")
    with pytest.raises(InputError, match="twice"):
        write_layer([Entry("x", b""), Entry("/x", b"")], tmp_path / "layer", "t")
