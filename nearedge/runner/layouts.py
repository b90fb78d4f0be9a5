"""Reading an OCI image layout on disk: which image a reference names, its manifest and its config, digests checked.

Formats: https://github.com/opencontainers/image-spec (image-layout.md, manifest.md, config.md).
Everything read here may come from strangers.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field, ValidationError

from nearedge.errors import InputError, UnsupportedError
from nearedge.files import inside

REF_NAME = "org.opencontainers.image.ref.name"
OURS = "io.nearedge.runtime"
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
JSON_LIMIT = 4 << 20  # registries refuse larger manifests
DEPTH_LIMIT = 4


class Platform(BaseModel):
    """What machine an image in an index is for."""

    architecture: str = ""
    os: str = ""


class Descriptor(BaseModel):
    """Where content is: its digest and size in bytes."""

    media_type: str = Field("", alias="mediaType")
    digest: str
    size: int = Field(ge=0)
    annotations: dict[str, str] = {}
    platform: Platform | None = None


class Index(BaseModel):
    """index.json, or an index that it names."""

    manifests: list[Descriptor]


class Manifest(BaseModel):
    """The manifest of one image."""

    config: Descriptor
    layers: list[Descriptor]


class Settings(BaseModel):
    """What the image says about running it."""

    entrypoint: list[str] | None = Field(None, alias="Entrypoint")
    cmd: list[str] | None = Field(None, alias="Cmd")
    env: list[str] | None = Field(None, alias="Env")
    user: str = Field("", alias="User")
    working_dir: str = Field("", alias="WorkingDir")
    labels: dict[str, str] | None = Field(None, alias="Labels")


class RootFs(BaseModel):
    """The digests of the layers' tars, without compression."""

    diff_ids: list[str]


class Config(BaseModel):
    """The config of one image."""

    config: Settings = Field(default_factory=lambda: Settings.model_validate({}))
    rootfs: RootFs


@dataclass(frozen=True)
class Image:
    """One image of a layout. `digest` is the manifest's; `tag` is empty where index.json gives it no name."""

    folder: Path
    tag: str
    digest: str
    manifest: Manifest
    config: Config

    @property
    def settings(self) -> Settings:
        """What the image says about running it."""
        return self.config.config

    @property
    def ours(self) -> bool:
        """Whether the image runs `serving_image`: then this environment's own server can take its place."""
        return (self.settings.labels or {}).get(OURS) == "1"


Model = TypeVar("Model", bound=BaseModel)


def is_layout(reference: str) -> bool:
    """Whether `reference` names an image in a layout (`oci:DIR:tag`), not one of a registry."""
    return reference.startswith("oci:")


def find(reference: str, folders: Sequence[Path]) -> Image:
    """The image that `oci:DIR[:tag][@digest]` names, DIR relative to one of `folders` and inside it.

    Raises InputError where there is none, or where it is not what its digest says.
    """
    name, _, digest = reference.removeprefix("oci:").partition("@")
    directory, colon, tag = name.rpartition(":")
    if not colon:
        directory, tag = name, ""
    if not directory or (digest and not DIGEST.match(digest)):
        raise InputError(f"{reference}: not a layout's reference; write oci:DIR:tag or oci:DIR:tag@sha256:…")
    for folder in folders:
        layout = inside_or_none(folder, directory)
        if layout and (layout / "index.json").is_file():
            return read(layout, tag, digest)
    looked = ", ".join(map(str, folders)) or "no folder"
    raise InputError(f"{reference}: no OCI layout {directory!r} (a folder with index.json) in {looked}; check DIR")


def inside_or_none(folder: Path, directory: str) -> Path | None:
    """`folder / directory`, or None where that is not inside `folder`."""
    try:
        return inside(folder, directory)
    except InputError:
        return None


def read(layout: Path, tag: str = "", digest: str = "") -> Image:
    """The image with this tag and this digest in `layout`; with neither, the only one. Raises InputError."""
    index = parse(Index, (layout / "index.json"), (layout / "index.json").read_bytes())
    fitting = [
        entry
        for entry in index.manifests
        if (not tag or entry.annotations.get(REF_NAME) == tag) and (not digest or entry.digest == digest)
    ]
    wanted = f"{tag or 'any tag'}{'@' + digest if digest else ''}"
    if len({entry.digest for entry in fitting}) != 1:
        names = sorted({entry.annotations.get(REF_NAME, entry.digest) for entry in index.manifests})
        count = "no image" if not fitting else f"{len(fitting)} images"
        raise InputError(f"{layout}: {count} for {wanted}; it has {', '.join(names) or 'none'}: name one of them")
    entry = for_this_machine(layout, fitting[0])
    manifest = parse(Manifest, blob_path(layout, entry.digest), blob(layout, entry))
    config = parse(Config, blob_path(layout, manifest.config.digest), blob(layout, manifest.config))
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise InputError(f"{layout}: {entry.digest} has {len(manifest.layers)} layers and its config another number")
    return Image(layout, tag or fitting[0].annotations.get(REF_NAME, ""), entry.digest, manifest, config)


def for_this_machine(layout: Path, entry: Descriptor) -> Descriptor:
    """The manifest's descriptor: `entry` itself, or what an index of several platforms has for linux/amd64."""
    for _ in range(DEPTH_LIMIT):
        if entry.media_type not in INDEXES:
            break
        index = parse(Index, blob_path(layout, entry.digest), blob(layout, entry))
        amd64 = [
            one
            for one in index.manifests
            if one.platform and one.platform == Platform(architecture="amd64", os="linux")
        ]
        if not amd64:
            raise UnsupportedError(f"{layout}: {entry.digest} has no image for linux/amd64; give one that has")
        entry = amd64[0]
    if entry.media_type not in MANIFESTS:
        raise InputError(f"{layout}: {entry.digest} is {entry.media_type or 'of no media type'}, not an image")
    return entry


def blob_path(layout: Path, digest: str) -> Path:
    """The file that holds the content with this digest. Raises InputError where it is no sha256 digest."""
    if not DIGEST.match(digest):
        raise InputError(f"{layout}: {digest[:80]!r} is no sha256 digest")
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def blob(layout: Path, descriptor: Descriptor) -> bytes:
    """The content of a small blob. Raises InputError where it is missing or not what the descriptor says."""
    path = blob_path(layout, descriptor.digest)
    if descriptor.size > JSON_LIMIT:
        raise InputError(f"{path}: {descriptor.size} bytes are too many for a manifest or config")
    if not path.is_file():
        raise InputError(f"{path}: the layout lacks this blob; copy it again")
    content = path.read_bytes() if path.stat().st_size == descriptor.size else b""
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != descriptor.digest:
        raise InputError(f"{path}: not what its digest says; the layout is damaged, copy it again")
    return content


def parse(model: type[Model], path: Path, content: bytes) -> Model:
    """`content` as `model`. Raises InputError that names the first field at fault."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(f"{path}: {where}: {first['msg'].lower()}; not an OCI {model.__name__.lower()}") from error
