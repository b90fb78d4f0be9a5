"""HDF5 and safetensors files, told by their first bytes and held against the size that these say; no library needed.

HDF5: the superblock says where the file ends (HDF5 File Format Specification 3.0, II.A). safetensors: eight bytes with
the length of a JSON header, which says where each tensor ends (https://github.com/huggingface/safetensors, Format).
"""

import json
import mmap
from pathlib import Path

from nearedge.errors import InputError
from nearedge.release.sections import Format

HDF5 = b"\x89HDF\r\n\x1a\n"
MODEL_CONFIG = b"model_config"
"""The attribute in which Keras keeps what the weights are of."""
END_OF_FILE = {0: 40, 1: 44, 2: 28, 3: 28}
"""Where the address of the file's end is, by the superblock's version, with addresses of eight bytes."""
SIZE_OF_ADDRESSES = {0: 13, 1: 13, 2: 9, 3: 9}
LARGEST_HEADER = 100_000_000
"""What the package safetensors reads as well."""
AGAIN = "fetch or save it again"


def hdf5(path: Path, head: bytes, size: int) -> Format:
    """A Keras model. Raises InputError where the file is cut short, or holds weights alone."""
    version = head[8] if len(head) > 8 else 0
    place = END_OF_FILE.get(version)
    if place is not None and (len(head) < place + 8 or head[SIZE_OF_ADDRESSES[version]] == 8):
        end = int.from_bytes(head[place : place + 8], "little")
        if len(head) < place + 8 or size < end:
            raise InputError(f"{path}: a truncated HDF5 file, {size} of {end} bytes; {AGAIN}")
    if holds(path, MODEL_CONFIG):
        return "keras-h5"
    raise InputError(
        f"{path}: HDF5 with weights alone or none of Keras, as save_weights writes it; save the whole model with "
        "model.save('model.keras')"
    )


def holds(path: Path, wanted: bytes) -> bool:
    """Whether a file that is not empty holds these bytes anywhere."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as region:
        return region.find(wanted) >= 0


def is_safetensors(head: bytes) -> bool:
    """Whether a file that begins so is one: the header's length, then a JSON object."""
    return len(head) > 9 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= LARGEST_HEADER


def safetensors(path: Path, head: bytes, size: int) -> Format:
    """Weights. Raises InputError where the header is damaged or the file is not as long as that says."""
    length = int.from_bytes(head[:8], "little")
    with path.open("rb") as file:
        file.seek(8)
        text = file.read(length)
    try:
        entries = json.loads(text)
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: safetensors with a damaged or truncated header; {AGAIN}") from error
    if size != whole:
        raise InputError(f"{path}: safetensors of {size} bytes, its header says {whole}; {AGAIN}")
    return "safetensors"
