"""What of the installed packages goes into a runtime base: extra `serve` and what it needs, less what only builds.

Requirement trees come from the packages' own metadata (importlib.metadata; PEP 508 markers).
"""

import importlib.metadata
import importlib.util
import platform
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from nearedge.delivery import sbom
from nearedge.errors import InputError

EXTRA = "serve"
SERVER = "serving_image"
NUMERIC = frozenset({"numpy", "openvino"})
LEFT_OUT = frozenset({"openvino-telemetry"})
"""It reports to its makers; openvino's runtime works without it."""

OPENVINO_LIBRARIES = re.compile(
    r"lib(openvino\.so|openvino_intel_cpu_plugin|openvino_ir_frontend|hwloc|tbb\.so|tbbmalloc\.so|tbbbind).*"
)
"""What reading an IR and running it on a CPU needs; the device is then named CPU, since AUTO is not there."""
FOLDERS = frozenset({"tests", "test", "testing", "include", "cmake", "pkgconfig", "__pycache__", "_pyinstaller"})
SUFFIXES = frozenset({".pyi", ".pxd", ".pyx", ".h", ".hpp", ".c", ".cpp", ".a", ".pc", ".cmake", ".typed"})
NAMES = frozenset({"conftest.py", "RECORD", "INSTALLER", "REQUESTED", "WHEEL", "entry_points.txt", "direct_url.json"})
PARTS = (
    "numpy/f2py", "numpy/distutils", "numpy/doc",
    "openvino/tools", "openvino/torch", "openvino/_pyopenvino",
    "openvino/frontend/jax", "openvino/frontend/onnx", "openvino/frontend/paddle", "openvino/frontend/pytorch",
    "openvino/frontend/tensorflow",
)  # fmt: skip


def serving_distributions() -> dict[str, Distribution]:
    """The installed packages that the server needs, by canonical name.

    Raises InputError where nearedge or one of them is not installed.
    """
    found: dict[str, Distribution] = {}
    waiting = [Requirement(text) for text in installed("nearedge").requires or () if only_for(text, EXTRA)]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or name in LEFT_OUT:
            continue
        found[name] = installed(requirement.name)
        below = [Requirement(text) for text in found[name].requires or ()]
        waiting += [needed for needed in below if applies(needed, requirement.extras)]
    return dict(sorted(found.items()))


def installed(name: str) -> Distribution:
    """An installed package's metadata."""
    try:
        return importlib.metadata.distribution(name)
    except PackageNotFoundError as error:
        raise InputError(f"base image host: {name} is not installed here; install nearedge[{EXTRA}]") from error


def only_for(text: str, extra: str) -> bool:
    """Whether a requirement holds for `extra`, and not without it."""
    marker = Requirement(text).marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def applies(requirement: Requirement, extras: set[str]) -> bool:
    """Whether a requirement holds here, with any of the extras that were asked for."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *sorted(extras)))


def files(distribution: Distribution) -> Iterator[tuple[str, Path]]:
    """Name in the site folder and file on this machine, of what the server needs of a package.

    Raises InputError where the package was not installed by pip, and so has no list of its files.
    """
    if distribution.files is None:
        raise InputError(f"base image host: {distribution.name} has no list of its files; install it with pip")
    for listed in distribution.files:
        path = PurePosixPath(listed.as_posix())
        if wanted(path):
            yield str(path), Path(str(distribution.locate_file(listed)))


def wanted(path: PurePosixPath) -> bool:
    """Whether a package's file is needed to run, not to build or to test."""
    text = str(path)
    if ".." in path.parts or path.is_absolute() or path.name in NAMES or path.suffix in SUFFIXES:
        return False
    if FOLDERS & set(path.parts) or any(text.startswith(part + "/") for part in PARTS):
        return False
    if text.startswith("openvino/libs/"):
        return OPENVINO_LIBRARIES.fullmatch(path.name) is not None
    return True


def bill() -> bytes:
    """The SBOM of what goes in: this interpreter, and the packages with their native libraries."""
    python = sbom.platform("python", platform.python_version())
    packages = [sbom.package(found, files(found)) for found in serving_distributions().values()]
    return sbom.encode(sbom.document([python, *packages]))


def server_files() -> list[tuple[str, Path]]:
    """Name in the site folder and file, of the server's own code."""
    found = importlib.util.find_spec(SERVER)
    if found is None or not found.submodule_search_locations:
        raise InputError(f"base image host: {SERVER} is not installed here; install nearedge[{EXTRA}]")
    folder = Path(found.submodule_search_locations[0])
    names = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".py", ".json"))
    return [(f"{SERVER}/{path.relative_to(folder).as_posix()}", path) for path in names]
