"""zstd:chunked layers: written, read by their table of contents alone, and what a pull of one moves.

`write_layer(entries, path, title) -> layers.Layer` is `writer`'s; `read_contents(store, layer) -> Contents` `reader`'s;
`needed(new, have) -> int` `partial_pull`'s; `pulled(new, store, previous, previous_store)` `image_pull`'s.
"""
