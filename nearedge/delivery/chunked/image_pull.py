"""How many bytes a site pulls to go from one image to the next, both of which a store holds.

`upgrade.pulled_bytes` answers the same from a record alone, for whole blobs only, where no store is reachable.
"""

from dataclasses import dataclass

from nearedge.delivery import oci
from nearedge.delivery.chunked.contents import Contents
from nearedge.delivery.chunked.partial_pull import CURRENT, Engine, needed
from nearedge.delivery.chunked.reader import is_chunked, read_contents
from nearedge.delivery.layout import Layout
from nearedge.delivery.repository import Repository


@dataclass(frozen=True)
class Pulled:
    """Bytes that an upgrade pulls: by engines with partial pulls, and by those that take whole blobs (containerd)."""

    partial: int
    whole: int


def pulled(
    new: oci.Manifest,
    store: Layout | Repository,
    previous: oci.Manifest | None,
    previous_store: Layout | Repository | None = None,
    engine: Engine = CURRENT,
) -> Pulled:
    """What a site that runs `previous` (None: nothing yet) pulls for `new`: manifest, config, and the layers it lacks.

    Layers are reused by digest; of a zstd:chunked layer that is new, `partial` counts what `needed` does. Only tables
    of contents are read. Raises OutsideError where a store cannot be read or a table is not honest.
    """
    if previous is not None and previous.descriptor.digest == new.descriptor.digest:
        return Pulled(0, 0)
    there = {layer.digest: layer for layer in previous.layers} if previous else {}
    lacking = {layer.digest: layer for layer in new.layers if layer.digest not in there}
    documents = new.descriptor.size
    if previous is None or previous.config.digest != new.config.digest:
        documents += new.config.size
    have: list[Contents] = []
    if any(map(is_chunked, lacking.values())):
        have = [read_contents(previous_store or store, layer) for layer in there.values() if is_chunked(layer)]
    partial = sum(
        needed(read_contents(store, layer), have, engine) if is_chunked(layer) else layer.size
        for layer in lacking.values()
    )
    return Pulled(documents + partial, documents + sum(layer.size for layer in lacking.values()))


def pulled_bytes(
    new: oci.Manifest,
    store: Layout | Repository,
    previous: oci.Manifest | None,
    previous_store: Layout | Repository | None = None,
) -> int:
    """`pulled(...).partial`: what an engine of today with partial pulls moves."""
    return pulled(new, store, previous, previous_store).partial
