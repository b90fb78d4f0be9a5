"""Predicted bytes beside those that podman really pulls, by the registry's own log."""

import random
import shutil

import pytest

from nearedge.delivery import layers, oci
from nearedge.delivery.chunked import is_chunked, pulled, read_contents
from nearedge.delivery.chunked.partial_pull import PODMAN_4
from nearedge.delivery.layout import Layout


@pytest.fixture
def layout(tmp_path):
    return Layout.create(tmp_path / "layout")


def close_to(real, predicted):
    return abs(real - predicted) <= predicted / 100


def changed(files, share, seed=2):
    """The files with about `share` of their bytes new: whole files, as tensors change, and one chunk of a large one."""
    chance, new = random.Random(seed), dict(files)
    left = share * sum(map(len, files.values()))
    for name in chance.sample(sorted(files), len(files)):
        content = files[name]
        if content.count(0) < len(content) // 2 and len(content) <= left:
            new[name] = chance.randbytes(len(content))
            left -= len(content)
    large = next(name for name in sorted(files) if len(files[name]) == 600_000 and new[name] == files[name])
    new[large] = new[large][:300_000] + b"other" + new[large][300_005:]
    return new


def test_podman_pulls_what_was_predicted(site, repository, push_image, model):
    first = push_image(repository, model, "one")
    upgrade = changed(model, 0.05)
    second = push_image(repository, upgrade, "two")
    predicted = pulled(first, repository, None, engine=PODMAN_4)
    assert close_to(site.pull("one"), predicted.partial)
    predicted = pulled(second, repository, first, engine=PODMAN_4)
    real = site.pull("two")
    assert close_to(real, predicted.partial)
    assert real < predicted.whole / 5
    assert predicted.whole == second.size
    assert site.files("two") == upgrade


def test_what_podman_pushed_is_read_and_predicted(site, repository, layout, push_image, model):
    upgrade = changed(model, 0.05)
    for tag, files in (("pushed-a", model), ("pushed-b", upgrade)):
        push_image(layout, files, tag, write=layers.write_layer)
        image = site.run("podman", "pull", "-q", f"{layout.where}:{tag}")
        push = ("podman", "push", "-q", "--tls-verify=false", "--compression-format", "zstd:chunked")
        site.run(*push, image, site.image(tag))
    site.run("podman", "rmi", "--all", "--force")
    first, second = repository.resolve("pushed-a"), repository.resolve("pushed-b")
    assert is_chunked(first.layers[0])
    contents = read_contents(repository, second.layers[0])
    assert {file.name: file.size for file in contents.files} == {name: len(x) for name, x in upgrade.items() if x}
    assert close_to(site.pull("pushed-a"), pulled(first, repository, None, engine=PODMAN_4).partial)
    assert close_to(site.pull("pushed-b"), pulled(second, repository, first, engine=PODMAN_4).partial)
    assert site.files("pushed-b") == upgrade


def test_other_engines_read_it_as_plain_zstd(site, repository, push_image, model, tmp_path):
    manifest = push_image(repository, model, "other")
    for needed in ("skopeo", "buildah"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed (apt-get install {needed})")
    source = f"docker://{site.image('other')}"
    assert manifest.layers[0].digest in site.run("skopeo", "inspect", "--tls-verify=false", source)
    site.run("skopeo", "copy", "-q", "--src-tls-verify=false", source, f"oci:{tmp_path}/copy:other")
    assert Layout.open(tmp_path / "copy").resolve("other").layers[0].digest == manifest.layers[0].digest
    configuration = site.folder / "storage.conf"
    configuration.write_text(configuration.read_text().replace('images = "true"', 'images = "false"'))
    container = site.run("buildah", "from", "--tls-verify=false", site.image("other"))
    site.run("buildah", "rm", container)
    assert site.files("other") == model


def test_plain_layers_are_whole_blobs(layout, push_image, model):
    old = push_image(layout, model, "old", write=layers.write_layer)
    new = push_image(layout, changed(model, 0.05), "new", write=layers.write_layer)
    assert pulled(new, layout, old).partial == new.size
    assert pulled(new, layout, None).partial == new.size
    assert pulled(new, layout, new) == pulled(old, layout, old)
    assert pulled(new, layout, new).partial == 0


def test_a_layer_or_config_that_is_there_is_not_pulled(layout, push_image, model):
    old = push_image(layout, model, "old")
    body = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": old.config.to_json()}
    more = body | {"layers": [old.layers[0].to_json()], "annotations": {"more": "text"}}
    again = oci.manifest(oci.encode(more), "again")
    assert pulled(again, layout, old).partial == again.descriptor.size


def test_a_chunked_layer_after_a_plain_one_is_pulled_in_full(layout, push_image, model):
    plain = push_image(layout, model, "plain", write=layers.write_layer)
    new = push_image(layout, model, "new")
    assert close_to(new.size, pulled(new, layout, plain).partial)
