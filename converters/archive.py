"""Which model a zip archive holds, told by its entries; nothing in it is executed or unpickled.

PyTorch's containers are zip files: TorchScript has `code/` and `constants.pkl`, an exported program has
`archive_format`, and what `torch.save` wrote has only `data.pkl`, a pickle. Keras 3 saves `config.json` and weights.
"""

import io
import pickletools
import zipfile
from pathlib import Path
from typing import BinaryIO

from nearedge.errors import InputError, UnsupportedError
from nearedge.release.sections import Format

READ_AT_MOST = 16 << 20
MOST_EXPANSION = 100
"""Times its own size that an archive may expand to; PyTorch stores, and zlib cannot do more than 1000 times."""
PICKLES_OF_OLD_FORMAT = 5
WEIGHT_MODULES = ("torch", "torch._utils", "torch.storage", "torch._tensor", "torch.serialization", "collections")
WEIGHT_NAMES = ("torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer", "torch.Size", "torch.device")
SAVE_TORCH = "save the module itself with torch.jit.script(model).save(path) or torch.export.save(program, path)"


def recognise(path: Path) -> Format:
    """The format of a zip archive. Raises InputError or UnsupportedError where it is no model that we convert."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _by_entries(path, archive)
    # zipfile raises NotImplementedError for a compression it does not know, RuntimeError for a member with a password.
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise InputError(f"{path}: a damaged or truncated archive ({error}); fetch or save it again") from error


def _by_entries(path: Path, archive: zipfile.ZipFile) -> Format:
    """The format, by the names of the entries below the folder that they share."""
    expanded = sum(entry.file_size for entry in archive.infolist())
    if expanded > MOST_EXPANSION * path.stat().st_size:
        raise InputError(f"{path}: expands to {expanded >> 20} MiB, more than a model's archive does; save it again")
    entries = {below(name): name for name in archive.namelist()}
    if "constants.pkl" in entries and any(name.startswith("code/") for name in entries):
        return "torchscript"
    if "archive_format" in entries:
        return _exported(path, archive, entries)
    if "serialized_exported_program.json" in entries:
        raise UnsupportedError(
            f"{path}: an exported program of PyTorch before 2.7; load it there and save it again with a newer one"
        )
    if "data.pkl" in entries:
        with archive.open(entries["data.pkl"]) as file:
            return of_pickle(path, io.BytesIO(file.read(READ_AT_MOST)), pickles=1)
    if {"config.json", "model.weights.h5"} <= set(archive.namelist()):
        return "keras"
    raise InputError(f"{path}: a zip archive that holds no model; give a model file or a SavedModel folder")


def below(name: str) -> str:
    """The entry's name without its first folder, where it has one: PyTorch puts all entries into one."""
    first, slash, rest = name.partition("/")
    return rest if slash and first not in ("code", "data") else name


def _exported(path: Path, archive: zipfile.ZipFile, entries: dict[str, str]) -> Format:
    """An exported program, or the refusal of another package in the same container."""
    with archive.open(entries["archive_format"]) as file:
        kind = file.read(8)
    if kind != b"pt2" or not any(name.startswith("models/") for name in entries):
        raise UnsupportedError(f"{path}: a PyTorch package without an exported program; use torch.export.save")
    return "pt2"


def of_pickle(path: Path, file: BinaryIO, pickles: int = PICKLES_OF_OLD_FORMAT) -> Format:
    """Weights in a pickle, whose opcodes are looked at; it is not loaded here.

    `pickles` is how many one after the other are looked at; PyTorch's format before 1.6 has three before the object.
    Raises UnsupportedError for anything but weights, such as a whole module.
    """
    if all(_only_weights(name) for name in globals_of(file, pickles)):
        return "state-dict"
    raise UnsupportedError(
        f"{path}: a pickled Python object, which could run any code when it is loaded and is never opened; {SAVE_TORCH}"
    )


def _only_weights(name: str) -> bool:
    """Whether a pickle of tensors alone may name this global."""
    return name in WEIGHT_NAMES or name.rpartition(".")[0] in WEIGHT_MODULES


def globals_of(file: BinaryIO, pickles: int = 1) -> set[str]:
    """Every `module.name` that the pickles would import, read from the opcodes without executing them.

    Damaged pickles give what was seen, with the name `damaged` among it.
    """
    found: set[str] = set()
    try:
        for _ in range(pickles):
            strings: list[str] = []
            for opcode, argument, _position in pickletools.genops(file):
                if opcode.name in ("GLOBAL", "INST"):
                    found.add(".".join(str(argument).split(" ", 1)))
                elif opcode.name == "STACK_GLOBAL":
                    found.add(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    except (ValueError, IndexError, EOFError):
        found |= {"damaged"} if not found else set()
    return found
