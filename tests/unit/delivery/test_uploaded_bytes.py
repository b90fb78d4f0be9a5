"""What a new version of a model costs the link to the registry: its layer, and at most 64 kB."""

import os

from nearedge.delivery import registry
from nearedge.delivery.access import Access
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.files import sha256_file
from nearedge.release import sections
from nearedge.release.sections import ImageSection, OptimizationSection
from scripts import build_serving_image
from tests.unit.scripts.test_build_serving_image import write_release

SIZE, MOST = 3_000_000, 64 << 10


def new_weights(workspace):
    """Weights that no compressor makes smaller, recorded as proven."""
    path = workspace / "ir" / "deployed" / "model.bin"
    path.write_bytes(os.urandom(SIZE))
    section = sections.read(workspace, OptimizationSection)
    sections.write(workspace, section.model_copy(update={"bin_sha256": sha256_file(path), "size_bytes": SIZE}))


def test_an_upgrade_sends_the_models_layer_and_little_more(plain_registry, small_base, tmp_path, monkeypatch):
    sent = []

    class Counted(registry.Sized):
        def __iter__(self):
            for piece in super().__iter__():
                sent.append(len(piece))
                yield piece

    small_base(Repository(Registry(plain_registry, Access()), "bytes/base"), "1", content=os.urandom(400_000))
    workspace = write_release(tmp_path / "release")
    for number in (1, 2):
        new_weights(workspace)
        sent.clear()
        monkeypatch.setattr(registry, "Sized", Counted)
        options = [
            f"--serving-image={plain_registry}/bytes/model:{number}",
            f"--base-image={plain_registry}/bytes/base:1",
        ]
        assert build_serving_image.main([f"--workspace={workspace}", *options]) == 0
        model = next(layer for layer in sections.read(workspace, ImageSection).layers if layer.title == "model")
        assert SIZE < model.size_bytes <= sum(sent) <= model.size_bytes + MOST
    sent.clear()
    assert build_serving_image.main([f"--workspace={workspace}", *options]) == 0
    assert sum(sent) == 0, "the same again sends nothing"
