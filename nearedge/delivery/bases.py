"""What an image is built on: a runtime base by reference or of this machine's Python; for a modelcar, any or none."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from nearedge.delivery import oci
from nearedge.delivery.access import Access
from nearedge.delivery.digest import of_bytes
from nearedge.delivery.image import EPOCH, Base, open_base
from nearedge.delivery.layout import Layout
from nearedge.delivery.reference import parse
from nearedge.delivery.store import open_store

HOST, SCRATCH = "host", "scratch"
Kind = Literal["registry", "layout", "host", "scratch"]


@dataclass(frozen=True)
class Found:
    """A base, its name without digest, and its kind, as the section has both."""

    base: Base
    name: str
    kind: Kind


def find(
    wanted: str, workspace: Path, access: Access, *, allow_layout: bool, cache: Path | None = None, starts: bool = True
) -> Found:
    """The base that `wanted` says: a reference, or `host`. Raises what `open_base` raises.

    `starts` False takes one that starts nothing by itself; `cache` is where a base of this machine is kept.
    """
    if wanted == HOST:
        from nearedge.delivery.host.host_base import host_base  # what packs a Python is of no use otherwise
        from nearedge.delivery.host.host_image import TAG

        return Found(open_base(host_base(cache), TAG), HOST, "host")
    reference = parse(wanted, allow_layout=allow_layout)
    base = open_base(open_store(reference, workspace, access), reference.which, starts=starts)
    if reference.is_layout:
        return Found(base, reference.without_digest, "layout")
    name = f"{reference.name}:{reference.tag}" if reference.tag else reference.name
    return Found(replace(base, name=name), reference.without_digest, "registry")


def nothing(scratch: Path) -> Found:
    """A base without files, for an image that only carries some: an empty layout in the new folder `scratch`."""
    config = {
        "os": oci.OS,
        "architecture": oci.ARCHITECTURE,
        "created": EPOCH,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [],
    }
    encoded = oci.encode(config)
    described = oci.Descriptor(oci.CONFIG, of_bytes(encoded), len(encoded))
    document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": described.to_json(), "layers": []}
    manifest = oci.manifest(oci.encode(document), SCRATCH)
    return Found(Base(Layout.create(scratch), manifest, config), SCRATCH, "scratch")
