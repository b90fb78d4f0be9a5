"""What the tests of containers share: image layouts made by hand, good and bad."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class LayoutWriter:
    """Writes an OCI image layout, or one that is wrong in just the way a test asks for."""

    def __init__(self, folder):
        self.folder = folder
        self.descriptors = []

    def blob(self, content, media_type, **more):
        digest = hashlib.sha256(content).hexdigest()
        place = self.folder / "blobs" / "sha256" / digest
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    def image(self, tars, tag="latest", compress=gzip.compress, kind="+gzip", **settings):
        """Add an image with these layers' tars; its manifest's digest."""
        layers = [self.blob(compress(tar), LAYER + kind) for tar in tars]
        diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
        config = {"architecture": "amd64", "os": "linux", "config": settings}
        config["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
        manifest = {
            "schemaVersion": 2,
            "config": self.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": layers,
        }
        return self.entry(self.blob(json.dumps(manifest).encode(), MANIFEST), tag)

    def entry(self, descriptor, tag):
        """Name a descriptor in index.json; its digest."""
        annotations = {"org.opencontainers.image.ref.name": tag} if tag else {}
        self.descriptors.append({**descriptor, "annotations": annotations})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.descriptors}
        (self.folder / "index.json").write_text(json.dumps(index))
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return descriptor["digest"]


def tar_of(*entries):
    """A tar of (name, content or None, changes to its TarInfo)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content, changes in entries:
            member = tarfile.TarInfo(name)
            member.mode = 0o644
            for key, value in changes.items():
                setattr(member, key, value)
            member.size = len(content or b"")
            tar.addfile(member, io.BytesIO(content or b""))
    return out.getvalue()


@pytest.fixture(scope="session")
def make_tar():
    return tar_of


@pytest.fixture(scope="session")
def layout_writer():
    return LayoutWriter


@pytest.fixture
def layout(tmp_path: Path):
    """A writer for a layout in the workspace `tmp_path`, in its folder `image`."""
    (tmp_path / "image").mkdir()
    return LayoutWriter(tmp_path / "image")
