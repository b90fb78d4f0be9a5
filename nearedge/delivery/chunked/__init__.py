"""zstd:chunked layers: written, read by their table of contents alone, and what a pull of one moves."""

from nearedge.delivery.chunked.contents import Contents
from nearedge.delivery.chunked.image_pull import Pulled, pulled, pulled_bytes
from nearedge.delivery.chunked.partial_pull import needed
from nearedge.delivery.chunked.reader import is_chunked, read_contents
from nearedge.delivery.chunked.writer import write_layer

__all__ = ["Contents", "Pulled", "is_chunked", "needed", "pulled", "pulled_bytes", "read_contents", "write_layer"]
