"""SBOM, release record and report beside an image, as OCI referrers of it."""

import zlib
from pathlib import Path

from nearedge.delivery import oci, referrers
from nearedge.delivery.layout import Layout
from nearedge.delivery.proven import SOURCE
from nearedge.delivery.repository import Repository
from nearedge.errors import InputError
from nearedge.progress import say
from nearedge.release import description, profile, record

REPORT = Path("report", "report.html")
"""In the workspace: the whole report in one file, as benchmark-model writes it."""
LARGEST_REPORT = 8 << 20
"""Bytes of a report, unpacked; one of ours has some ten thousand."""
GZIP = 31
"""zlib's window bits for a gzip header, which holds no time and no name."""


def attach(workspace: Path, store: Layout | Repository, image: oci.Manifest, bill: bytes) -> None:
    """Attach SBOM, record and report to the image; what it has already stays, as evidence is gathered once."""
    name = description.read(workspace / SOURCE / description.FILE_NAME).target.profile
    whole = record.dump(record.assemble(workspace, profile.read(name, workspace / SOURCE).name)).encode()
    attachments = [
        referrers.Attachment(referrers.SBOM_TYPE, "sbom.cdx.json", bill),
        referrers.Attachment(referrers.RECORD_TYPE, record.IDENTITY_FILE, whole),
    ]
    page = workspace / REPORT
    if page.is_file() and not page.is_symlink() and page.stat().st_size <= LARGEST_REPORT:
        attachments.append(referrers.Attachment(referrers.REPORT_TYPE, "report.html.gz", packed(page.read_bytes())))
    sent = referrers.attach(store, image.descriptor, attachments)
    if sent:
        say(f"attached SBOM, release record{' and report' if len(attachments) > 2 else ''}, {sent / 1e6:.2f} MB")


def report(store: Layout | Repository, image: oci.Manifest) -> bytes:
    """The report that is attached to an image, as HTML. Raises InputError where there is none, OutsideError."""
    for entry in referrers.listed(store, image.descriptor):
        if entry.get("artifactType") == referrers.REPORT_TYPE:
            artifact = store.resolve(str(entry.get("digest")))
            if len(artifact.layers) == 1:
                return unpacked(store.read(artifact.layers[0], LARGEST_REPORT))
    raise InputError(
        f"{image.descriptor.digest}: no report is attached to it; build it with attach=true behind benchmark-model"
    )


def packed(page: bytes) -> bytes:
    """A page in gzip, the same for the same page."""
    packing = zlib.compressobj(9, zlib.DEFLATED, GZIP)
    return packing.compress(page) + packing.flush()


def unpacked(content: bytes) -> bytes:
    """What `packed` packed. Raises InputError for what is damaged or unpacks to more than a report can be."""
    unpacking = zlib.decompressobj(GZIP)
    try:
        page = unpacking.decompress(content, LARGEST_REPORT)
    except zlib.error as error:
        raise InputError(f"the attached report: is damaged ({error})") from error
    if not unpacking.eof:
        raise InputError(f"the attached report: is cut short, or larger than {LARGEST_REPORT >> 20} MiB unpacked")
    return page
