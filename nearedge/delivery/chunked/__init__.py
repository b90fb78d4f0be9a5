"""zstd:chunked layers: written, read by their table of contents alone, and what a pull of one moves."""

from nearedge.delivery.chunked.contents import Contents
from nearedge.delivery.chunked.image_pull import Pulled, lacked, of_layers, pulled
from nearedge.delivery.chunked.partial_pull import CURRENT, Engine, needed
from nearedge.delivery.chunked.reader import LayerFile, is_chunked, read_contents
from nearedge.delivery.chunked.writer import write_layer

__all__ = [
    "CURRENT",
    "Contents",
    "Engine",
    "LayerFile",
    "Pulled",
    "is_chunked",
    "lacked",
    "needed",
    "of_layers",
    "pulled",
    "read_contents",
    "write_layer",
]
