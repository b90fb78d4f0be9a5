"""Weights in pieces and modelcars on a release that a run has proven: served, tested, and written for KServe."""

import shutil

import pytest
import yaml

from tests.pipelines.site import Site, free_port


def run(site: Site, task: str, *params: str) -> None:
    given = [f"-p={param}" for param in params]
    done = site.nearedge("run", task, *given, f"-w=release={site.release}")
    assert done.returncode == 0, done.stderr


def build(site: Site, *params: str) -> dict:
    run(site, "build-serving-image", "serving-image=oci:image:new", "allow-layout=true", "base-image=host", *params)
    return site.section("image")


@pytest.mark.parametrize("layout", ["sharded", "layered"])
def test_an_image_in_pieces_holds_the_golden_samples(again: Site, layout: str) -> None:
    image = build(again, f"layout={layout}")
    assert (image["flavour"], image["layout"]) == ("serving", layout)
    whole = f"serving-image={image['url']}@{image['digest']}"
    run(again, "test-serving-image", whole, f"port={free_port()}")
    test = again.section("test")
    assert test["samples"] == test["decisions_held"] > 0


def test_a_modelcar_is_rendered_for_kserve_and_no_test_is_claimed(again: Site) -> None:
    image = build(again, "flavour=modelcar")
    assert (image["flavour"], image["base_kind"]) == ("modelcar", "scratch")
    assert not (again.release / "release" / "test.json").exists(), "an earlier image's test says nothing of this one"
    run(again, "render-gitops", "flavour=kserve")
    found = next(again.release.rglob("inference-service.yaml"))
    model = yaml.safe_load(found.read_text())["spec"]["predictor"]["model"]
    assert model["storageUri"].startswith("oci+native://")
    assert model["storageUri"].endswith(image["digest"])


def test_nothing_is_built_where_a_site_would_pull_more_than_it_may(again: Site) -> None:
    shutil.rmtree(again.release / "image", ignore_errors=True)
    params = ("serving-image=oci:image:new", "allow-layout=true", "base-image=host", "max-transfer-bytes=1000")
    given = [f"-p={param}" for param in (*params, "sites=site-1,site-2", "tags=stable", "annotations=a=b")]
    done = again.nearedge("run", "build-serving-image", *given, f"-w=release={again.release}")
    assert done.returncode == 3, done.stderr
    assert "max-transfer-bytes 1000: more would be pulled by " in done.stderr
    assert "site-1" in done.stderr and "site-2" in done.stderr
    assert not (again.release / "release" / "image.json").exists()
    assert not list(again.release.glob("image/blobs/*/*"))
