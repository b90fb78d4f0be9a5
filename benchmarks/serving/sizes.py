"""What each megabyte of the host-assembled runtime base is: its layers, and what is in them by component.

A layer is compressed as a whole; each component's share of it is what its files take compressed one by one, scaled so
that the shares add up to the layer.
"""

import gzip
import tarfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath

LEAST_MB = 0.3
"""Smaller components are put together."""


def measure() -> tuple[float, list[tuple[str, str, float]]]:
    """Megabytes of the whole base, gzip; and layer, component, megabytes for each, largest first."""
    from nearedge.delivery.host.host_base import host_base
    from nearedge.delivery.host.host_image import TAG

    layout = host_base()
    manifest = layout.resolve(TAG)
    rows: list[tuple[str, str, float]] = []
    for layer in manifest.layers:
        blob = layout.folder / "blobs/sha256" / layer.digest.partition(":")[2]
        title = layer.annotations["org.opencontainers.image.title"]
        rows += [(title, name, size) for name, size in components(blob, layer.size).items()]
    return manifest.size / 1e6, sorted(rows, key=lambda row: -row[2])


def components(blob: Path, whole: int) -> dict[str, float]:
    """Megabytes by component of one layer."""
    found: Counter[str] = Counter()
    with gzip.open(blob) as content, tarfile.open(fileobj=content) as archive:
        for member in archive:
            taken = archive.extractfile(member) if member.isfile() else None
            found[component(member.name)] += (len(zlib.compress(taken.read(), 6)) if taken else 0) + 100
    scale = whole / found.total() / 1e6
    sizes = {name: size * scale for name, size in found.items()}
    large = {name: size for name, size in sizes.items() if size >= LEAST_MB}
    rest = sum(sizes.values()) - sum(large.values())
    return {**large, "everything smaller": rest} if rest > 0 else large


def component(name: str) -> str:
    """What a file of the image belongs to."""
    path = PurePosixPath(name)
    parts = path.parts
    if "packages" in parts[:3] and len(parts) > 3:
        below = parts[3:]
        native = ".so" in path.name
        return f"{below[0]}: {path.name if native else 'Python'}"
    if name.startswith("opt/python/lib"):
        return "Python's extension modules" if ".so" in path.name else "Python's standard library"
    if ".so" in path.name or "/bin/" in name:
        return path.name
    return "the server" if "server" in parts else "other files"
