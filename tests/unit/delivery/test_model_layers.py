"""The layouts of a model in an image: the same bytes each time, and what an upgrade of 5 % of the tensors moves."""

import itertools
import random
import tarfile
from pathlib import Path

import pytest
import zstandard

from nearedge.delivery import chunked, weights
from nearedge.delivery.layout import Layout
from nearedge.delivery.model_layers import ModelFiles, model_layers
from nearedge.errors import InputError
from nearedge.files import sha256_file

TENSORS, TENSOR_BYTES = 40, 256 * 1024 + 64
ALIKE = [TENSOR_BYTES] * TENSORS
AS_IN_NETS = [int(4_000 * 500 ** random.Random(at).random()) for at in range(100)]
"""4 kB to 2 MB, spread evenly over their logarithm."""


def write_model(folder: Path, changed: set[int] = frozenset(), sizes: list[int] = ALIKE) -> ModelFiles:
    """A model of tensors of random bytes, 10 MB where nothing else is said; those in `changed` have other values."""
    folder.mkdir()
    starts = [0, *itertools.accumulate(sizes)]
    layers = "".join(
        f'<layer type="Const"><data offset="{start}" size="{size}"/></layer>'
        for start, size in zip(starts, sizes, strict=False)
    )
    xml, whole = folder / "model.xml", folder / "model.bin"
    xml.write_text(f"<net>{layers}</net>")
    whole.write_bytes(
        b"".join(random.Random(at + 1000 * (at in changed)).randbytes(size) for at, size in enumerate(sizes))
    )
    return ModelFiles("m", "1", xml, sha256_file(xml), whole, sha256_file(whole), None, "", "{}\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A function that makes the layers of the model with some tensors changed."""

    def make(layout, changed=frozenset(), sizes=ALIKE):
        folder = tmp_path_factory.mktemp("made")
        (folder / "scratch").mkdir()
        return model_layers(write_model(folder / "model", changed, sizes), folder / "scratch", "fast", layout)

    return make


def unpacked(layers, folder: Path) -> Path:
    folder.mkdir()
    for layer in layers:
        path = layer.path
        if layer.descriptor.media_type.endswith("zstd"):
            path = folder.parent / "plain.tar"
            with layer.path.open("rb") as source, path.open("wb") as out:
                reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
                out.writelines(iter(lambda reader=reader: reader.read(1 << 20), b""))
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
    return folder / "models" / "m" / "1"


@pytest.mark.parametrize("layout", ["sharded", "layered"])
def test_the_model_comes_out_byte_for_byte(made, tmp_path, layout):
    layers = made(layout)
    folder = unpacked(layers, tmp_path / "image")
    weights.join(folder / weights.FOLDER, tmp_path / "model.bin", 1 << 30)
    expected = write_model(tmp_path / "model")
    assert sha256_file(tmp_path / "model.bin") == expected.bin_sha256
    assert sha256_file(folder / "model.xml") == expected.xml_sha256
    assert sorted(path.name for path in folder.iterdir()) == ["model.shards", "model.xml", "release.json"]
    titles = [layer.title for layer in layers]
    between = [f"weights {number}" for number in range(1, len(layers) - 1)]
    assert titles == ["model", *between, "release identity"]
    assert len(layers) == 2 if layout == "sharded" else 10 <= len(layers) <= 26


@pytest.mark.parametrize("layout", ["single", "sharded", "layered"])
def test_the_same_model_gives_the_same_digests(made, layout):
    assert [layer.descriptor for layer in made(layout)] == [layer.descriptor for layer in made(layout)]


def test_what_an_upgrade_of_a_twentieth_of_the_tensors_moves(made, tmp_path):
    """Blobs of the layouts that engines pull whole; of `sharded` the ranges that an engine with partial pulls wants."""
    store, changed, moved = Layout.create(tmp_path / "store"), {11, 12}, {}
    for layout in ("single", "layered", "sharded"):
        old, new = made(layout), made(layout, changed)
        had = {layer.descriptor.digest for layer in old}
        moved[layout] = sum(layer.descriptor.size for layer in new if layer.descriptor.digest not in had)
    for layer in (old[0], new[0]):
        store.add_file(layer.descriptor, layer.path)
    before, after = (chunked.read_contents(store, layers[0].descriptor) for layers in (old, new))
    moved["sharded"] = chunked.needed(after, [before])
    least = len(changed) * TENSOR_BYTES
    assert least < moved["sharded"] <= 1.1 * least
    assert least < moved["layered"] < 5 * least
    assert moved["single"] > 0.99 * TENSORS * TENSOR_BYTES


@pytest.mark.parametrize("seed", range(4))
def test_scattered_tensors_of_all_sizes_cost_little_more_than_their_own_bytes(made, tmp_path, seed):
    """Changed tensors lie among small ones that did not change; a tenth more than their bytes may be pulled."""
    source, changed = random.Random(seed), set()
    while sum(AS_IN_NETS[at] for at in changed) < 0.05 * sum(AS_IN_NETS):
        changed.add(source.randrange(len(AS_IN_NETS)))
    store = Layout.create(tmp_path / "store")
    layers = [made("sharded", some, AS_IN_NETS)[0] for some in (set(), changed)]
    for layer in layers:
        store.add_file(layer.descriptor, layer.path)
    before, after = (chunked.read_contents(store, layer.descriptor) for layer in layers)
    assert chunked.needed(after, [before]) <= 1.1 * sum(AS_IN_NETS[at] for at in changed)


@pytest.mark.parametrize("layout", ["single", "sharded", "layered"])
def test_other_weights_than_the_proven_ones_are_refused(tmp_path, layout):
    files = write_model(tmp_path / "model")
    with files.bin.open("r+b") as file:
        file.write(b"other")
    (tmp_path / "scratch").mkdir()
    with pytest.raises(InputError, match="is not the file that was proven"):
        model_layers(files, tmp_path / "scratch", "fast", layout)


def test_equal_tensors_are_one_file_in_one_layer(tmp_path):
    files = write_model(tmp_path / "model")
    one = files.bin.read_bytes()[:TENSOR_BYTES]
    files.bin.write_bytes(one * TENSORS)
    files = ModelFiles("m", "1", files.xml, files.xml_sha256, files.bin, sha256_file(files.bin), None, "", "{}")
    (tmp_path / "scratch").mkdir()
    layers = model_layers(files, tmp_path / "scratch", "fast", "layered")
    assert [layer.title for layer in layers] == ["model", "weights 1", "release identity"]
    folder = unpacked(layers, tmp_path / "image")
    weights.join(folder / weights.FOLDER, tmp_path / "model.bin", 1 << 30)
    assert (tmp_path / "model.bin").read_bytes() == one * TENSORS
