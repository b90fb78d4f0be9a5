"""A small image that a seed makes, for tests of the ways that images take."""

import random
from dataclasses import dataclass, field

from nearedge.delivery import digest, oci

BLOB, MORE = 40_000, 16_000


@dataclass
class Release:
    """A small image: what a seed makes of it."""

    seed: int
    blobs: dict[oci.Descriptor, bytes] = field(default_factory=dict)

    def __post_init__(self):
        made = random.Random(self.seed)
        contents = [made.randbytes(BLOB + made.randrange(MORE)), b'{"seed":%d}' % self.seed]
        described = [(oci.Descriptor("x/y", digest.of_bytes(one), len(one)), one) for one in contents]
        *layers, config = [blob for blob, _ in described]
        self.contents = described
        document = {
            "schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers], "annotations": {"seed": str(self.seed)},
        }  # fmt: skip
        self.manifest = oci.manifest(oci.encode(document), "x")

    def push(self, store):
        for blob, content in self.contents:
            store.add_bytes(blob, content)
        store.publish(self.manifest, "1")

    def pull(self, store):
        found = store.resolve("1")
        return found.content, [b"".join(store.chunks(blob)) for blob in (*found.layers, found.config)]

    def is_whole(self, store):
        return self.pull(store) == (self.manifest.content, [content for _, content in self.contents])
