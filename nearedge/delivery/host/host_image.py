"""What a runtime base made of this machine's Python holds, and how its layers are written.

Five layers, so that an upgrade of the server's code is small: interpreter and libraries, numeric packages, other
packages, server, and the bill of what is in them. Bytecode without sources for what others wrote (tracebacks still name
files and lines), sources and bytecode for the server. Each layer is compiled by a process of its own, so that none
depends on what another holds.
"""

import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path

from nearedge.delivery import digest as digests
from nearedge.delivery import oci, sbom
from nearedge.delivery.host import host_packages, host_parts, host_python
from nearedge.delivery.host.host_parts import Part, executable, write_part
from nearedge.delivery.image import ANNOTATION, EPOCH, RUNTIME_CONTRACT, RUNTIME_LABEL
from nearedge.delivery.layers import Entry, Layer
from nearedge.delivery.layout import Layout

TAG = "base"
PYTHON = "opt/python"
PACKAGES, SERVER = "opt/nearedge/packages", "opt/nearedge/server"
SBOM = f"opt/nearedge/{sbom.FILE}"
PORT = 8080
GRPC_PORT = 8081
USER = 1001
PASSWD = f"root:x:0:0:root:/root:/sbin/nologin\nnearedge:x:{USER}:0:nearedge:/tmp:/sbin/nologin\n"
GROUP = "root:x:0:\n"
WORKERS = 2


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


def libraries(plan: Plan) -> dict[str, Path]:
    """Path in the image and file of the shared libraries that the plan's programs and extension modules need."""
    binaries = [path for name, path in plan.all.items() if executable(name)]
    site = Path(str(host_packages.installed("openvino").locate_file("")))
    return host_python.shared_libraries(binaries, site)


def write_base(plan: Plan, shared: dict[str, Path], folder: Path, others: Iterable[Path]) -> None:
    """Write the five layers, the config and the manifest to the layout in `folder`.

    Layers that one of the bases in the folders `others` has, made of the same files, are taken from there.
    """
    layout = Layout.create(folder)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        parts = [
            Part("python", {**shared, **plan.python}, Path(name, "python"), more=system_entries()),
            Part("openvino and numpy", plan.numeric, Path(name, "numeric"), lean=False),
            Part("packages", plan.packages, Path(name, "packages")),
            Part("server", plan.server, Path(name, "server"), keep_source=True),
            Part("bill of materials", {}, Path(name, "bill"), more=[Entry(SBOM, host_packages.bill())]),
        ]
        known = [(part, host_parts.find(part, others)) for part in parts]
        with ThreadPoolExecutor(WORKERS) as pool:  # zlib and sha256 let go of the interpreter's lock
            layers = list(pool.map(lambda pair: pair[1] or write_part(pair[0]), known))
        for layer in layers:
            layout.add_file(layer.descriptor, layer.path)
        host_parts.note(folder, parts, layers)
    publish(layout, layers)


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
        "NEAREDGE_GRPC_PORT": str(GRPC_PORT),
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
        f"{ANNOTATION}title": "nearedge: the runtime that serves a model",
        f"{ANNOTATION}licenses": "Apache-2.0",
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
            "ExposedPorts": {f"{port}/tcp": {} for port in (PORT, GRPC_PORT)},
            "Labels": labels,
            "User": str(USER),
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": EPOCH, "created_by": f"nearedge: {layer.title}"} for layer in layers],
    }
