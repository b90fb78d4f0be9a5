"""Splitting weights: every byte once, at places that the tensors give, named by what the pieces hold."""

import hashlib
import itertools
import json
import random
from pathlib import Path

import pytest

from nearedge.delivery import weights
from nearedge.delivery.weights import CHUNK_BYTES, SMALL_BYTES, Shard
from nearedge.errors import InputError


def write_xml(path: Path, tensors: list[tuple[int, int]]) -> Path:
    """An IR's model.xml with so many Const layers, each of an offset and a size."""
    layers = "".join(f'<layer type="Const"><data offset="{at}" size="{size}"/></layer>' for at, size in tensors)
    path.write_text(f"<net><layers>{layers}</layers></net>")
    return path


def joined(folder: Path, into: Path, most: int = 1 << 30) -> bytes:
    weights.join(folder, into, most)
    return into.read_bytes()


def random_tensors(source: random.Random) -> tuple[list[tuple[int, int]], int]:
    """Tensors of all sizes with padding between them, some named twice, some overlapping; the size of model.bin."""
    tensors, at = [], 0
    for _ in range(source.randrange(40)):
        size = source.choice([1, 64, 4096, SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1, source.randrange(1 << 20)])
        tensors += [(at, size)] * source.choice([1, 1, 1, 2])
        if source.random() < 0.1:
            tensors.append((at + size // 2, size - size // 2))
        at += size + source.choice([0, 0, 16, 63])
    source.shuffle(tensors)
    return tensors, at


@pytest.mark.parametrize("seed", range(12))
def test_the_pieces_are_the_file(tmp_path, seed):
    source = random.Random(seed)
    tensors, size = random_tensors(source)
    content = source.randbytes(size)
    (tmp_path / "model.bin").write_bytes(content)
    xml = write_xml(tmp_path / "model.xml", tensors)
    shards, sha256 = weights.split(xml, tmp_path / "model.bin", tmp_path / "shards")
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert joined(tmp_path / "shards", tmp_path / "again") == content
    assert [shard.offset for shard in shards] == [sum(one.size for one in shards[:n]) for n in range(len(shards))]
    starts = {at for at, _ in tensors} | {0}
    for shard in shards:
        assert shard.offset in starts
        assert shard.size <= CHUNK_BYTES
    small = [one.size + two.size for one, two in itertools.pairwise(shards)]
    assert all(size > SMALL_BYTES for size in small), "neighbours that fit together are together"
    grouped = weights.groups(shards, 7, 1 << 20)
    assert [shard for group in grouped for shard in group] == shards
    assert len(grouped) <= 7


def test_a_large_tensor_is_cut_into_chunks(tmp_path):
    size = 2 * CHUNK_BYTES + 5
    xml = write_xml(tmp_path / "model.xml", [(0, 100), (100, size)])
    found = list(weights.pieces(weights.tensor_starts(xml, 100 + size), 100 + size))
    ends = [0, 100, 100 + CHUNK_BYTES, 100 + 2 * CHUNK_BYTES, 100 + size]
    assert found == list(itertools.pairwise(ends))


def test_a_change_leaves_the_other_files_as_they_are(tmp_path):
    source = random.Random(5)
    tensors = [(at << 20, 1 << 20) for at in range(8)]
    content = bytearray(source.randbytes(8 << 20))
    content[5 << 20 : 6 << 20] = content[2 << 20 : 3 << 20]  # equal to another: one file
    xml, folders = write_xml(tmp_path / "model.xml", tensors), []
    for name in ("one", "two"):
        (tmp_path / "model.bin").write_bytes(content)
        weights.split(xml, tmp_path / "model.bin", tmp_path / name)
        folders.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
        content[(3 << 20) + 7] ^= 1
    one, two = folders
    assert len(one) == len(two) == 8
    assert {name for name in one if one[name] != two.get(name)} - {"index.json"} == one.keys() - two.keys()
    assert len(one.keys() - two.keys()) == 1


def test_tensors_in_the_body_of_a_loop_count(tmp_path):
    inner = '<layer type="Const"><data offset="8" size="8"/></layer>'
    xml = tmp_path / "model.xml"
    xml.write_text(
        f'<net><layers><layer type="Loop"><data offset="3"/><body><layers>{inner}</layers></body></layer>'
        '<layer type="Const"><data element_type="f32" offset="16" size="4"/></layer></layers></net>'
    )
    assert weights.tensor_starts(xml, 20) == [0, 8, 16]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no xml", "is no XML"),
        ("<net>", "is no XML"),
        ('<!DOCTYPE n [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><n>&b;</n>', "declares a document type"),
        ('<n><layer type="Const"><data offset="9" size="2"/></layer></n>', "does not have"),
        ('<n><layer type="Const"><data offset="-1" size="2"/></layer></n>', "does not have"),
        ('<n><layer type="Const"><data offset="1"/></layer></n>', "does not have"),
        ('<n><layer type="Const"><data offset="1e1" size="1"/></layer></n>', "does not have"),
        (f'<n><layer type="Const"><data offset="{"9" * 5000}" size="1"/></layer></n>', "does not have"),
    ],
)
def test_a_model_xml_that_is_none(tmp_path, text, words):
    (tmp_path / "model.xml").write_text(text)
    (tmp_path / "model.bin").write_bytes(bytes(10))
    with pytest.raises(InputError, match=words):
        weights.split(tmp_path / "model.xml", tmp_path / "model.bin", tmp_path / "shards")


def test_a_model_without_weights(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"")
    assert weights.split(write_xml(tmp_path / "m.xml", []), tmp_path / "model.bin", tmp_path / "shards")[0] == []
    assert joined(tmp_path / "shards", tmp_path / "again") == b""


@pytest.fixture
def shards(tmp_path):
    """A folder of three pieces."""
    (tmp_path / "model.bin").write_bytes(random.Random(1).randbytes(3 << 20))
    xml = write_xml(tmp_path / "model.xml", [(at << 20, 1 << 20) for at in range(3)])
    weights.split(xml, tmp_path / "model.bin", tmp_path / "shards")
    return tmp_path / "shards"


def edited(**changes):
    """A damage that sets fields of the index."""

    def edit(folder):
        path = folder / weights.INDEX
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def first(**changes):
    """A damage that sets fields of the index's first piece."""

    def edit(folder):
        listed = json.loads((folder / weights.INDEX).read_text())["shards"]
        edited(shards=[listed[0] | changes, *listed[1:]])(folder)

    return edit


def piece(folder: Path) -> Path:
    return folder / json.loads((folder / weights.INDEX).read_text())["shards"][1]["file"]


def linked(folder):
    piece(folder).unlink()
    piece(folder).symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: piece(folder).unlink(), "is missing, or not 1048576 bytes long"),
        (lambda folder: piece(folder).write_bytes(b"short"), "not 1048576 bytes long"),
        (linked, "is missing, or not"),
        (lambda folder: (folder / weights.INDEX).unlink(), "missing or damaged"),
        (lambda folder: (folder / weights.INDEX).write_text("{"), "missing or damaged"),
        (lambda folder: (folder / weights.INDEX).write_text("[" * 100_000), "missing or damaged"),
        (lambda folder: (folder / weights.INDEX).write_text("[]"), "missing or damaged"),
        (lambda folder: (folder / weights.INDEX).write_bytes(bytes(weights.INDEX_LIMIT + 1)), "larger than"),
        (edited(schema=2), "is of schema '2'"),
        (edited(size=5), "piece by piece"),
        (edited(shards=[]), "piece by piece"),
        (first(offset=1), "piece by piece"),
        (first(size=-1), "piece by piece"),
        (first(size=True), "piece by piece"),
        (first(file="../model.bin"), "piece by piece"),
        (first(file=7), "piece by piece"),
    ],
)
def test_damaged_pieces_are_one_line(shards, tmp_path, damage, words):
    damage(shards)
    with pytest.raises(InputError, match=words):
        weights.join(shards, tmp_path / "again", 1 << 30)


def test_more_than_max_bytes_is_not_joined(shards, tmp_path):
    with pytest.raises(InputError, match=r"take 3145728 bytes, more than 9 \(max-bytes\)"):
        weights.join(shards, tmp_path / "again", 9)
    assert not (tmp_path / "again").exists()


def test_groups_keep_their_places_when_a_model_grows_a_little():
    def group_ends(count):
        shards = [Shard("", at << 20, 1 << 20) for at in range(count)]
        return [group[-1].offset for group in weights.groups(shards, 24, 1 << 20)]

    assert group_ends(100)[:19] == group_ends(103)[:19]
    assert len(group_ends(100)) == 20
    assert len(group_ends(2000)) <= 24
    assert len(group_ends(2)) == 2
