"""Split an IR's model.bin along its tensors, and put it together again.

The pieces cover the file without gap or overlap, whatever model.xml says: its tensors only say where to cut, so that
padding between them stays with the tensor before it. A large tensor is cut into chunks, small neighbours are gathered.
A file is named by what it holds: a tensor that did not change keeps name and bytes, and equal ones are one file.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.parsers import expat

from nearedge.errors import InputError
from nearedge.files import CHUNK

FOLDER, INDEX = "model.shards", "index.json"
SCHEMA = 1
SMALL_BYTES = 16 << 10
"""Neighbours below that are gathered, up to that size together: biases and scalars. What is gathered is pulled together
(ADR 0025: at 256 KiB that made an upgrade a third larger)."""
CHUNK_BYTES = 4 << 20
"""Larger tensors are cut into chunks of that size."""
INDEX_LIMIT = 16 << 20
MOST_SHARDS = 1 << 17
NAME = re.compile(r"[0-9a-f]{32}\.bin", re.ASCII)
NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """Bytes `offset` to `offset + size` of model.bin lie in `file`; `sha256` of them, empty where it was not said."""

    file: str
    offset: int
    size: int
    sha256: str = ""


def split(xml: Path, weights: Path, into: Path) -> tuple[list[Shard], str]:
    """Write the pieces of `weights` and their index.json to the new folder `into`; the pieces in order, sha256 of all.

    Memory stays constant. Raises InputError where model.xml is no XML, names weights that are not there, or where
    model.bin changes meanwhile.
    """
    size = weights.stat().st_size
    into.mkdir()
    shards, whole = [], hashlib.sha256()
    with weights.open("rb") as file:
        for start, end in pieces(tensor_starts(xml, size), size):
            piece = file.read(end - start)
            if len(piece) != end - start:
                raise InputError(f"{weights}: changed while it was read; let nothing write to it and run this again")
            whole.update(piece)
            sha256 = hashlib.sha256(piece).hexdigest()
            shard = Shard(f"{sha256[:32]}.bin", start, end - start, sha256)
            (into / shard.file).write_bytes(piece)
            shards.append(shard)
    (into / INDEX).write_bytes(index(shards, size, whole.hexdigest()))
    return shards, whole.hexdigest()


def index(shards: Sequence[Shard], size: int, sha256: str) -> bytes:
    """index.json: one shard a line, so that two of them can be compared."""
    lines = ",\n".join(
        json.dumps({"file": shard.file, "offset": shard.offset, "size": shard.size}, sort_keys=True) for shard in shards
    )
    head = f'{{"schema": {SCHEMA},\n"size": {size},\n"sha256": "{sha256}",\n'
    return f'{head}"shards": [\n{lines}\n]}}\n'.encode()


def tensor_starts(xml: Path, size: int) -> list[int]:
    """Offsets in a model.bin of `size` bytes at which the Const layers of model.xml begin, in rising order.

    Raises InputError for what is no XML, declares entities, or names bytes that model.bin does not have.
    """
    starts = {0}
    constant = False

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal constant
        if name == "layer":  # a loop's body has layers of its own; `data` comes first in each
            constant = attributes.get("type") == "Const"
        elif name == "data" and constant:
            offset, length = attributes.get("offset", ""), attributes.get("size", "")
            fits = NUMBER.fullmatch(offset) and NUMBER.fullmatch(length) and int(offset) + int(length) <= size
            if not fits:
                raise InputError(f"{xml}: names weights that model.bin ({size} bytes) does not have; convert it again")
            starts.add(int(offset))

    def refuse(*_: object) -> None:
        raise InputError(f"{xml}: declares a document type, which no IR does; convert it again")

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.StartDoctypeDeclHandler = refuse
    try:
        with xml.open("rb") as file:
            parser.ParseFile(file)
    except expat.ExpatError as error:
        raise InputError(f"{xml}: is no XML ({error}); convert it again") from error
    return sorted(starts - {size})


def pieces(starts: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """Start and end of each piece, in order, from 0 to `size`; `starts` rise from 0 and stay below `size`."""
    gathered = 0  # where the small ones begin that are not given out yet
    for start, end in pairwise([*starts, size]):
        if end - gathered <= SMALL_BYTES:
            continue
        if start > gathered:
            yield gathered, start
            gathered = start
        if end - start > SMALL_BYTES:
            for at in range(start, end, CHUNK_BYTES):
                yield at, min(at + CHUNK_BYTES, end)
            gathered = end
    if gathered < size:
        yield gathered, size


def groups(shards: Sequence[Shard], most: int, least_bytes: int) -> list[list[Shard]]:
    """At most `most` runs of neighbours, of `least_bytes` or more but for the last.

    Their size is rounded up to a quarter of a power of two: a model that grows or shrinks a little is cut at the same
    places. A run's bytes depend on its own tensors, unless another run before it holds an equal one.
    """
    size = sum(shard.size for shard in shards)
    step = max(least_bytes, 4)
    while step * most < size:
        step += 1 << (step.bit_length() - 3)
    found: list[list[Shard]] = []
    for shard in shards:
        if not found or shard.offset // step != found[-1][0].offset // step:
            found.append([])
        found[-1].append(shard)
    return found


def join(folder: Path, path: Path, max_bytes: int) -> None:
    """Put model.bin together from the shards in `folder` at `path`. Raises InputError for what is not whole."""
    size, shards = read_index(folder)
    if size > max_bytes:
        raise InputError(f"{FOLDER}: its weights take {size} bytes, more than {max_bytes} (max-bytes)")
    with path.open("wb") as out:
        for shard in shards:
            source = folder / shard.file
            if source.is_symlink() or not source.is_file() or source.stat().st_size != shard.size:
                raise InputError(f"{FOLDER}/{shard.file}: is missing, or not {shard.size} bytes long")
            with source.open("rb") as file:
                shutil.copyfileobj(file, out, CHUNK)


def read_index(folder: Path) -> tuple[int, list[Shard]]:
    """Size of model.bin and its shards in order. Raises InputError where they do not cover it exactly."""
    path = folder / INDEX
    try:
        if path.stat().st_size > INDEX_LIMIT:
            raise InputError(f"{FOLDER}/{INDEX}: is larger than {INDEX_LIMIT} bytes")
        document = json.loads(path.read_bytes())
        schema, size = document["schema"], document["size"]
        shards = [Shard(one["file"], one["offset"], one["size"]) for one in document["shards"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{FOLDER}/{INDEX}: is missing or damaged") from error
    if schema != SCHEMA:
        raise InputError(f"{FOLDER}/{INDEX}: is of schema {str(schema)[:20]!r}; nearedge reads {SCHEMA}")
    at = 0
    for shard in shards[: MOST_SHARDS + 1]:
        if not sound(shard) or shard.offset != at:
            raise InputError(f"{FOLDER}/{INDEX}: does not cover model.bin piece by piece")
        at += shard.size
    if at != size or len(shards) > MOST_SHARDS:
        raise InputError(f"{FOLDER}/{INDEX}: does not cover model.bin piece by piece")
    return at, shards


def sound(shard: Shard) -> bool:
    """Whether name and numbers are of the kinds that they should be."""
    named = isinstance(shard.file, str) and NAME.fullmatch(shard.file) is not None
    return named and type(shard.offset) is int and type(shard.size) is int and shard.size > 0
