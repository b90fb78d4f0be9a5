"""The model of the release that git says is deployed, out of its image, to be timed again beside the new one.

Of the image only the model's layers are pulled, in whatever layout they hold it, and what comes out has to have the
hashes of the record in git. A comparison is worth no failed run: where the image is gone, that is one line in the log.
"""

import shutil
import tempfile
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import zstandard

from nearedge.delivery import oci, weights
from nearedge.delivery.access import Access
from nearedge.delivery.model_layers import MODEL_LAYER, WEIGHTS_LAYER
from nearedge.delivery.reference import parse
from nearedge.delivery.sources import archives
from nearedge.delivery.store import Store, open_store
from nearedge.errors import InputError, NearedgeError
from nearedge.files import CHUNK, inside, new_directory, sha256_file, write_text
from nearedge.progress import say
from nearedge.release import record
from nearedge.release.record import Record
from nearedge.release.sections import ImageSection

MOST_MEMBERS = weights.MOST_SHARDS + 64
"""Ours holds two files, or one and the pieces of the other, and the folders they lie in."""
LARGEST_WINDOW = 8 << 20
"""Bytes of zstd's window that every decoder should take (RFC 8878, 3.1.1.1.2); our layers need less."""


def bring(workspace: Path, access: Access, max_bytes: int) -> bool:
    """Put model.xml, model.bin and release.json of the deployed release into `previous/model`; whether they are there.

    Nothing is written where any of it fails; the log says why.
    """
    found = record.read_previous(workspace)
    if found is None:
        return False
    try:
        fetch(found, workspace, access, max_bytes)
    except (NearedgeError, OSError) as error:
        why = " ".join(str(error).split())
        say(f"warning: the deployed model cannot be had ({why}); a comparison with it takes its recorded figures")
        return False
    return True


def fetch(found: Record, workspace: Path, access: Access, max_bytes: int) -> None:
    """As `bring`. Raises InputError, OutsideError or UnsupportedError where the image is gone, damaged or another's."""
    image, identity = found.evidence.image, found.identity
    if image is None:
        raise InputError("its record names no image")
    reference = parse(f"{image.url}@{image.digest}", allow_layout=True)
    store = open_store(reference, workspace, access)
    layers = model_layers(image, store.resolve(image.digest), str(reference))
    size = sum(layer.size for layer in layers)
    if size > max_bytes:
        raise InputError(f"{reference}: its model takes {size} bytes, more than {max_bytes} (max-bytes)")
    with new_directory(workspace / record.PREVIOUS_MODEL) as into:
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=".layer-") as scratch:
            unpacked = gather(store, layers, f"models/{identity.name}/{identity.version}", Path(scratch), max_bytes)
            for name, sha256 in (("model.xml", identity.ir.xml_sha256), ("model.bin", identity.ir.bin_sha256)):
                path = unpacked / name
                if not path.is_file() or sha256_file(path) != sha256:
                    raise InputError(f"{reference}: holds no {name} with the sha256 that the record in git says")
                path.replace(into / name)
        write_text(into / record.IDENTITY_FILE, record.dump(identity))


def model_layers(image: ImageSection, manifest: oci.Manifest, where: str) -> list[oci.Descriptor]:
    """The layer that the record calls the model's, and those of its weights, which lie right above where it has any.

    Of several it is the topmost, since a base's titles are its maker's.
    """
    places = [at for at, layer in enumerate(image.layers) if layer.title == MODEL_LAYER]
    if not places:
        raise InputError(f"{where}: has no layer that its record calls the model")
    above = takewhile(lambda layer: layer.title.startswith(f"{WEIGHTS_LAYER} "), image.layers[places[-1] + 1 :])
    there = {layer.digest: layer for layer in manifest.layers}
    wanted = [image.layers[places[-1]], *above]
    if any(layer.digest not in there for layer in wanted):
        raise InputError(f"{where}: lacks a layer that its record calls the model's")
    return [there[layer.digest] for layer in wanted]


def gather(store: Store, layers: Sequence[oci.Descriptor], folder: str, scratch: Path, max_bytes: int) -> Path:
    """Unpack `layers`; the folder of that name in the image, of all of them, with model.bin put together.

    Raises what `unpack` raises, and InputError for pieces that are not whole.
    """
    into, left = scratch / "model", max_bytes
    shards = into / weights.FOLDER
    shards.mkdir(parents=True)
    for number, layer in enumerate(layers):
        place = scratch / str(number)
        place.mkdir()
        found = inside(unpack(store, layer, place, left), folder)
        for path in [*found.glob("*"), *found.glob(f"{weights.FOLDER}/*")]:
            if path.is_file():
                left -= path.stat().st_size
                path.replace(into / path.relative_to(found))
        shutil.rmtree(place)
    if (shards / weights.INDEX).exists():
        weights.join(shards, into / "model.bin", max_bytes)
    return into


def unpack(
    store: Store, layer: oci.Descriptor, scratch: Path, max_bytes: int, most_members: int = MOST_MEMBERS
) -> Path:
    """Stream the layer to `scratch`, verified against its digest, and unpack it there; the folder it is in then.

    Raises OutsideError where the store fails, InputError for a damaged or hostile tar.
    """
    blob = scratch / "layer"
    with blob.open("wb") as out:
        out.writelines(store.chunks(layer))
    if oci.OCI_LAYERS.get(layer.media_type) == oci.LAYER_ZSTD:
        blob = plain(blob, scratch / "layer.tar", max_bytes)
    unpacked = scratch / "files"
    unpacked.mkdir()
    archives.extract(blob, unpacked, archives.Limits(max_bytes, most_members))
    return unpacked


def plain(blob: Path, tar: Path, max_bytes: int) -> Path:
    """Decompress a zstd layer to the file `tar`, counting what comes out. Raises InputError."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    try:
        with decompressor.stream_reader(blob.open("rb"), read_across_frames=True) as source, tar.open("wb") as out:
            while chunk := source.read(CHUNK):
                out.write(chunk)
                if out.tell() > max_bytes + archives.MAX_HEADER:
                    raise InputError(f"the model's layer unpacks to more than {max_bytes} bytes (max-bytes)")
    except zstandard.ZstdError as error:
        raise InputError(f"the model's layer is no zstd stream: {error}") from error
    return tar
