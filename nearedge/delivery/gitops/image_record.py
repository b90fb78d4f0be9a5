"""The record of a release whose image exists, read from what is attached to the image in its registry.

The record that build-serving-image attached holds what was known then: all but the test of the image. Of the image it
may say another place, where the image was mirrored since, or nothing.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nearedge.delivery import oci, referrers, upgrade
from nearedge.delivery.image import MODEL_LABEL, RUNTIME_LABEL, VERSION_LABEL
from nearedge.delivery.layout import Layout
from nearedge.delivery.reference import Reference
from nearedge.delivery.repository import Repository
from nearedge.errors import InputError
from nearedge.release import record as records
from nearedge.release.description import Name
from nearedge.release.record import Record
from nearedge.release.sections import ImageSection, Layer

MODEL_NAME: TypeAdapter[str] = TypeAdapter(Name)
MOST_BYTES = 4 << 20
"""Of a record; one of ours has some ten thousand."""
BASE_NAME, BASE_DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"


def read(store: Layout | Repository, reference: Reference, previous: Record | None = None) -> Record:
    """The record of the image that `reference` names in `store`, with the image as it is there.

    What sites pulled of it when it was built says nothing of now and is left out.

    Raises OutsideError where there is no such image, InputError where no record of ours is attached to it or one of
    another image is, UnsupportedError for a record that is newer than we read.
    """
    manifest = store.resolve(reference.which)
    where = f"{reference.without_digest}@{manifest.descriptor.digest}"
    record = records.parse(attached(store, manifest, where), f"the record attached to {where}")
    labels = labels_of(store, manifest, where)
    check_model(labels, record, where)
    known = record.evidence.image
    if known is not None and known.digest != manifest.descriptor.digest:
        raise InputError(f"the record attached to {where}: is that of {known.digest}; attach the image's own")
    section = known or of_manifest(manifest, labels)
    place: dict[str, Any] = {"url": reference.without_digest, "sites": [], "max_transfer_bytes": None}
    if previous is not None:
        place["upgrade_bytes"] = upgrade.pulled_bytes(manifest, previous)
    evidence = record.evidence.model_copy(update={"image": section.model_copy(update=place)})
    return record.model_copy(update={"evidence": evidence})


def attached(store: Layout | Repository, manifest: oci.Manifest, where: str) -> str:
    """The text of the record attached to an image. Raises InputError where there is none."""
    for entry in referrers.listed(store, manifest.descriptor):
        if entry.get("artifactType") == referrers.RECORD_TYPE:
            artifact = store.resolve(str(entry.get("digest")))
            if len(artifact.layers) == 1:
                return store.read(artifact.layers[0], MOST_BYTES).decode(errors="replace")
    raise InputError(
        f"{where}: no release record is attached to it; build it with attach=true, or mirror it with its referrers"
    )


def labels_of(store: Layout | Repository, manifest: oci.Manifest, where: str) -> dict[str, str]:
    """The labels of an image."""
    config = oci.decode(store.read(manifest.config, oci.LARGEST_DOCUMENT), f"{where}: config").get("config")
    return oci.texts(config.get("Labels")) if isinstance(config, dict) else {}


def check_model(labels: Mapping[str, str], record: Record, where: str) -> None:
    """Raise InputError where the image's own labels name another model or version than the record."""
    identity = record.identity
    try:
        MODEL_NAME.validate_python(identity.name)
    except ValidationError as error:  # it becomes a folder's name
        raise InputError(f"the record attached to {where}: {oci.shown(identity.name)} is no name of a model") from error
    for label, told in ((MODEL_LABEL, identity.name), (VERSION_LABEL, identity.version)):
        if labels.get(label) != told:
            said = oci.shown(labels.get(label, "nothing"))
            raise InputError(f"the record attached to {where}: is of {told!r}, and the image's {label} is {said}")


def of_manifest(manifest: oci.Manifest, labels: Mapping[str, str]) -> ImageSection:
    """The section `image` as far as the image tells it; what was uploaded and what an upgrade pulls it does not."""
    name, digest = (manifest.annotations.get(key, "") for key in (BASE_NAME, BASE_DIGEST))
    return ImageSection(
        url="",
        digest=manifest.descriptor.digest,
        size_bytes=manifest.size,
        layers=[
            Layer(digest=layer.digest, size_bytes=layer.size, title=layer.annotations.get(oci.TITLE, ""))
            for layer in manifest.layers
        ],
        base=f"{name}@{digest}" if digest else name,
        base_kind="registry" if name else "scratch",
        uploaded_bytes=0,
        upgrade_bytes=None,
        flavour="serving" if RUNTIME_LABEL in labels else "modelcar",
    )
