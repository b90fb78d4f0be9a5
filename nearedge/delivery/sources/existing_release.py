"""A release whose image exists, brought to a workspace to be tested and published: its record and golden samples.

The record is the one attached to the image in its registry. Of the image itself only the layers with the identity and
the golden samples are pulled, which lie on top of the model's; its weights stay where they are.
"""

import tempfile
from pathlib import Path

from nearedge.delivery import oci
from nearedge.delivery.acceptance import GOLDEN_FILE
from nearedge.delivery.sources.previous_model import unpack
from nearedge.delivery.store import Store
from nearedge.errors import InputError
from nearedge.files import inside, sha256_file, write_text
from nearedge.release import record
from nearedge.release.record import Record

ABOVE_THE_MODEL = 2
"""Layers: the identity on top, the golden samples below it."""
SLACK = 1 << 20
"""Bytes that a layer may have beyond the golden samples: a tar's heads, an identity."""


def bring(store: Store, manifest: oci.Manifest, found: Record, workspace: Path) -> None:
    """Write `fetched/release.json`, the record `found` of the image, and the golden samples of the release, if any.

    Raises InputError where the image does not hold the golden samples that its record names, OutsideError where the
    store fails.
    """
    if found.evidence.image is not None and found.evidence.image.flavour == "serving":
        golden_samples(store, manifest, found, workspace / GOLDEN_FILE)
    write_text(workspace / record.FETCHED, record.dump(found))


def golden_samples(store: Store, manifest: oci.Manifest, found: Record, into: Path) -> None:
    """Write the golden samples to the file `into`; nothing where the release ships none. Raises as `bring`."""
    identity, golden = found.identity, found.identity.golden
    if golden is None:
        return
    name, most = f"models/{identity.name}/{identity.version}/golden.npz", golden.size_bytes + SLACK
    into.parent.mkdir(parents=True, exist_ok=True)
    for layer in list(reversed(manifest.layers))[:ABOVE_THE_MODEL]:
        if layer.size > most:
            break
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=".layer-") as scratch:
            path = inside(unpack(store, layer, Path(scratch), most), name)
            if path.is_file() and sha256_file(path) == golden.sha256:
                path.replace(into)
                return
    raise InputError(f"{store.where}: holds no golden samples with the sha256 that its release record says")
