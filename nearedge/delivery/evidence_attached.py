"""SBOM and release record beside an image, as OCI referrers of it."""

from pathlib import Path

from nearedge.delivery import oci, referrers
from nearedge.delivery.layout import Layout
from nearedge.delivery.proven import SOURCE
from nearedge.delivery.repository import Repository
from nearedge.progress import say
from nearedge.release import description, profile, record


def attach(workspace: Path, store: Layout | Repository, image: oci.Manifest, bill: bytes) -> None:
    """Attach SBOM and release record to the image; what it has already stays, as evidence is gathered once."""
    name = description.read(workspace / SOURCE / description.FILE_NAME).target.profile
    whole = record.dump(record.assemble(workspace, profile.read(name, workspace / SOURCE).name)).encode()
    attachments = (
        referrers.Attachment(referrers.SBOM_TYPE, "sbom.cdx.json", bill),
        referrers.Attachment(referrers.RECORD_TYPE, record.IDENTITY_FILE, whole),
    )
    sent = referrers.attach(store, image.descriptor, attachments)
    if sent:
        say(f"attached SBOM and release record, {sent / 1e6:.2f} MB")
