import pytest

from nearedge.delivery.access import Access
from nearedge.delivery.layout import Layout
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.delivery.transfer import copy_image
from nearedge.errors import OutsideError


def test_from_a_layout_to_a_registry_and_back(plain_registry, small_base, tmp_path):
    source, back = Layout.create(tmp_path / "source"), Layout.create(tmp_path / "back")
    manifest = small_base(source, "1")
    target = Repository(Registry(plain_registry, Access()), "copies/base")
    assert copy_image(source, "1", target, "v")[1] == manifest.size
    assert copy_image(source, manifest.descriptor.digest, target, "v")[1] == 0
    assert copy_image(target, "v", back, "w")[0].content == manifest.content
    assert back.resolve("w").descriptor.digest == manifest.descriptor.digest


def test_a_source_that_lacks_a_layer_names_nothing(small_base, tmp_path):
    source, target = Layout.create(tmp_path / "source"), Layout.create(tmp_path / "target")
    source.path(small_base(source, "1").layers[0].digest).unlink()
    with pytest.raises(OutsideError, match="is missing"):
        copy_image(source, "1", target, "v")
    assert target.tags() == []
