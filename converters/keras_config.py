"""The configuration in Keras's own files, looked through before Keras may act on it; no framework but h5py is needed.

Keras's safe_mode refuses Python in a file, but it has been got around more than once (CVE-2025-1550, -8747, -9905,
-9906, -49655). So a configuration may name classes and functions of Keras and no other, and of these none that holds
code or reads another file.
"""

import json
import zipfile
from pathlib import Path

from converters.refusal import essence
from nearedge.errors import InputError, UnsupportedError
from nearedge.release.sections import Format

LARGEST_CONFIG = 64 << 20
HOLD_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__typespec__")
KERAS = ("keras", "builtins")
"""Packages whose classes are known; Keras 2 named none, and the loader then knows its own layers only."""
EXPORT = "load it in Python where you trust it, write a SavedModel with model.export(dir), and give that"


def read(path: Path, form: Format) -> object:
    """The configuration, as JSON. Raises InputError where the file or its JSON is damaged."""
    try:
        if form == "keras":
            with zipfile.ZipFile(path) as archive, archive.open("config.json") as file:
                text = file.read(LARGEST_CONFIG + 1)
        else:
            import h5py  # type: ignore[import-untyped]  # it has no stubs

            with h5py.File(path, "r") as whole:
                found = whole.attrs["model_config"]
                text = found if isinstance(found, bytes) else str(found).encode()
        if len(text) > LARGEST_CONFIG:
            raise InputError(f"{path}: its configuration is over {LARGEST_CONFIG >> 20} MiB; save it again")
        document: object = json.loads(text)
    except (OSError, KeyError, ValueError, RuntimeError, RecursionError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: a damaged Keras file ({essence(str(error))}); fetch or save it again") from error
    return document


def check(config: object, path: Path) -> None:
    """Raise UnsupportedError where the configuration names anything but Keras's own layers and functions."""
    left = [config]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            left += one.values()
            name, module = one.get("class_name"), one.get("module")
            if name in HOLD_CODE:
                raise UnsupportedError(f"{path}: holds a {name}, which carries Python or another file; {EXPORT}")
            if name is not None and module is not None and str(module).partition(".")[0] not in KERAS:
                raise UnsupportedError(f"{path}: needs {module}.{name}, which is not Keras's own; {EXPORT}")
            if isinstance(one.get("vocabulary"), str):
                raise UnsupportedError(f"{path}: {name} reads a vocabulary from another file; {EXPORT}")
