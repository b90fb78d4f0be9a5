"""The bill of materials: valid by the official schema, the same bytes each time, found again in a base."""

import json
import os
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from nearedge.delivery import sbom
from nearedge.delivery.host import host_base, host_image, host_packages
from nearedge.delivery.image import Base, open_base
from nearedge.delivery.layers import Entry, write_layer
from nearedge.delivery.model_layers import ModelFiles
from nearedge.delivery.reference import parse
from nearedge.files import sha256_file

FILES = ModelFiles("digits", "2", Path("x"), "a" * 64, Path("b"), "b" * 64, Path("g"), "c" * 64, "{}")


@pytest.fixture(scope="module")
def bill():
    return json.loads(host_packages.bill())


@pytest.fixture(scope="module")
def base():
    """The runtime base from this machine, from the cache that outlives the tests."""
    named = os.environ.get("NEAREDGE_TEST_CACHE")
    cache = Path(named) if named else Path.home() / ".cache" / "nearedge-tests"
    return open_base(host_base.host_base(cache), host_image.TAG)


def refusals(document) -> object:
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))


def test_the_runtime_bill_is_valid_and_says_what_is_there(bill) -> None:
    assert refusals(bill) is None
    found = {one["name"]: one for one in bill["components"]}
    assert set(host_packages.serving_distributions()) < set(found) and "python" in found
    assert found["openvino"]["purl"] == f"pkg:pypi/openvino@{distribution('openvino').version}"
    assert found["openvino"]["licenses"] == [{"expression": "Apache-2.0"}]
    assert found["h11"]["licenses"] == [{"license": {"name": "MIT"}}]
    native = {one["name"]: one["hashes"][0]["content"] for one in found["openvino"]["components"]}
    name = "openvino/libs/libopenvino_intel_cpu_plugin.so"
    assert native[name] == sha256_file(Path(str(distribution("openvino").locate_file(name))))
    assert not any("gpu" in name for name in native)


def test_nothing_in_it_changes_from_one_time_to_the_next(bill) -> None:
    assert host_packages.bill() == host_packages.bill() == sbom.encode(bill)
    assert not {"serialNumber", "timestamp"} & (set(bill) | set(bill.get("metadata", {})))


def test_a_release_lists_its_base_its_model_and_the_packages(bill, base) -> None:
    assert sbom.of_base(base) == bill
    target = parse("registry.example.com/edge/digits:2")
    made = sbom.of_release(base, "host", FILES, target, "sha256:" + "d" * 64)
    assert refusals(made) is None
    kinds = {one["type"]: one for one in made["components"]}
    assert kinds["machine-learning-model"]["components"][0] == {
        "type": "file",
        "bom-ref": "model:digits@2#model.xml",
        "name": "models/digits/2/model.xml",
        "hashes": [{"alg": "SHA-256", "content": "a" * 64}],
    }
    assert kinds["container"]["version"] == base.manifest.descriptor.digest
    assert len(made["components"]) == len(bill["components"]) + 2
    assert made["metadata"]["component"]["name"] == "registry.example.com/edge/digits:2"


@pytest.mark.parametrize(
    "content", [b"not json", b"[]", b'{"components": 3}', b"[" * 100_000, b" " * (sbom.SBOM_LIMIT + 1)]
)
def test_what_is_no_bill_is_passed_over(content: bytes, tmp_path: Path) -> None:
    layer = write_layer([Entry("opt/x/sbom.cdx.json", content)], tmp_path / "layer", "x")
    assert sbom.in_layer(layer.path.read_bytes()) is None
    assert sbom.in_layer(b"damaged") is None
    assert sbom.in_layer(layer.path.read_bytes()[:40]) is None


def test_a_base_without_a_bill(base) -> None:
    class Store:
        """Must not be asked for a large layer."""

        def read(self, *_: object) -> bytes:
            raise AssertionError

    large = [layer for layer in base.manifest.layers if layer.size > sbom.LAYER_LIMIT]
    assert sbom.of_base(Base(Store(), replace(base.manifest, layers=tuple(large)), base.config)) is None
    bare = replace(base, manifest=replace(base.manifest, layers=()))
    made = sbom.of_release(bare, "x", FILES, parse("oci:image:2", allow_layout=True), "sha256:" + "d" * 64)
    assert refusals(made) is None and len(made["components"]) == 2
