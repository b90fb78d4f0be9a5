"""The serving image: a runtime base with a model in layers of its own.

`build` is a function of its inputs: the same base, files and identity give the same digest, on any machine, to a
layout and to a registry. No container runs and no base layer is unpacked; layers that the target has are not sent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nearedge.delivery import chunked, oci
from nearedge.delivery import digest as digests
from nearedge.delivery.layers import Compression, Layer
from nearedge.delivery.layout import Layout
from nearedge.delivery.model_layers import Flavour, ModelFiles, ModelLayout, model_layers, modelcar_layers
from nearedge.delivery.repository import Repository
from nearedge.errors import InputError, UnsupportedError

CONFIG_LIMIT = 4 << 20
EPOCH = "1970-01-01T00:00:00Z"
RUNTIME_LABEL, MODEL_LABEL, VERSION_LABEL = "io.nearedge.runtime", "io.nearedge.model", "io.nearedge.version"
RUNTIME_CONTRACT = "1"
ANNOTATION = "org.opencontainers.image."

StoreOf = Layout | Repository


@dataclass(frozen=True)
class Base:
    """A runtime base: its manifest and config, the store that holds its layers, and its name without registry."""

    store: StoreOf
    manifest: oci.Manifest
    config: dict[str, Any]
    name: str = ""

    @property
    def diff_ids(self) -> list[str]:
        """Digests of the uncompressed layers, lowest first."""
        return list(self.config["rootfs"]["diff_ids"])


@dataclass(frozen=True)
class Choices:
    """How the image is made: more tags, annotations of the user's own (labels, too), compression and layout of ours."""

    tags: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    compression: Compression = "fast"
    layout: ModelLayout = "single"
    flavour: Flavour = "serving"


@dataclass(frozen=True)
class Prepared:
    """An image that is known in full and in no target yet; its own layers lie in files."""

    base: Base
    manifest: oci.Manifest
    config: bytes
    layers: tuple[Layer, ...]

    def contents(self, layer: oci.Descriptor) -> chunked.Contents:
        """The table of contents of one of its zstd:chunked layers, ours or the base's."""
        own = {one.descriptor.digest: one for one in self.layers}.get(layer.digest)
        store = chunked.LayerFile(own.title, own.path) if own else self.base.store
        return chunked.read_contents(store, layer)


@dataclass(frozen=True)
class Built:
    """An image in its target."""

    manifest: oci.Manifest
    titles: tuple[str, ...]
    uploaded_bytes: int
    was_there: bool

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return self.manifest.descriptor.digest


def open_base(store: StoreOf, which: str, *, starts: bool = True) -> Base:
    """The base that `which` (a tag or digest) names in `store`; one that starts something, unless `starts` is False.

    Raises OutsideError where it is missing or damaged, UnsupportedError for another platform or foreign layers.
    """
    manifest = store.resolve(which)
    where = f"{store.where}: {which}"
    if manifest.config.media_type not in (oci.CONFIG, oci.DOCKER_CONFIG):
        raise UnsupportedError(f"{where}: is an artifact, not an image ({oci.shown(manifest.config.media_type)})")
    config = oci.decode(store.read(manifest.config, CONFIG_LIMIT), f"{where}: config")
    platform = (config.get("os"), config.get("architecture"))
    if platform != (oci.OS, oci.ARCHITECTURE):
        raise UnsupportedError(
            f"{where}: is for {oci.shown('/'.join(map(str, platform)))}; nearedge needs {oci.OS}/{oci.ARCHITECTURE}"
        )
    for layer in manifest.layers:
        if layer.media_type not in oci.OCI_LAYERS:
            raise UnsupportedError(
                f"{where}: has a layer of type {oci.shown(layer.media_type)}, which cannot be carried over"
            )
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if (
        not isinstance(diff_ids, list)
        or len(diff_ids) != len(manifest.layers)
        or not all(map(digests.is_digest, diff_ids))
    ):
        raise InputError(f"{where}: config and manifest do not name the same layers; the image is damaged")
    settings = config.get("config")
    if not isinstance(settings, dict) or (starts and not (settings.get("Entrypoint") or settings.get("Cmd"))):
        raise InputError(f"{where}: starts nothing (no entrypoint); give a runtime base, such as nearedge/runtime")
    return Base(store, manifest, config)


def new_config(base: Base, layers: list[Layer], labels: Mapping[str, str]) -> dict[str, Any]:
    """The base's config with our layers, history and labels; `created` stays the base's, since we add no time."""
    created = base.config.get("created")
    created = created if isinstance(created, str) else EPOCH
    settings = dict(base.config["config"])
    settings["Labels"] = {**oci.texts(settings.get("Labels")), **labels}
    history = base.config.get("history")
    ours = [{"created": created, "created_by": f"nearedge: {layer.title}"} for layer in layers]
    config = dict(base.config) | {
        "created": created,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [*base.diff_ids, *(layer.diff_id for layer in layers)]},
    }
    if isinstance(history, list):
        config["history"] = [*history, *ours]
    return config


def new_manifest(
    config: oci.Descriptor, base: tuple[oci.Descriptor, ...], layers: list[Layer], annotations: Mapping[str, str]
) -> oci.Manifest:
    """The image's manifest. Docker's layer types become OCI's, the bytes being the same; annotations of layers stay.

    Engines find the table of contents of a zstd:chunked layer by its annotations.
    """
    below = [replace(layer, media_type=oci.OCI_LAYERS[layer.media_type]) for layer in base]
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in (*below, *(layer.descriptor for layer in layers))],
        "annotations": dict(annotations),
    }
    return oci.manifest(oci.encode(document), "the new manifest")


def build(
    base: Base, files: ModelFiles, target: StoreOf, tag: str, scratch: Path, choices: Choices | None = None
) -> Built:
    """Put the image of `base` and `files` into `target` under `tag`; `scratch` is a folder for the new layers.

    Raises InputError where a model file is not the one that was proven, OutsideError where the target refuses.
    """
    return put(prepare(base, files, scratch, choices), target, tag, choices)


def prepare(base: Base, files: ModelFiles, scratch: Path, choices: Choices | None = None) -> Prepared:
    """Make the image's layers in the folder `scratch`, its config and its manifest; no target is asked for anything.

    Raises InputError where a model file is not the one that was proven.
    """
    chosen = choices or Choices()
    serves = chosen.flavour == "serving"
    if serves:
        layers = model_layers(files, scratch, chosen.compression, chosen.layout)
    else:
        layers = modelcar_layers(files, scratch, chosen.compression)
    described_as = {**annotations(files, base, serves=serves), **chosen.annotations}
    runtime = {RUNTIME_LABEL: RUNTIME_CONTRACT} if serves else {}
    labels = {**runtime, MODEL_LABEL: files.name, VERSION_LABEL: files.version, **described_as}
    config = oci.encode(new_config(base, layers, labels))
    described = oci.Descriptor(oci.CONFIG, digests.of_bytes(config), len(config))
    manifest = new_manifest(described, base.manifest.layers, layers, described_as)
    return Prepared(base, manifest, config, tuple(layers))


def put(image: Prepared, target: StoreOf, tag: str, choices: Choices | None = None) -> Built:
    """Put an image into `target` under `tag` and the choices' own; what is there is not sent. Raises OutsideError."""
    base, manifest = image.base, image.manifest
    tags = tuple(dict.fromkeys((tag, *(choices or Choices()).tags)))
    there = [target.find(name) for name in tags]
    was_there = all(found is not None and found.content == manifest.content for found in there)
    uploaded = sum(target.adopt(layer, base.store) for layer in base.manifest.layers)
    uploaded += sum(target.add_file(layer.descriptor, layer.path) for layer in image.layers)
    uploaded += target.add_bytes(manifest.config, image.config) + sum(target.publish(manifest, name) for name in tags)
    return Built(manifest, titles(base, image.layers), uploaded, was_there)


def annotations(files: ModelFiles, base: Base, *, serves: bool = True) -> dict[str, str]:
    """What the manifest's annotations and the config's labels say, by the names that OCI defines for it.

    `base.name` is without the registry: the same base from a mirror gives the same digest.
    """
    how = "served with the Open Inference Protocol" if serves else "to be mounted beside a server"
    built_on = {"base.digest": base.manifest.descriptor.digest, "base.name": base.name}
    said = {
        "title": files.name,
        "version": files.version,
        "description": f"Model {files.name}, version {files.version}, {how}",
        "licenses": oci.texts(base.config["config"].get("Labels")).get(f"{ANNOTATION}licenses", ""),
        **(built_on if base.manifest.layers else {}),
    }
    return {f"{ANNOTATION}{name}": text for name, text in said.items() if text}


def titles(base: Base, layers: Iterable[Layer]) -> tuple[str, ...]:
    """A name for each layer, for people: the base's by number or by the title its manifest gives."""
    below = [layer.annotations.get(oci.TITLE) or f"base {n}" for n, layer in enumerate(base.manifest.layers, 1)]
    return (*below, *(layer.title for layer in layers))
