"""The layers of a runtime base made of this machine's Python: each one's files, what is done to them, and its key.

A layer that an earlier base has of the same files is used again, so that after a change of the server's code only its
own small layer is made.
"""

import hashlib
import json
import platform
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery import digest as digests
from nearedge.delivery import oci
from nearedge.delivery.host import elf, host_bytecode
from nearedge.delivery.layers import Entry, Layer, write_layer
from nearedge.files import write_text
from nearedge.progress import say

NOTES = "parts.json"
HERE = Path(__file__).parent
RECIPE = (*sorted(HERE.glob("*.py")), HERE.parent / "layers.py", HERE.parent / "sbom.py")
"""Modules whose change makes other bytes."""


def key(files: dict[str, Path]) -> str:
    """Hex sha256 of names, places, sizes and times of files, and of the means by which a layer is made of them."""
    hasher = hashlib.sha256(f"{platform.python_version()} zlib {zlib.ZLIB_RUNTIME_VERSION}\n".encode())
    for name, path in sorted(files.items()):
        hasher.update(f"{name}\0{path}\0{stamp(path)}\n".encode(errors="surrogateescape"))
    for module in RECIPE:
        hasher.update(module.read_bytes())
    return hasher.hexdigest()


def stamp(path: Path) -> str:
    """Size and time of a file, as cheap as they come."""
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


@dataclass(frozen=True)
class Part:
    """One layer to be: its files, `more` entries, and what is done to them; `scratch` is a folder to work in."""

    title: str
    files: dict[str, Path]
    scratch: Path
    more: list[Entry] = field(default_factory=list)
    keep_source: bool = False
    lean: bool = True

    def key(self) -> str:
        """What the layer is made of: its files, and the content of what comes with them."""
        more = hashlib.sha256(repr([(entry.name, entry.source) for entry in self.more]).encode()).hexdigest()
        return f"{key(self.files)} {more}"


def write_part(part: Part) -> Layer:
    """Compile what is Python, leave out symbols where that is asked for, and write the layer."""
    part.scratch.mkdir()
    placed = host_bytecode.compiled(part.files, part.scratch, keep_source=part.keep_source)
    if part.lean:
        copies = without_symbols(part.files, part.scratch)
        placed |= {name: [(name, path)] for name, path in copies.items()}
    layer = write_layer([*part.more, *entries(part.files, placed)], part.scratch / "layer", part.title, "small")
    say(f"runtime base: {part.title}, {layer.descriptor.size / 1e6:.1f} MB")
    return layer


def find(part: Part, bases: Iterable[Path]) -> Layer | None:
    """The layer of the same files in one of the folders `bases`, None where none has it whole."""
    wanted = part.key()
    for base in bases:
        try:
            note = json.loads((base / NOTES).read_text(encoding="utf-8"))[part.title]
            path = base / "blobs" / "sha256" / note["digest"].removeprefix("sha256:")
            if note["key"] == wanted and digests.of_file(path) == note["digest"]:
                descriptor = oci.Descriptor(oci.LAYER_GZIP, note["digest"], path.stat().st_size)
                return Layer(descriptor, note["diff_id"], path, part.title)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue  # a base that is damaged or just being removed: the layer is made anew
    return None


def note(folder: Path, parts: Sequence[Part], layers: Sequence[Layer]) -> None:
    """Write down in the base in `folder` of which files its layers were made, for `find`."""
    notes = {
        part.title: {"key": part.key(), "digest": layer.descriptor.digest, "diff_id": layer.diff_id}
        for part, layer in zip(parts, layers, strict=True)
    }
    write_text(folder / NOTES, json.dumps(notes, indent=1, sort_keys=True))


def entries(files: dict[str, Path], code: dict[str, list[tuple[str, Path]]]) -> list[Entry]:
    """The entries of one layer: bytecode where `code` has it, the file itself otherwise."""
    return [
        Entry(placed, path, mode=0o755 if executable(placed) else 0o644)
        for name, source in files.items()
        for placed, path in code.get(name, [(name, source)])
    ]


def without_symbols(files: dict[str, Path], scratch: Path) -> dict[str, Path]:
    """Copies of the programs and libraries among `files` that are much smaller without their symbols."""
    binaries = sorted(name for name in files if executable(name))
    copies = {name: scratch / f"{number}.elf" for number, name in enumerate(binaries)}
    return {name: copy for name, copy in copies.items() if elf.without_symbols(files[name], copy)}


def executable(name: str) -> bool:
    """Whether a file of the image is a program or a library."""
    return "/bin/" in name or ".so" in Path(name).name
