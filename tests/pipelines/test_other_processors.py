"""A release that was made here on processors with less: the real server, held by oneDNN to what they have.

What must hold everywhere is the decision; raw closeness is asked for on the same instruction set alone.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from converters import execution, instruction_set, study
from nearedge.files import sha256_file
from nearedge.release import record
from scripts import optimize_model, verify_model
from tests.unit import conftest as digits
from tests.unit.serving_image.conftest import Running, started

HERE = instruction_set.here()
PRECISIONS = [
    "int8",
    pytest.param("int8-accuracy-aware", marks=pytest.mark.skipif(
        not instruction_set.has_vnni(HERE), reason="this processor has no VNNI, so no weights of eight bits are made"
    )),
    pytest.param("bf16", marks=pytest.mark.skipif(
        not instruction_set.has_bf16(HERE), reason="this processor has no bf16, so no bf16 release can be made"
    )),
]  # fmt: skip


def released(root: Path, precision: str, models: Path) -> None:
    """Optimise, prove and lay out a release as its image does; and another whose weights are of other classes."""
    assert optimize_model.main([f"--workspace={root}", f"--precision={precision}"]) == 0
    assert verify_model.main([f"--workspace={root}", "--stage=deployed"]) == 0
    identity = json.loads(record.dump(record.identity(root, "sno-medium")))
    for name in ("good", "damaged"):
        folder = models / f"{name}-{precision}" / "1"
        folder.mkdir(parents=True)
        for file in ("ir/deployed/model.xml", "ir/deployed/model.bin", "golden/golden.npz"):
            shutil.copyfile(root / file, folder / Path(file).name)
        if name == "damaged":
            turn_classes(root / "ir/deployed/model.xml", folder / "model.xml")
            for kind in ("xml", "bin"):
                identity["ir"][f"{kind}_sha256"] = sha256_file(folder / f"model.{kind}")
        identity["name"] = folder.parent.name
        (folder / "release.json").write_text(json.dumps(identity))


def turn_classes(xml: Path, to: Path) -> None:
    """Write the IR with each class' scores under the next class' number."""
    import numpy as np
    import openvino
    from openvino import opset13

    model = execution.read(xml)
    for result in model.get_results():
        port = result.input_value(0)
        names = port.get_tensor().names
        port.get_tensor().set_names(set())
        turned = opset13.gather(port, opset13.constant(np.roll(np.arange(10), 1)), opset13.constant(np.array(1)))
        turned.output(0).get_tensor().set_names(names)
        result.input(0).replace_source_output(turned.output(0))
    model.validate_nodes_and_infer_types()
    openvino.save_model(model, to, compress_to_fp16=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """INT8 and bf16 releases of digits, good and damaged, as far as this processor can make them."""
    possible = {
        "int8": True,
        "int8-accuracy-aware": instruction_set.has_vnni(HERE),
        "bf16": instruction_set.has_bf16(HERE),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "SECONDS", 0.1)
        root = digits.converted(tmp_path_factory.mktemp("digits"))
        text = (root / "source/model.yaml").read_text()
        (root / "source/model.yaml").write_text(text.replace("microshift-small", "sno-medium"))
        folder = tmp_path_factory.mktemp("models")
        for precision in (one for one, can in possible.items() if can):
            released(root, precision, folder)
    return folder


@pytest.fixture(scope="module", params=["", "AVX512_CORE", "AVX2"])
def server(request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    held = {"ONEDNN_MAX_CPU_ISA": request.param} if request.param else {}
    with started(models, tmp_path_factory.mktemp("log") / "log", **held) as running:
        running.wait_settled()
        running.held = request.param
        yield running


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_good_release_passes(server: Running, precision: str) -> None:
    found = server.get(f"/v2/models/good-{precision}/self-test").json()
    assert found["passed"] and found["samples"] == 8
    assert (found["instruction_set"] == found["golden_instruction_set"]) == (not server.held)
    assert [one["decisions_held"] for one in found["outputs"]] == [8, 8]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_damaged_one_fails_there_too(server: Running, precision: str) -> None:
    found = server.get(f"/v2/models/damaged-{precision}/self-test").json()
    assert found["passed"] is False and "0 of 8 decisions held (top1)" in found["reason"]
