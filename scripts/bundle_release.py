"""`nearedge bundle-release`: one file for a site with no network, and back into a registry there."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nearedge.delivery.access import Access
from nearedge.delivery.bundle import bundle_file, bundle_index
from nearedge.delivery.bundle.bundle_export import Packing
from nearedge.delivery.bundle.bundle_import import Importing, unpack
from nearedge.delivery.bundle.bundle_index import Image
from nearedge.delivery.layout import Layout
from nearedge.delivery.reference import NAME as IMAGE_NAME
from nearedge.delivery.reference import Reference, parse
from nearedge.delivery.repository import Repository
from nearedge.delivery.store import open_store
from nearedge.errors import InputError, UsageError
from nearedge.files import inside
from nearedge.program import add_results, boolean, guarded, new_parser, optional_path, write_results
from nearedge.progress import say

NAME = "bundle-release"
FOLDER = "bundled"
EXPORT_ONLY, IMPORT_ONLY = ("images", "have", "gitops", "sbom"), ("to", "sha256")


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Pack images and files into one file for a site with no network, or unpack it there.")
    options.add_argument("--workspace", type=Path, required=True, help="folder that holds the bundle and the files")
    options.add_argument("--mode", required=True, help="export or import")
    options.add_argument("--bundle", default="bundle.tar", metavar="FILE", help="the bundle, in the workspace")
    options.add_argument(
        "--have", default="", help="export: what the site has, by commas: bundles in the workspace, images by reference"
    )
    options.add_argument("--gitops", default="", metavar="PATH", help="export: manifests to pack: folder or file")
    options.add_argument("--sbom", default="", metavar="PATH", help="export: bill of materials to pack")
    options.add_argument("--to", default="", help="import: registry, HOST[/PATH], or oci:DIR in the workspace")
    options.add_argument("--sha256", default="", help="import: the bundle's id, where another way told it")
    options.add_argument("--plain-http", type=boolean, default=False, help="true: speak plain http to registries")
    options.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder that holds ca-bundle.crt")
    options.add_argument("--dockerconfig", type=optional_path, metavar="DIR", help="folder that holds config.json")
    options.add_argument(
        "images", nargs="*", metavar="IMAGE", help="export: registry/name[:tag][@digest] or oci:DIR:tag"
    )
    add_results(
        options,
        bundle_sha256="the bundle's id: the sha256 of its index, which stands for every byte of it",
        bundle_bytes="size of the bundle",
        images="its images, as a JSON list of NAME@DIGEST",
    )
    return options


def export(given: argparse.Namespace, access: Access) -> str:
    """Write the bundle; its id. Raises UsageError, InputError or OutsideError; an older bundle is left alone then."""
    if not given.images:
        raise UsageError("images: none given; name at least one to bundle")
    packing = Packing()
    for have in filter(None, map(str.strip, given.have.split(","))):
        if inside(given.workspace, have).is_file():
            packing.has_bundle(inside(given.workspace, have))
        else:
            reference = had(have)
            packing.has_image(open_store(reference, given.workspace, access), name_of(reference.name), reference.which)
    for image in given.images:
        reference = parse(image, allow_layout=True)
        store = open_store(reference, given.workspace, access)
        packing.image(store, name_of(reference.name), reference.which, reference.tag)
    for path, under in ((given.gitops, "gitops"), (given.sbom, "sbom")):
        if path:
            packing.add_files(inside(given.workspace, path), under)
    index = packing.index()
    path = bundle_path(given)
    bundle_index.decode(index.encode(), path.name)  # what an import would refuse is not written
    own = bundle_file.write(path, index, packing.opened)
    lacking = sum(one.size for one in index.absent)
    size = path.stat().st_size
    say(f"{path}: {size / 1e6:.2f} MB, {counted(index.images)}; the site has {lacking / 1e6:.2f} MB already")
    return own


def had(have: str) -> Reference:
    """The image that the site has. Raises InputError for what is none."""
    try:
        return parse(have, allow_layout=True)
    except InputError as error:
        raise InputError(f"have {have!r}: is neither a bundle in the workspace nor an image's reference") from error


def name_of(name: str) -> str:
    """An image's name in the bundle; a layout's folder becomes one. Raises InputError where it cannot."""
    found = name.strip("./").lower()
    if not IMAGE_NAME.fullmatch(found):
        raise InputError(f"{name!r}: cannot be an image's name; give the layout's folder another one")
    return found


def counted(images: Sequence[Image]) -> str:
    """How many images, and documents that refer to them, for people."""
    documents = sum(bool(image.subject) for image in images)
    count = len(images) - documents
    return f"{count} image{'s' * (count != 1)} with {documents} documents"


def bundle_path(given: argparse.Namespace) -> Path:
    """The bundle's file. Raises InputError for one outside of the workspace, or for a folder."""
    path = inside(given.workspace, given.bundle)
    if path.is_dir():
        raise InputError(f"bundle {given.bundle!r}: is a folder; name a file in the workspace")
    return path


def import_(given: argparse.Namespace, access: Access) -> str:
    """Verify the bundle, then import it; its id. Raises InputError where anything is wrong, before it writes."""
    if not given.to:
        raise UsageError("to: is empty; name the registry, or oci:DIR, to import into")
    store_for = stores(given, access)
    with bundle_file.opened(bundle_path(given)) as bundle:
        if given.sha256 not in ("", bundle.id):
            raise InputError(f"{bundle.where}: has the id {bundle.id}, not {given.sha256[:64]!r}; it is another bundle")
        bundle.verify()
        importing = Importing(bundle, store_for)
        importing.check()
        done = importing.run()
        files = unpack(bundle, given.workspace / FOLDER)
        what = f"{done.written / 1e6:.2f} MB written" if done.written else "had all of it; 0 bytes written"
        say(f"{given.to}: {counted(done.images)}, {what}; {files} files in {FOLDER}")
        return bundle.id


def stores(given: argparse.Namespace, access: Access) -> Callable[[str], Layout | Repository]:
    """The store at the target for an image's name; made when it is first asked for."""
    made: dict[str, Layout | Repository] = {}
    layout = given.to.startswith("oci:")
    if not layout:
        try:
            parse(f"{given.to.removesuffix('/')}/name")
        except InputError as error:
            raise InputError(
                f"to {given.to!r}: is no registry with a path or without; write host[:port][/path] or oci:DIR"
            ) from error

    def store_for(name: str) -> Layout | Repository:
        key = "" if layout else name
        if key not in made:
            to = given.to if layout else f"{given.to.removesuffix('/')}/{name}"
            made[key] = open_store(parse(to, allow_layout=True), given.workspace, access, create=True)
        return made[key]

    return store_for


def check_usage(given: argparse.Namespace) -> None:
    """Raise UsageError for another mode, and for what is given and would not be heard."""
    if given.mode not in ("export", "import"):
        raise UsageError(f"mode {given.mode[:40]!r}: is neither export nor import")
    unheard = EXPORT_ONLY if given.mode == "import" else IMPORT_ONLY
    for name in unheard:
        if getattr(given, name):
            raise UsageError(f"{name}: is nothing that {given.mode} takes; leave it out, or is the mode another?")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    given = parser().parse_args(argv)

    def action() -> None:
        access = Access(given.ca_bundle, given.dockerconfig, given.plain_http)
        check_usage(given)
        own = export(given, access) if given.mode == "export" else import_(given, access)
        path = bundle_path(given)
        with bundle_file.opened(path) as bundle:
            images = [f"{image.name}@{image.digest}" for image in bundle.index.images if not image.subject]
        write_results(given, bundle_sha256=own, bundle_bytes=str(path.stat().st_size), images=json.dumps(images))

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
