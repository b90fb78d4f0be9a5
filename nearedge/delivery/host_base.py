"""`--base-image host`: a runtime base from this machine's own Python, where no base image can be had.

Four layers, so that an upgrade of the server's code is small: interpreter and libraries, numeric packages, other
packages, server. Bytecode without sources for what others wrote (tracebacks still name files and lines), sources and
bytecode for the server. Kept under the cache folder for the next time, keyed by what went in.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path

from nearedge.delivery import digest as digests
from nearedge.delivery import elf, host_bytecode, host_packages, host_python, oci
from nearedge.delivery.image import EPOCH, RUNTIME_CONTRACT, RUNTIME_LABEL
from nearedge.delivery.layers import Entry, Layer, write_layer
from nearedge.delivery.layout import Layout
from nearedge.files import write_text
from nearedge.progress import say

TAG = "base"
PYTHON = "opt/python"
PACKAGES, SERVER = "opt/nearedge/packages", "opt/nearedge/server"
PORT = 8080
USER = 1001
PASSWD = f"root:x:0:0:root:/root:/sbin/nologin\nnearedge:x:{USER}:0:nearedge:/tmp:/sbin/nologin\n"
GROUP = "root:x:0:\n"
KEEP = 3
"""Bases kept in the cache."""
LIBRARIES = "libraries.json"
RECIPE = ("bytecode", "elf", "host_base", "host_bytecode", "host_packages", "host_python", "layers")
"""Modules whose change makes another base."""


@dataclass
class Plan:
    """What goes in: for each layer, the name in the image and the file on this machine, sorted by name."""

    python: dict[str, Path] = field(default_factory=dict)
    numeric: dict[str, Path] = field(default_factory=dict)
    packages: dict[str, Path] = field(default_factory=dict)
    server: dict[str, Path] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, Path]:
        """Every file."""
        return {**self.python, **self.numeric, **self.packages, **self.server}


def host_base(cache: Path | None = None) -> Layout:
    """The layout that holds the base under the tag `base`, assembled where the cache does not have it.

    Raises InputError where extra `serve` is not installed, MachineError where this machine's Python cannot be taken.
    """
    plan = new_plan()
    folder = (cache or cache_folder()) / "host-base"
    entry = folder / key(plan)[:32]
    if (found := kept(entry)) is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if (found := kept(entry)) is not None:  # another process assembled it meanwhile
            return found
        say("assembling a runtime base from this machine's Python (once; it is kept for the next time)")
        assemble(plan, entry)
        forget_old(folder, entry)
    return Layout.open(entry)


def cache_folder() -> Path:
    """NEAREDGE_CACHE, else the user's cache folder."""
    given = os.environ.get("NEAREDGE_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearedge"


def new_plan() -> Plan:
    """What goes in, except for shared libraries, which take ldd to find."""
    plan = Plan()
    plan.python[f"{PYTHON}/bin/python{host_python.version()}"] = host_python.interpreter()
    for name, path in host_python.standard_library():
        plan.python[f"{PYTHON}/lib/python{host_python.version()}/{name}"] = path
    for package, distribution in host_packages.serving_distributions().items():
        part = plan.numeric if package in host_packages.NUMERIC else plan.packages
        part.update((f"{PACKAGES}/{name}", path) for name, path in host_packages.files(distribution))
    plan.server.update((f"{SERVER}/{name}", path) for name, path in host_packages.server_files())
    return plan


def key(plan: Plan) -> str:
    """Hex sha256 of what goes in: names, places, sizes and times of the files, and how they are put together."""
    hasher = hashlib.sha256()
    for name, path in sorted(plan.all.items()):
        hasher.update(f"{name}\0{path}\0{stamp(path)}\n".encode(errors="surrogateescape"))
    for module in RECIPE:
        hasher.update(Path(__file__).with_name(f"{module}.py").read_bytes())
    return hasher.hexdigest()


def stamp(path: Path) -> str:
    """Size and time of a file, as cheap as they come."""
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def kept(entry: Path) -> Layout | None:
    """The cached base, None where there is none or the system's libraries have changed since."""
    try:
        libraries = json.loads((entry / LIBRARIES).read_text(encoding="utf-8"))
        if any(stamp(Path(path)) != seen for path, seen in libraries.items()):
            return None
        os.utime(entry)
        return Layout.open(entry)
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock on the cache, so that of two that need the same base one assembles it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def forget_old(folder: Path, new: Path) -> None:
    """Remove all but the bases used last; layouts that were built from them hold their own links to the blobs."""
    others = sorted((path for path in folder.iterdir() if path != new), key=lambda path: path.stat().st_mtime)
    for path in others[: -(KEEP - 1)]:
        shutil.rmtree(path, ignore_errors=True)


def assemble(plan: Plan, entry: Path) -> None:
    """Write the base as a layout to the folder `entry`, by rename."""
    building = Path(tempfile.mkdtemp(dir=entry.parent, prefix=".building-"))
    try:
        binaries = [path for name, path in plan.all.items() if ".so" in Path(name).name or "/bin/" in name]
        site = Path(str(host_packages.installed("openvino").locate_file("")))
        libraries = host_python.shared_libraries(binaries, site)
        write_base(plan, libraries, building)
        seen = {str(path): stamp(path) for path in libraries.values()}
        write_text(building / LIBRARIES, json.dumps(seen, indent=1, sort_keys=True))
        building.chmod(0o755)
        if entry.exists():
            shutil.rmtree(entry)
        building.replace(entry)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def write_base(plan: Plan, libraries: dict[str, Path], folder: Path) -> None:
    """Write the four layers, the config and the manifest to the layout in `folder`."""
    layout = Layout.create(folder)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        code = host_bytecode.compiled(plan.all, keep_source=SERVER, scratch=scratch)
        lean = without_symbols({**libraries, **plan.python, **plan.packages}, scratch)
        code |= {name: [(name, path)] for name, path in lean.items()}
        parts = {
            "python": [*system_entries(), *entries(libraries, code), *entries(plan.python, code)],
            "openvino and numpy": entries(plan.numeric, code),
            "packages": entries(plan.packages, code),
            "server": entries(plan.server, code),
        }
        with ThreadPoolExecutor(2) as pool:  # zlib and sha256 let go of the interpreter's lock
            written = list(
                pool.map(
                    lambda part: write_layer(part[1], scratch / f"layer {part[0]}", part[0], "small"), parts.items()
                )
            )
        for layer in written:
            layout.add_file(layer.descriptor, layer.path)
    publish(layout, written)


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


def system_entries() -> list[Entry]:
    """Links to the interpreter, users, and the folders that a container needs."""
    program = f"python{host_python.version()}"
    return [
        Entry(f"{PYTHON}/bin/python", link=program),
        Entry(f"{PYTHON}/bin/python3", link=program),
        Entry("etc/passwd", PASSWD.encode()),
        Entry("etc/group", GROUP.encode()),
        Entry("tmp", mode=0o1777),
        *(Entry(name, mode=0o755) for name in ("dev", "models", "proc", "run", "sys")),
    ]


def publish(layout: Layout, layers: list[Layer]) -> None:
    """Write config and manifest of the base and tag it."""
    content = oci.encode(base_config(layers))
    config = oci.Descriptor(oci.CONFIG, digests.of_bytes(content), len(content))
    layout.add_bytes(config, content)
    described = [
        oci.Descriptor(
            layer.descriptor.media_type, layer.descriptor.digest, layer.descriptor.size, {oci.TITLE: layer.title}
        )
        for layer in layers
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in described],
    }
    layout.publish(oci.manifest(oci.encode(document), "the base"), TAG)


def base_config(layers: list[Layer]) -> dict[str, object]:
    """The config: what runs, as whom, with which environment."""
    environment = {
        "HOME": "/tmp",  # noqa: S108  the image's own, an emptyDir on a cluster
        "LANG": "C.UTF-8",
        "NEAREDGE_HOST": "0.0.0.0",  # noqa: S104  inside the pod; the Service and NetworkPolicy decide who gets there
        "NEAREDGE_MODELS": "/models",
        "NEAREDGE_PORT": str(PORT),
        "PATH": f"/{PYTHON}/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONPATH": f"/{SERVER}:/{PACKAGES}",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }
    labels = {
        RUNTIME_LABEL: RUNTIME_CONTRACT,
        "io.nearedge.base": "host",
        "io.nearedge.openvino": installed_version("openvino"),
    }
    return {
        "created": EPOCH,
        "os": oci.OS,
        "architecture": oci.ARCHITECTURE,
        "config": {
            "Entrypoint": [f"/{PYTHON}/bin/python", "-m", host_packages.SERVER],
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "Labels": labels,
            "User": str(USER),
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": EPOCH, "created_by": f"nearedge: {layer.title}"} for layer in layers],
    }
