"""A folder's files as an OCI artifact: one layer a file, named by its title annotation (as ORAS lays them out).

`make examples` pushes a model, its data and model.yaml so; fetch-model reads them. The same files give the same digest.
"""

from pathlib import Path, PurePosixPath

from nearedge.delivery import digest as digests
from nearedge.delivery import oci
from nearedge.delivery.access import Access
from nearedge.delivery.layout import Layout
from nearedge.delivery.reference import Reference
from nearedge.delivery.repository import Repository
from nearedge.delivery.store import open_store
from nearedge.errors import InputError, OutsideError
from nearedge.files import new_directory

TYPE = "application/vnd.nearedge.model.v1"
FILE = "application/octet-stream"
EMPTY_CONFIG = b"{}"
LONGEST_NAME = 512


def push_artifact(reference: Reference, folder: Path, access: Access, workspace: Path = Path()) -> str:
    """Push the files of `folder` to `reference` (its tag, or `latest`); the artifact's digest.

    Raises InputError for an empty folder, one with too many files or with links; OutsideError where the registry
    refuses.
    """
    store = open_store(reference, workspace, access, create=True)
    config = oci.Descriptor(oci.EMPTY, digests.of_bytes(EMPTY_CONFIG), len(EMPTY_CONFIG))
    store.add_bytes(config, EMPTY_CONFIG)
    layers = []
    for name, path in listed(folder):
        layer = oci.Descriptor(FILE, digests.of_file(path), path.stat().st_size, {oci.TITLE: name})
        store.add_copy(layer, path)
        layers.append(layer.to_json())
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "artifactType": TYPE,
        "config": config.to_json(),
        "layers": layers,
    }
    manifest = oci.manifest(oci.encode(document), str(reference))
    store.publish(manifest, reference.tag or "latest")
    return manifest.descriptor.digest


def listed(folder: Path) -> list[tuple[str, Path]]:
    """Relative name and path of each file, by name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    if not paths:
        raise InputError(f"{folder}: holds no files to push")
    if len(paths) > oci.MOST_ENTRIES:
        raise InputError(
            f"{folder}: holds {len(paths)} files, more than the {oci.MOST_ENTRIES} of an artifact; pack them"
        )
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise InputError(f"{path}: is a link or a special file; push regular files only")
    return [(path.relative_to(folder).as_posix(), path) for path in paths]


def pull_artifact(reference: Reference, into: Path, access: Access, *, max_bytes: int, workspace: Path = Path()) -> str:
    """Write the files of the artifact `reference` to the folder `into`, by rename; the artifact's digest.

    Raises InputError where it holds more than `max_bytes` bytes or is no artifact of files, OutsideError where it is
    missing, damaged, or names a file that leads out of the folder.
    """
    store = open_store(reference, workspace, access)
    manifest = store.resolve(reference.which)
    files = named(manifest, str(reference))
    total = sum(layer.size for layer in files.values())
    if total > max_bytes:
        raise InputError(f"{reference}: holds {total} bytes, more than the {max_bytes} allowed (max-bytes)")
    with new_directory(into) as folder:
        for name, layer in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write(store, layer, path)
    return manifest.descriptor.digest


def named(manifest: oci.Manifest, where: str) -> dict[str, oci.Descriptor]:
    """The layers by the names of their files, each name checked. Raises InputError, OutsideError as `pull_artifact`."""
    files: dict[str, oci.Descriptor] = {}
    for layer in manifest.layers:
        name = layer.annotations.get(oci.TITLE, "")
        if not name or layer.media_type in oci.OCI_LAYERS:
            raise InputError(f"{where}: is an image or has layers without file names; give what `make examples` pushes")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or not plain(name):
            raise OutsideError(
                f"{where}: names a file {name[:80]!r}, which leads out of the folder or is no plain name"
            )
        if name in files or any(str(parent) in files for parent in path.parents):
            raise OutsideError(f"{where}: names {name[:80]!r} twice, or as a file and a folder")
        files[name] = layer
    if not files:
        raise InputError(f"{where}: holds no files")
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    if folders & files.keys():
        raise OutsideError(f"{where}: names {min(folders & files.keys())[:80]!r} as a file and a folder")
    return files


def plain(name: str) -> bool:
    """Whether a name is printable, short, and without a backslash."""
    return name.isprintable() and len(name.encode()) <= LONGEST_NAME and "\\" not in name and name != "."


def write(store: Layout | Repository, layer: oci.Descriptor, path: Path) -> None:
    """Stream one file, verified against its digest."""
    with path.open("wb") as out:
        out.writelines(store.chunks(layer))
