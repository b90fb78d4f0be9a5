"""`nearedge build-serving-image`: what tasks/build-serving-image runs."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from nearedge.delivery import naming, referrers, sbom, upgrade
from nearedge.delivery.access import Access
from nearedge.delivery.image import Base, Built, Choices, build, open_base
from nearedge.delivery.layout import Layout
from nearedge.delivery.model_layers import ModelFiles
from nearedge.delivery.reference import Reference, parse
from nearedge.delivery.repository import Repository
from nearedge.delivery.store import open_store
from nearedge.errors import GateError, InputError
from nearedge.files import write_text
from nearedge.program import add_results, boolean, guarded, new_parser, optional_path, write_results
from nearedge.progress import say
from nearedge.release import description, profile, record, sections
from nearedge.release.sections import (
    GoldenSection,
    ImageSection,
    Layer,
    OptimizationSection,
    VerificationDeployedSection,
)

NAME = "build-serving-image"
SOURCE, DEPLOYED, GOLDEN = "source", "ir/deployed", "golden/golden.npz"
SBOM = "release/sbom.json"
HOST = "host"
Kind = Literal["registry", "layout", "host"]
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
        "--attach", type=boolean, default=True, help="false: do not attach SBOM and release record to the image"
    )
    options.add_argument("more", nargs="*", metavar="TAG|KEY=VALUE", help="further tags and annotations, after --")
    add_results(
        options,
        image_url="reference of the image, without digest",
        image_digest="its digest",
        uploaded_bytes="bytes sent to the registry (or written to the layout)",
        upgrade_bytes="bytes that a site with the previous release pulls; empty where none is known",
    )
    return options


def run(workspace: Path, options: Options) -> ImageSection:
    """Build the image of the release in `workspace`, put it into its target and write the section `image`.

    Raises GateError where the accuracy gate has not been passed, InputError for files that are not those it passed
    with, OutsideError where a registry cannot be reached or refuses.
    """
    sections.clear(workspace, ImageSection)
    target = parse(options.serving_image, allow_layout=options.allow_layout)
    if target.digest:
        raise InputError(f"{target}: a digest is what comes out; name the target by tag")
    tags, annotations = naming.tags_and_annotations(options.more)
    choices = Choices(tags, annotations, "zstd" if options.compression == "zstd" else "fast")
    files = proven(workspace)
    if not target.tag:
        target = target.with_tag(files.version)
    base, base_name, kind = find_base(workspace, options)
    store = open_store(target, workspace, options.access, create=True, beside=base.store)
    with tempfile.TemporaryDirectory(dir=workspace, prefix=".image-") as scratch:
        built = build(base, files, store, target.tag, Path(scratch), choices)
    section = ImageSection(
        url=str(target),
        digest=built.digest,
        size_bytes=built.manifest.size,
        layers=[
            Layer(digest=layer.digest, size_bytes=layer.size, title=title)
            for layer, title in zip(built.manifest.layers, built.titles, strict=True)
        ],
        base=f"{base_name}@{base.manifest.descriptor.digest}",
        base_kind=kind,
        uploaded_bytes=built.uploaded_bytes,
        upgrade_bytes=upgrade.pulled_bytes(built.manifest, record.read_previous(workspace)),
    )
    bill = sbom.encode(sbom.of_release(base, base_name, files, target, built.digest))
    write_text(workspace / SBOM, bill.decode())
    sections.write(workspace, section)
    if options.attach:
        attach(workspace, store, built, bill)
    tell(target, built, section)
    return section


def attach(workspace: Path, store: Layout | Repository, built: Built, bill: bytes) -> None:
    """Attach SBOM and release record to the image; what it has already stays, as evidence is gathered once."""
    name = description.read(workspace / SOURCE / description.FILE_NAME).target.profile
    whole = record.dump(record.assemble(workspace, profile.read(name, workspace / SOURCE).name)).encode()
    attachments = (
        referrers.Attachment(referrers.SBOM_TYPE, "sbom.cdx.json", bill),
        referrers.Attachment(referrers.RECORD_TYPE, record.IDENTITY_FILE, whole),
    )
    sent = referrers.attach(store, built.manifest.descriptor, attachments)
    if sent:
        say(f"attached SBOM and release record, {megabytes(sent)}")


def proven(workspace: Path) -> ModelFiles:
    """The model's files with the sha256 they were proven with, and the identity that lies beside them.

    Raises GateError where no proof of what will be deployed is there, or where it did not hold.
    """
    gate = sections.read_optional(workspace, VerificationDeployedSection)
    if gate is None:
        raise GateError(
            f"{workspace}: no section verification-deployed: the accuracy gate has not been passed; run verify-model "
            "with stage deployed"
        )
    if gate.metric is not None and gate.metric.drop > gate.metric.allowed_drop:
        raise GateError(
            f"{workspace}: {gate.metric.name} drops by {gate.metric.drop:g}, allowed are {gate.metric.allowed_drop:g}; "
            "no image is built of it"
        )
    wanted = description.read(workspace / SOURCE / description.FILE_NAME)
    name = profile.read(wanted.target.profile, workspace / SOURCE).name
    identity = record.identity(workspace, name)
    optimization = sections.read(workspace, OptimizationSection)
    golden = sections.read_optional(workspace, GoldenSection)
    return ModelFiles(
        name=identity.name,
        version=identity.version,
        xml=workspace / DEPLOYED / "model.xml",
        xml_sha256=optimization.xml_sha256,
        bin=workspace / DEPLOYED / "model.bin",
        bin_sha256=optimization.bin_sha256,
        golden=workspace / GOLDEN if golden else None,
        golden_sha256=golden.sha256 if golden else "",
        identity=record.dump(identity),
    )


def find_base(workspace: Path, options: Options) -> tuple[Base, str, Kind]:
    """The runtime base, its name without digest, and its kind as the section has it."""
    if options.base_image == HOST:
        from nearedge.delivery.host.host_base import host_base  # what packs a Python is of no use otherwise
        from nearedge.delivery.host.host_image import TAG

        layout = host_base(options.cache)
        return open_base(layout, TAG), HOST, "host"
    reference: Reference = parse(options.base_image, allow_layout=options.allow_layout)
    store = open_store(reference, workspace, options.access)
    kind: Kind = "layout" if reference.is_layout else "registry"
    base = open_base(store, reference.which)
    if not reference.is_layout:
        base = replace(base, name=f"{reference.name}:{reference.tag}" if reference.tag else reference.name)
    return base, reference.without_digest, kind


def tell(target: Reference, built: Built, section: ImageSection) -> None:
    """Say what was built, or that nothing new was."""
    verb = "nothing new: the target already has" if built.was_there else "built"
    say(f"{verb} {target}@{built.digest}")
    pulled = "" if section.upgrade_bytes is None else f"; an upgrade pulls {megabytes(section.upgrade_bytes)}"
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
        options = Options(
            given.serving_image,
            given.base_image,
            given.allow_layout,
            access,
            None,
            given.compression,
            given.attach,
            tuple(given.more),
        )
        section = run(given.workspace, options)
        pulled = "" if section.upgrade_bytes is None else str(section.upgrade_bytes)
        write_results(
            given,
            image_url=section.url,
            image_digest=section.digest,
            uploaded_bytes=str(section.uploaded_bytes),
            upgrade_bytes=pulled,
        )

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
