"""`nearedge build-serving-image`: what tasks/build-serving-image runs."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from nearedge.delivery import bases, budget, evidence_attached, layers, naming, sbom, upgrade
from nearedge.delivery.access import Access
from nearedge.delivery.image import Built, Choices, prepare, put
from nearedge.delivery.model_layers import Flavour, ModelLayout
from nearedge.delivery.proven import proven
from nearedge.delivery.reference import Reference, parse
from nearedge.delivery.store import open_store, open_stores
from nearedge.errors import InputError
from nearedge.files import write_text
from nearedge.program import add_results, boolean, guarded, new_parser, optional_bytes, optional_path, write_results
from nearedge.progress import say
from nearedge.release import record, sections
from nearedge.release.sections import ImageSection, Layer, TestSection

NAME = "build-serving-image"
SBOM = "release/sbom.json"
SITES = "sites:"
"""What stands before the sites, after the tags and annotations; no tag holds a colon, and annotations hold a '='."""
Compression = Literal["gzip", "zstd"]


@dataclass(frozen=True)
class Options:
    """What to build from and where to."""

    serving_image: str
    base_image: str
    allow_layout: bool = False
    access: Access = field(default_factory=Access)
    cache: Path | None = None
    compression: Compression = "gzip"
    attach: bool = True
    more: tuple[str, ...] = ()
    """Further tags, and annotations as KEY=VALUE."""
    flavour: Flavour = "serving"
    layout: ModelLayout = "single"
    modelcar_base: str = ""
    """What a modelcar is built on; empty for nothing."""
    sites: tuple[str, ...] = ()
    """SITE or SITE=PROFILE each, to say what they pull."""
    max_transfer_bytes: int | None = None
    """What each of them may pull; None for no gate."""


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Add the model to a runtime base as layers of its own; no container engine takes part.")
    options.add_argument("--workspace", type=Path, required=True, help="folder of the release")
    options.add_argument(
        "--serving-image", required=True, metavar="REFERENCE", help="target: registry/name[:tag] or oci:DIR:tag"
    )
    options.add_argument(
        "--base-image",
        required=True,
        metavar="REFERENCE",
        help="runtime base: registry/name[:tag][@digest], oci:DIR:tag, or 'host' for one made of this machine's Python",
    )
    options.add_argument(
        "--allow-layout", type=boolean, default=False, help="true: oci:DIR:tag, DIR in the workspace, is allowed"
    )
    options.add_argument("--plain-http", type=boolean, default=False, help="true: speak plain http to registries")
    options.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder that holds ca-bundle.crt")
    options.add_argument("--dockerconfig", type=optional_path, metavar="DIR", help="folder that holds config.json")
    options.add_argument("--compression", choices=get_args(Compression), default="gzip", help="of the model's layers")
    options.add_argument(
        "--flavour", choices=get_args(Flavour), default="serving", help="modelcar: the model alone, for KServe to mount"
    )
    options.add_argument(
        "--layout",
        choices=get_args(ModelLayout),
        default="single",
        help="model.bin as one file, or in pieces: sharded for engines with partial pulls, layered for others",
    )
    options.add_argument(
        "--modelcar-base",
        default="",
        metavar="REFERENCE",
        help="image with a shell below a modelcar; empty for none",
    )
    options.add_argument(
        "--attach", type=boolean, default=True, help="false: do not attach SBOM, release record and report to the image"
    )
    options.add_argument(
        "--max-transfer-bytes",
        type=optional_bytes,
        metavar="BYTES",
        help="most that a site may have to pull, else nothing is pushed; empty for no gate",
    )
    options.add_argument(
        "more",
        nargs="*",
        metavar=f"TAG|KEY=VALUE|{SITES} SITE[=PROFILE]",
        help=f"after --: further tags and annotations, then '{SITES}' and the sites to say the bytes for",
    )
    add_results(
        options,
        image_url="reference of the image, without digest",
        image_digest="its digest",
        uploaded_bytes="bytes of the image sent to the registry (or written to the layout), without what is attached",
        upgrade_bytes="bytes that a site with the previous release pulls; empty where none is known",
        largest_transfer_bytes="the most that one of the sites pulls; empty where none is named",
    )
    return options


def run(workspace: Path, options: Options) -> ImageSection:
    """Build the image of the release in `workspace`, put it into its target and write the section `image`.

    Raises GateError where the accuracy gate has not been passed or a site would pull more than it may, InputError for
    files that are not those it passed with, OutsideError where a registry cannot be reached or refuses. Nothing is
    pushed where the gate does not hold.
    """
    sections.clear(workspace, ImageSection, TestSection)  # a test of an earlier image says nothing of this one
    target = parse(options.serving_image, allow_layout=options.allow_layout)
    if target.digest:
        raise InputError(f"{target}: a digest is what comes out; name the target by tag")
    choices = chosen(options)
    files = proven(workspace)
    if not target.tag:
        target = target.with_tag(files.version)
    with tempfile.TemporaryDirectory(dir=workspace, prefix=".image-") as scratch:
        base = find_base(workspace, options, Path(scratch))
        store = open_store(target, workspace, options.access, create=True, beside=base.base.store)
        image = prepare(base.base, files, Path(scratch), choices)
        opened = open_stores(workspace, options.access, store, allow_layout=options.allow_layout)
        reckoning = budget.Reckoning(image.manifest, image.contents, opened)
        transfers = budget.at_sites(workspace, options.sites, reckoning)
        budget.gate(transfers, options.max_transfer_bytes, options.layout)
        built = put(image, store, target.tag, choices)
    pulled = upgrade.pulled_from(store, built.manifest, record.read_previous(workspace))
    section = ImageSection(
        url=str(target),
        digest=built.digest,
        size_bytes=built.manifest.size,
        layers=[
            Layer(digest=layer.digest, size_bytes=layer.size, title=title)
            for layer, title in zip(built.manifest.layers, built.titles, strict=True)
        ],
        base=f"{base.name}@{base.base.manifest.descriptor.digest}",
        base_kind=base.kind,
        flavour=options.flavour,
        layout=options.layout,
        uploaded_bytes=built.uploaded_bytes,
        upgrade_bytes=pulled.whole if pulled else None,
        upgrade_partial_bytes=pulled.partial if pulled else None,
        sites=transfers,
        max_transfer_bytes=options.max_transfer_bytes,
    )
    bill = sbom.encode(sbom.of_release(base.base, base.name, files, target, built.digest))
    write_text(workspace / SBOM, bill.decode())
    sections.write(workspace, section)
    if options.attach:
        evidence_attached.attach(workspace, store, built.manifest, bill)
    tell(target, built, section)
    return section


def chosen(options: Options) -> Choices:
    """How the image is made. Raises InputError for what does not go together."""
    tags, annotations = naming.tags_and_annotations(options.more)
    if options.flavour == "modelcar" and options.layout != "single":
        raise InputError(
            f"layout {options.layout}: a modelcar needs single, as OpenVINO Model Server reads model.bin as one file"
        )
    if options.flavour == "serving" and not options.base_image:
        raise InputError("base-image is empty; name the runtime base, or give flavour modelcar for the model alone")
    if options.flavour != "modelcar" and options.modelcar_base:
        raise InputError("modelcar-base is given, but the flavour is serving; give base-image, or flavour modelcar")
    compression: layers.Compression = "zstd" if options.compression == "zstd" else "fast"
    return Choices(tags, annotations, compression, options.layout, options.flavour)


def find_base(workspace: Path, options: Options, scratch: Path) -> bases.Found:
    """What the image is built on; `scratch` is a folder of its own."""
    serves = options.flavour == "serving"
    wanted = options.base_image if serves else options.modelcar_base
    if not wanted:
        say("a modelcar of the model alone: for image volumes; KServe's sidecar needs a modelcar-base with sh")
        return bases.nothing(scratch / bases.SCRATCH)
    allowed = options.allow_layout
    return bases.find(wanted, workspace, options.access, allow_layout=allowed, cache=options.cache, starts=serves)


def tell(target: Reference, built: Built, section: ImageSection) -> None:
    """Say what was built, or that nothing new was."""
    verb = "nothing new: the target already has" if built.was_there else "built"
    say(f"{verb} {target}@{built.digest}")
    pulled = "" if section.upgrade_bytes is None else f"; an upgrade pulls {megabytes(section.upgrade_bytes)}"
    if section.upgrade_partial_bytes is not None and section.upgrade_partial_bytes != section.upgrade_bytes:
        pulled += f", or {megabytes(section.upgrade_partial_bytes)} where partial pulls are enabled"
    layers = len(built.manifest.layers)
    say(f"{megabytes(section.size_bytes)} in {layers} layers, {megabytes(built.uploaded_bytes)} written{pulled}")


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e6:.2f} MB"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    given = parser().parse_args(argv)

    def action() -> None:
        access = Access(given.ca_bundle, given.dockerconfig, given.plain_http)
        end = given.more.index(SITES) if SITES in given.more else len(given.more)
        options = Options(
            given.serving_image,
            given.base_image,
            given.allow_layout,
            access,
            None,
            given.compression,
            given.attach,
            tuple(given.more[:end]),
            given.flavour,
            given.layout,
            given.modelcar_base,
            tuple(given.more[end + 1 :]),
            given.max_transfer_bytes,
        )
        section = run(given.workspace, options)
        pulled = "" if section.upgrade_bytes is None else str(section.upgrade_bytes)
        write_results(
            given,
            image_url=section.url,
            image_digest=section.digest,
            uploaded_bytes=str(section.uploaded_bytes),
            upgrade_bytes=pulled,
            largest_transfer_bytes=str(max(one.bytes for one in section.sites)) if section.sites else "",
        )

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
