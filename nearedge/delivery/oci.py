"""OCI documents: descriptors, manifests, indexes and configs, and Docker's schema 2 forms of them.

Sources: OCI image specification 1.1 (descriptor.md, manifest.md, image-index.md, config.md), Docker image manifest
version 2 schema 2. What is read here was written by others: sizes are capped, digests and types are checked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nearedge.delivery import digest as digests
from nearedge.errors import OutsideError, UnsupportedError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = LAYER + "+gzip"
LAYER_ZSTD = LAYER + "+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
INDEXES = (INDEX, DOCKER_INDEX)
ACCEPT = ", ".join((*MANIFESTS, *INDEXES))
OCI_LAYERS = {
    LAYER: LAYER,
    LAYER_GZIP: LAYER_GZIP,
    LAYER_ZSTD: LAYER_ZSTD,
    DOCKER_LAYER_GZIP: LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": LAYER_ZSTD,
}
"""The OCI name for each layer type that an image may have; the bytes are the same."""

LARGEST_DOCUMENT = 4 << 20
"""Bytes; registries refuse larger manifests."""
MOST_ENTRIES = 1000
OS, ARCHITECTURE = "linux", "amd64"
REF_NAME = "org.opencontainers.image.ref.name"
TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class Descriptor:
    """What names a blob: its media type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The descriptor as it stands in a document."""
        body: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return body | ({"annotations": dict(self.annotations)} if self.annotations else {})


class Document(Protocol):
    """What is stored by its exact bytes: a manifest or an index."""

    @property
    def descriptor(self) -> Descriptor:
        """Names the bytes."""

    @property
    def content(self) -> bytes:
        """The bytes."""


@dataclass(frozen=True)
class Manifest:
    """An image's or an artifact's manifest, with its own descriptor and exact bytes."""

    descriptor: Descriptor
    content: bytes
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]
    artifact_type: str

    @property
    def size(self) -> int:
        """Bytes of manifest, config and layers together."""
        return self.descriptor.size + self.config.size + sum(layer.size for layer in self.layers)


def encode(document: Mapping[str, Any]) -> bytes:
    """JSON bytes, the same for the same document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode(content: bytes, where: str) -> dict[str, Any]:
    """The JSON object in `content`. Raises OutsideError where it is none or larger than manifests are."""
    if len(content) > LARGEST_DOCUMENT:
        raise OutsideError(f"{where}: larger than {LARGEST_DOCUMENT >> 20} MiB, which no manifest or config should be")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise OutsideError(f"{where}: is no JSON document") from error
    if not isinstance(document, dict):
        raise OutsideError(f"{where}: is no JSON object")
    return document


def descriptor(value: object, where: str) -> Descriptor:
    """The descriptor in a document. Raises OutsideError where a part is missing or wrong."""
    if not isinstance(value, dict):
        raise OutsideError(f"{where}: is no descriptor; the manifest is damaged")
    media_type, size = value.get("mediaType"), value.get("size")
    if not isinstance(media_type, str) or len(media_type) > 255:
        raise OutsideError(f"{where}: has no media type; the manifest is damaged")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 50:
        raise OutsideError(f"{where}: {shown(size)} is no size; the manifest is damaged")
    return Descriptor(media_type, digests.require(value.get("digest"), where), size, texts(value.get("annotations")))


def shown(value: object) -> str:
    """What somebody else wrote, short and quoted, so that a message stays one harmless line."""
    return repr(str(value)[:60])


def texts(value: object) -> dict[str, str]:
    """The entries of `value` that are text by text; nothing where it is no object."""
    pairs = value.items() if isinstance(value, dict) else ()
    return {key: text for key, text in pairs if isinstance(key, str) and isinstance(text, str)}


def media_type(document: Mapping[str, Any], said: str = "") -> str:
    """The document's own media type, else what the registry `said`, else what its keys show."""
    own = document.get("mediaType")
    if isinstance(own, str) and own:
        return own
    if said in (*MANIFESTS, *INDEXES):
        return said
    return INDEX if "manifests" in document else MANIFEST


def manifest(content: bytes, where: str, said: str = "") -> Manifest:
    """The manifest in `content`. Raises OutsideError where it is damaged, UnsupportedError for an older schema."""
    document = decode(content, where)
    if document.get("schemaVersion") != 2:
        said_version = shown(document.get("schemaVersion"))
        raise UnsupportedError(f"{where}: schemaVersion {said_version}; only 2 is supported")
    kind = media_type(document, said)
    if kind not in MANIFESTS:
        raise UnsupportedError(f"{where}: is a {shown(kind)}, not an image manifest")
    layers = listed(document, "layers", where)
    own = Descriptor(kind, digests.of_bytes(content), len(content))
    return Manifest(
        descriptor=own,
        content=content,
        config=descriptor(document.get("config"), f"{where}: config"),
        layers=tuple(descriptor(layer, f"{where}: layer {number}") for number, layer in enumerate(layers)),
        annotations=texts(document.get("annotations")),
        artifact_type=str(document.get("artifactType") or ""),
    )


def listed(document: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """The list at `key`, no longer than sense. Raises OutsideError otherwise."""
    value = document.get(key)
    if not isinstance(value, list) or len(value) > MOST_ENTRIES:
        raise OutsideError(f"{where}: {key} is no list of at most {MOST_ENTRIES}; the manifest is damaged")
    return value


def for_platform(document: Mapping[str, Any], where: str) -> Descriptor:
    """The manifest for linux/amd64 that an index lists. Raises UnsupportedError where it lists none."""
    seen = []
    for number, value in enumerate(listed(document, "manifests", where)):
        platform = value.get("platform") if isinstance(value, dict) else None
        found = platform if isinstance(platform, dict) else {}
        system, architecture = found.get("os", OS), found.get("architecture", ARCHITECTURE)
        if (system, architecture) == (OS, ARCHITECTURE):
            return descriptor(value, f"{where}: manifest {number}")
        seen.append(shown(f"{system}/{architecture}"))
    raise UnsupportedError(
        f"{where}: is for {', '.join(seen[:8]) or 'no platform'}; nearedge needs {OS}/{ARCHITECTURE}"
    )
