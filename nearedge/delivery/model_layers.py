"""The layers that carry a model: its IR in the layout that was asked for, golden samples, identity."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nearedge.delivery import chunked, weights
from nearedge.delivery.layers import Compression, Entry, Layer, write_layer
from nearedge.errors import InputError
from nearedge.files import sha256_file

Flavour = Literal["serving", "modelcar"]
"""`serving`: on a runtime base, which serves the model. `modelcar`: the model alone, for KServe to mount."""
ModelLayout = Literal["single", "sharded", "layered"]
"""`single`: model.bin as it is. `sharded`: its pieces in one zstd:chunked layer, of which engines with partial pulls
take the changed ones. `layered`: its pieces in several layers, for engines without."""
MODEL_LAYER = "model"
"""What a record calls the layer with model.xml, and with model.bin or the index of its pieces."""
WEIGHTS_LAYER = "weights"
"""How a record begins the names of the layers that carry the pieces of a layered model; a number follows."""
MOST_GROUPS, LEAST_GROUP_BYTES = 24, 1 << 20


@dataclass(frozen=True)
class ModelFiles:
    """What goes on top of the base; the sha256 are those that the Tasks before recorded."""

    name: str
    version: str
    xml: Path
    xml_sha256: str
    bin: Path
    bin_sha256: str
    golden: Path | None
    golden_sha256: str
    identity: str

    @property
    def folder(self) -> str:
        """Where the model lies in the image; OVMS and KServe read the same layout."""
        return f"models/{self.name}/{self.version}"


def model_layers(
    files: ModelFiles, scratch: Path, compression: Compression = "fast", layout: ModelLayout = "single"
) -> list[Layer]:
    """The model's layers, lowest first: model, weights where they are layered, golden samples if any, identity.

    `scratch` needs room for the layers, and once more for the pieces of the weights. Raises InputError where a file is
    not the one that was proven.
    """
    folder = files.folder
    if layout == "single":
        layers = [single(files, scratch, compression)]
    else:
        layers = in_pieces(files, scratch, compression, layout)
    if files.golden is not None:
        golden = [Entry(f"{folder}/golden.npz", files.golden, sha256=files.golden_sha256)]
        layers.append(write_layer(golden, scratch / "golden", "golden samples", compression))
    return [*layers, identity_layer(files, scratch, compression)]


def modelcar_layers(files: ModelFiles, scratch: Path, compression: Compression = "fast") -> list[Layer]:
    """The layers of an image with the model alone: model, identity.

    KServe mounts /models whole and OpenVINO Model Server looks there for folders that are versions: a link names ours.
    """
    link = [Entry(f"models/{files.version}", link=f"{files.name}/{files.version}")]
    more = link if files.name != files.version else []
    return [single(files, scratch, compression), identity_layer(files, scratch, compression, more)]


def identity_layer(files: ModelFiles, scratch: Path, compression: Compression, more: Iterable[Entry] = ()) -> Layer:
    """The layer with release.json and `more`."""
    identity = [Entry(f"{files.folder}/release.json", files.identity.encode()), *more]
    return write_layer(identity, scratch / "identity", "release identity", compression)


def single(files: ModelFiles, scratch: Path, compression: Compression) -> Layer:
    """One layer with model.xml and model.bin."""
    model = [
        Entry(f"{files.folder}/model.xml", files.xml, sha256=files.xml_sha256),
        Entry(f"{files.folder}/model.bin", files.bin, sha256=files.bin_sha256),
    ]
    return write_layer(model, scratch / "model", MODEL_LAYER, compression)


def in_pieces(files: ModelFiles, scratch: Path, compression: Compression, layout: ModelLayout) -> list[Layer]:
    """model.xml and model.shards/, in one layer or in several."""
    folder, pieces = f"{files.folder}/{weights.FOLDER}", scratch / weights.FOLDER
    shards, sha256 = weights.split(files.xml, files.bin, pieces)
    if sha256 != files.bin_sha256:
        raise InputError(
            f"{files.bin}: is not the file that was proven (its sha256 differs); run the Tasks before again"
        )

    def entries(some: Iterable[weights.Shard]) -> dict[str, Entry]:
        """By name in the image, so that equal pieces come once."""
        return {f"{folder}/{s.file}": Entry(f"{folder}/{s.file}", pieces / s.file, sha256=s.sha256) for s in some}

    head = [
        Entry(f"{files.folder}/model.xml", files.xml, sha256=files.xml_sha256),
        Entry(f"{folder}/{weights.INDEX}", pieces / weights.INDEX, sha256=sha256_file(pieces / weights.INDEX)),
    ]
    if layout == "sharded":
        return [chunked.write_layer([*head, *entries(shards).values()], scratch / "model", MODEL_LAYER)]
    layers = [write_layer(head, scratch / "model", MODEL_LAYER, compression)]
    seen: set[str] = set()
    for number, group in enumerate(weights.groups(shards, MOST_GROUPS, LEAST_GROUP_BYTES), 1):
        found = {name: entry for name, entry in entries(group).items() if name not in seen}
        seen.update(found)
        if found:
            path = scratch / f"{WEIGHTS_LAYER}-{number}"
            layers.append(write_layer(found.values(), path, f"{WEIGHTS_LAYER} {number}", compression))
    return layers
