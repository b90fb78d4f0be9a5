"""Reading a zstd:chunked layer's table of contents out of a registry or a layout, and nothing else of the layer.

As engines do, the table is found and verified by the descriptor's annotations, which the manifest's digest vouches for;
the footer is never asked for, since nothing vouches for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests
import zstandard

from nearedge.delivery import digest as digests
from nearedge.delivery import oci
from nearedge.delivery.chunked import contents, form
from nearedge.delivery.chunked.contents import Contents
from nearedge.delivery.chunked.form import Span
from nearedge.delivery.layout import Layout
from nearedge.delivery.repository import PIECE, Repository
from nearedge.errors import OutsideError

WINDOW = 1 << 25
"""Bytes of memory that a frame may ask for."""


@dataclass(frozen=True)
class LayerFile:
    """A layer in a file, which is in no store yet."""

    where: str
    file: Path

    def path(self, _: str) -> Path:
        """Where its bytes lie."""
        return self.file


def is_chunked(layer: oci.Descriptor) -> bool:
    """Whether the layer says where its table of contents lies."""
    return form.CHECKSUM in layer.annotations or form.OLD_CHECKSUM in layer.annotations


def read_contents(store: Layout | LayerFile | Repository, layer: oci.Descriptor) -> Contents:
    """The contents of `layer`, whose table is read by a Range request.

    Raises OutsideError, one line, where the layer has no table, the table is not the one that the annotation names, or
    it is no honest table: positions outside of the blob, more than it says once decompressed, numbers that are none.
    """
    where = f"{store.where}: layer {layer.digest[:19]}"
    new = form.CHECKSUM in layer.annotations
    named = layer.annotations.get(form.CHECKSUM if new else form.OLD_CHECKSUM, "")
    if not named:
        raise OutsideError(f"{where}: is no zstd:chunked layer (it has no annotation {form.CHECKSUM})")
    table = form.span(layer.annotations, form.POSITION if new else form.OLD_POSITION, layer.size, where)
    split = None
    if form.SPLIT_POSITION in layer.annotations:
        split = form.span(layer.annotations, form.SPLIT_POSITION, layer.size, where)
    compressed = read_part(store, layer, table, where)
    if digests.of_bytes(compressed) != digests.require(named, where):
        raise OutsideError(f"{where}: the table of contents does not match its checksum; push the layer again")
    entries = contents.parsed(decompressed(compressed, table, where), where)
    return Contents(contents.files_of(entries, table.start, where), table, split, layer.size)


def decompressed(data: bytes, span: Span, where: str) -> bytes:
    """The table's text, which must have the size that its position says; a bomb is left off one byte later."""
    try:
        with zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(data) as reader:
            text = reader.read(span.content + 1)
    except zstandard.ZstdError as error:
        raise OutsideError(f"{where}: the table of contents is damaged; push the layer again") from error
    if len(text) != span.content:
        raise OutsideError(f"{where}: the table of contents has not the {span.content} bytes that its position says")
    return text


def read_part(store: Layout | LayerFile | Repository, blob: oci.Descriptor, span: Span, where: str) -> bytes:
    """The bytes of `span`. Raises OutsideError where the store lacks them."""
    if not isinstance(store, Repository):
        try:
            with store.path(blob.digest).open("rb") as file:
                file.seek(span.start)
                part = file.read(span.size)
        except FileNotFoundError as error:
            raise OutsideError(f"{where}: is missing; the layout is not complete") from error
    else:
        part = asked(store, blob, span)
    if len(part) != span.size:
        raise OutsideError(f"{where}: ends before byte {span.end}; it is not complete, push it again")
    return part


def asked(store: Repository, blob: oci.Descriptor, span: Span) -> bytes:
    """The bytes that a registry gives for `span`, no more of them than asked for."""
    headers = {"Range": f"bytes={span.start}-{span.end - 1}"}
    address = f"{store.path}/blobs/{blob.digest}"
    with store.registry.ask("GET", address, store.pull, headers) as response:
        if response.status_code not in (requests.codes.ok, requests.codes.partial_content):
            raise store.registry.refused(response, f"{store.name}: part of blob {blob.digest[:19]}")
        skip = span.start if response.status_code == requests.codes.ok else 0  # it does not know Range
        try:
            return b"".join(cut(response.iter_content(PIECE), skip, span.size))
        except requests.RequestException as error:
            raise store.registry.unreachable(error) from error


def cut(pieces: Iterator[bytes], skip: int, size: int) -> Iterator[bytes]:
    """`size` bytes of `pieces` after the first `skip`."""
    for piece in pieces:
        part = piece[skip : skip + size]
        skip = max(0, skip - len(piece))
        size -= len(part)
        yield part
        if not size:
            return
