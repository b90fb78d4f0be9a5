"""The weights of a model whose image carries them in pieces: model.shards/ beside model.xml.

Each piece is read straight to its place in memory that OpenVINO owns, so that the disk never holds a second copy and
the memory goes when OpenVINO lets go of it. The digest is taken on the way: the bytes that are checked are those that
are used.
"""

import hashlib
from pathlib import Path
from typing import Any

import orjson

from serving_image.faults import LoadError

FOLDER, INDEX = "model.shards", "index.json"
SCHEMA = 1
READ = 1 << 20
NAME_CHARACTERS = frozenset("0123456789abcdefghijklmnopqrstuvwxyz-_.")

Piece = tuple[str, int, int]
"""File, offset in model.bin, size."""


def assemble(folder: Path, expected: str) -> Any:  # openvino's classes carry no types
    """The weights in `folder` as an OpenVINO tensor of bytes; `expected` is the record's sha256, "" for the index's.

    Raises LoadError where a piece is missing, has another size, or the whole is not what it should be.
    """
    import openvino as ov

    size, sha256, pieces = read_index(folder / INDEX)
    check_sizes(folder, pieces)  # before the memory is asked for
    tensor = ov.Tensor(ov.Type.u8, ov.Shape([size]))
    digest = hashlib.sha256()
    view = memoryview(tensor.data)
    for name, offset, length in pieces:
        fill(folder / name, view[offset : offset + length], digest)
    found, source = digest.hexdigest(), "release.json" if expected else INDEX
    if found != (expected or sha256):
        said = f"their sha256 is {found}, {source} says {expected or sha256}"
        raise LoadError("damaged", f"the weights in {FOLDER} are damaged: {said}")
    return tensor


def read_index(path: Path) -> tuple[int, str, list[Piece]]:
    """Size and sha256 of model.bin, and its pieces in order. Raises LoadError where they do not cover it exactly."""
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise LoadError("missing", f"{FOLDER}/{INDEX} is missing") from None
    except OSError as error:
        raise LoadError("missing", f"{FOLDER}/{INDEX} cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError:
        raise LoadError("damaged", f"{FOLDER}/{INDEX} is damaged: it is not JSON") from None
    try:
        schema, size, sha256 = document["schema"], document["size"], document["sha256"]
        pieces = [(one["file"], one["offset"], one["size"]) for one in document["shards"]]
    except (KeyError, TypeError):
        raise LoadError("damaged", f"{FOLDER}/{INDEX} is damaged: a field is missing") from None
    if schema != SCHEMA:
        raise LoadError("damaged", f"{FOLDER}/{INDEX} is of schema {str(schema)[:20]}; this server reads {SCHEMA}")
    end = 0
    for name, offset, length in pieces:
        if not is_name(name) or type(length) is not int or length <= 0 or offset != end:
            raise LoadError("damaged", f"{FOLDER}/{INDEX} is damaged: no piece takes model.bin on from byte {end}")
        end += length
    if end != size:
        raise LoadError("damaged", f"{FOLDER}/{INDEX} is damaged: its pieces have {end} bytes, model.bin has {size}")
    return end, str(sha256), pieces


def is_name(name: object) -> bool:
    """Whether it is the plain name of a file, that leads nowhere else."""
    return isinstance(name, str) and 0 < len(name) <= 100 and name[0] != "." and NAME_CHARACTERS.issuperset(name)


def check_sizes(folder: Path, pieces: list[Piece]) -> None:
    """Raise LoadError for a piece that is not there or not as long as the index says."""
    for name, _, length in pieces:
        try:
            found = (folder / name).stat().st_size
        except OSError as error:
            raise LoadError("missing", f"{FOLDER}/{name} cannot be read: {error.strerror}") from None
        if found != length:
            raise LoadError("damaged", f"{FOLDER}/{name} is damaged: it has {found} bytes, {INDEX} says {length}")


def fill(path: Path, place: memoryview, digest: "hashlib._Hash") -> None:
    """Read a file to `place`. Raises LoadError where that fails or it ends too early."""
    at = 0
    try:
        with path.open("rb", buffering=0) as file:
            while at < len(place) and (count := file.readinto(place[at : at + READ])):
                digest.update(place[at : at + count])
                at += count
    except OSError as error:
        raise LoadError("missing", f"{FOLDER}/{path.name} cannot be read: {error.strerror}") from None
    if at < len(place):
        raise LoadError("damaged", f"{FOLDER}/{path.name} is damaged: it ends at byte {at} of {len(place)}")
