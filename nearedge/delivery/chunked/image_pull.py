"""How many bytes a site pulls to go from one image to the next, both of which a store holds.

`upgrade.pulled_bytes` answers the same from a record alone, for whole blobs only, where no store is reachable.
"""

from collections.abc import Callable, Container, Iterable, Sequence
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
    lacking = lacked(new, there)
    documents = new.descriptor.size
    if previous is None or previous.config.digest != new.config.digest:
        documents += new.config.size
    have: list[Contents] = []
    if any(map(is_chunked, lacking)):
        have = [read_contents(previous_store or store, layer) for layer in there.values() if is_chunked(layer)]
    layers = of_layers(lacking, lambda layer: read_contents(store, layer), have, engine)
    return Pulled(documents + layers.partial, documents + layers.whole)


def lacked(new: oci.Manifest, there: Container[str]) -> list[oci.Descriptor]:
    """The layers of `new` whose digests are not `there`, each once."""
    return list({layer.digest: layer for layer in new.layers if layer.digest not in there}.values())


def of_layers(
    lacking: Iterable[oci.Descriptor],
    read: Callable[[oci.Descriptor], Contents],
    have: Sequence[Contents],
    engine: Engine = CURRENT,
) -> Pulled:
    """What layers move to a site that has none of them and the chunks of `have`; `read` gives their own contents."""
    sizes = [(needed(read(x), have, engine) if is_chunked(x) else x.size, x.size) for x in lacking]
    return Pulled(sum(partial for partial, _ in sizes), sum(whole for _, whole in sizes))
