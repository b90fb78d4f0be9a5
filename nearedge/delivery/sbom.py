"""The software bill of materials: CycloneDX 1.6 JSON (https://cyclonedx.org/docs/1.6/json/).

A runtime base carries its own as `opt/*/sbom.cdx.json`; the SBOM of a release is that with the model and the image
added. Both are functions of what they list: no time, no serial number, so that the same content has the same digest.
"""

import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import zstandard

from nearedge.delivery import oci
from nearedge.delivery.bases import SCRATCH
from nearedge.delivery.image import Base
from nearedge.delivery.model_layers import ModelFiles
from nearedge.delivery.reference import Reference
from nearedge.files import sha256_file

FILE = "sbom.cdx.json"
PLACE = re.compile(r"(?:\./)?opt/[^/]+/sbom\.cdx\.json")
LAYER_LIMIT, SBOM_LIMIT = 1 << 20, 1 << 20
"""Bytes: layers larger than that are not searched for the base's SBOM, and no SBOM is larger."""

Component = dict[str, Any]


def document(components: Iterable[Component], subject: Component | None = None) -> dict[str, Any]:
    """A bill of `components`, sorted; `subject` is what it is the bill of."""
    ordered = sorted(components, key=lambda one: (one["type"], one["name"], one.get("version", "")))
    made: dict[str, Any] = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    if subject is not None:
        made["metadata"] = {"component": subject}
    return {**made, "components": ordered}


def encode(bill: Mapping[str, Any]) -> bytes:
    """The bill as it is written, the same bytes each time."""
    return (json.dumps(bill, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def package(distribution: Distribution, files: Iterable[tuple[str, Path]]) -> Component:
    """A Python package; the native libraries among its `files` (name in the site folder, file) are parts of it."""
    name, version = distribution.name, distribution.version
    purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
    made: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if licence := licence_of(distribution):
        made["licenses"] = [licence]
    natives = [library(placed, path, purl) for placed, path in sorted(files) if ".so" in Path(placed).name]
    return made | ({"components": natives} if natives else {})


def licence_of(distribution: Distribution) -> dict[str, Any] | None:
    """The licence as the package states it: an SPDX expression, else its own words, None where it has neither."""
    stated = distribution.metadata.json
    expression, words = stated.get("license_expression"), str(stated.get("license", ""))
    if expression:
        return {"expression": expression}
    if not words:
        named = [one.rpartition(" :: ")[2] for one in stated.get("classifier", []) if "License ::" in one]
        words = ", ".join(named)
    return {"license": {"name": words.splitlines()[0][:200]}} if words else None


def library(placed: str, path: Path, owner: str) -> Component:
    """A native library, by its path in the image."""
    return {
        "type": "library",
        "bom-ref": f"{owner}#{placed}",
        "name": placed,
        "hashes": [{"alg": "SHA-256", "content": sha256_file(path)}],
    }


def platform(name: str, version: str) -> Component:
    """An interpreter."""
    purl = f"pkg:generic/{name}@{version}"
    return {"type": "platform", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def of_base(base: Base) -> dict[str, Any] | None:
    """The SBOM that a runtime base carries, None where it has none (or in no layer that is small enough to search)."""
    for layer in reversed(base.manifest.layers):
        kind = oci.OCI_LAYERS.get(layer.media_type)
        if layer.size <= LAYER_LIMIT and kind in (oci.LAYER_GZIP, oci.LAYER_ZSTD):
            found = in_layer(base.store.read(layer, LAYER_LIMIT), zstd=kind == oci.LAYER_ZSTD)
            if found is not None:
                return found
    return None


def in_layer(blob: bytes, *, zstd: bool = False) -> dict[str, Any] | None:
    """The SBOM in a compressed layer, None where there is none that can be read."""
    try:
        content = unpacked(blob, 16 * SBOM_LIMIT, zstd=zstd)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                if member.isfile() and PLACE.fullmatch(member.name) and member.size <= SBOM_LIMIT:
                    taken = archive.extractfile(member)
                    found = json.loads(taken.read()) if taken else None
                    listed = isinstance(found, dict) and isinstance(found.get("components"), list)
                    return found if listed else None
    except (zlib.error, zstandard.ZstdError, tarfile.TarError, ValueError, EOFError, RecursionError):
        return None
    return None


def unpacked(blob: bytes, limit: int, *, zstd: bool) -> bytes:
    """The first `limit` bytes of what is compressed."""
    if zstd:
        with zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True) as stream:
            return stream.read(limit)
    return zlib.decompressobj(31).decompress(blob, limit)


def of_release(base: Base, base_name: str, files: ModelFiles, target: Reference, digest: str) -> dict[str, Any]:
    """The bill of a serving image: what its base lists, the base itself, and the model by what was proven."""
    below = of_base(base)
    base_digest = base.manifest.descriptor.digest
    container = {"type": "container", "bom-ref": f"base@{base_digest}", "name": base_name, "version": base_digest}
    subject = {
        "type": "container",
        "bom-ref": f"{target.without_digest}@{digest}",
        "name": str(target.without_digest),
        "version": files.version,
        "hashes": [{"alg": "SHA-256", "content": digest.partition(":")[2]}],
    }
    built_on = [container] if base_name != SCRATCH else []
    return document([*(below["components"] if below else []), *built_on, model(files)], subject)


def model(files: ModelFiles) -> Component:
    """The model, its files by the sha256 of the release's record."""
    reference = f"model:{files.name}@{files.version}"
    listed = [("model.xml", files.xml_sha256), ("model.bin", files.bin_sha256)]
    listed += [("golden.npz", files.golden_sha256)] if files.golden else []
    parts = [
        {
            "type": "file",
            "bom-ref": f"{reference}#{name}",
            "name": f"{files.folder}/{name}",
            "hashes": [{"alg": "SHA-256", "content": sha256}],
        }
        for name, sha256 in listed
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": files.name,
        "version": files.version,
        "components": parts,
    }
