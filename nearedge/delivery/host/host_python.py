"""Python of this machine for a runtime base: the interpreter, its standard library and the shared libraries they need.

Works for a CPython built from source (pyenv), Debian's and a virtual environment of either: a virtual environment's
base interpreter is what is taken.
"""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from nearedge.errors import MachineError, UnsupportedError

LEFT_OUT = frozenset({
    "__pycache__", "__phello__", "_pyrepl", "antigravity.py", "curses", "dbm", "dist-packages", "distutils",
    "ensurepip", "idlelib", "lib2to3", "msilib", "pydoc_data", "site-packages", "sitecustomize.py", "sqlite3",
    "test", "tests", "this.py", "tkinter", "turtle.py", "turtledemo", "unittest", "usercustomize.py",
    "venv", "wsgiref", "xmlrpc", "EXTERNALLY-MANAGED", "LICENSE.txt",
})  # fmt: skip
EXTENSIONS_LEFT_OUT = re.compile(
    r"(_test|_ctypes_test|_xxtest|xx|_tkinter|_curses|_dbm|_gdbm|_sqlite3|_codecs_|_crypt|readline|nis|ossaudio|spwd"
    r"|audioop|_multibytecodec|_xxinterp|_lsprof).*"
)
"""Extension modules that the server has no use for, or that would pull in libraries of which it has none."""
LOADED_LATE = ("libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")
"""Libraries that glibc opens by name when it first needs them; the last three only older ones have apart."""
LDD_LIMIT_S = 120.0
RESOLVED = re.compile(r"\s*(\S+) => (\S+|not found)(?: \(0x[0-9a-f]+\))?\s*")
LOADER = re.compile(r"\s*(/\S*/ld-linux\S*) \(0x[0-9a-f]+\)\s*")


def interpreter() -> Path:
    """The real interpreter behind a virtual environment and links."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    return Path(base).resolve()


def version() -> str:
    """Major and minor version, which the names of folders carry."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def standard_library() -> Iterator[tuple[str, Path]]:
    """Name below `lib/pythonX.Y` and file, of the part of the standard library that a server needs."""
    folder = Path(sysconfig.get_path("stdlib"))
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("config-"))
        for name in sorted(names):
            path = Path(parent, name)
            if name in LEFT_OUT or (path.parent.name == "lib-dynload" and EXTENSIONS_LEFT_OUT.fullmatch(name)):
                continue
            if path.suffix in (".py", ".so", ".json") and path.is_file():
                yield path.relative_to(folder).as_posix(), path


def shared_libraries(binaries: Iterable[Path], own: Path) -> dict[str, Path]:
    """Path in the image and file, of every library outside the folder `own` that the `binaries` link.

    The loader keeps the path that is built into every program; all others go beside the C library, which is a folder
    that the loader always searches. Raises MachineError where ldd fails or a library is missing.
    """
    found: dict[str, Path] = {}
    loader = ""
    for line in ldd(list(binaries)).splitlines():
        if match := LOADER.fullmatch(line):
            loader = match[1]
        elif match := RESOLVED.fullmatch(line):
            if match[2] == "not found":
                raise MachineError(f"base image host: ldd finds no {match[1]} on this machine; install it")
            if not Path(match[2]).resolve().is_relative_to(own.resolve()):
                found[match[1]] = Path(match[2])
    if not loader or "libc.so.6" not in found:
        raise UnsupportedError("base image host: this Python is not linked to glibc; give a base image of a registry")
    beside = found["libc.so.6"].parent
    for name in LOADED_LATE:
        if (beside / name).is_file():
            found[name] = beside / name
    placed = {str(beside / name): path.resolve() for name, path in found.items() if "ld-linux" not in name}
    return dict(sorted({**placed, loader: Path(loader).resolve()}.items()))


def ldd(binaries: list[Path]) -> str:
    """What ldd says of the files; it runs the loader on them, so they must be ones this machine trusts."""
    try:
        done = subprocess.run(
            ["/usr/bin/env", "ldd", *map(str, binaries)],
            capture_output=True,
            text=True,
            timeout=LDD_LIMIT_S,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"base image host: ldd took more than {LDD_LIMIT_S:.0f} s; try again") from error
    if not done.stdout:
        raise MachineError(f"base image host: ldd does not work here: {done.stderr.strip()[:200]}; install libc-bin")
    return done.stdout
