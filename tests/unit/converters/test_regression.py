"""The release beside an earlier one: what is compared, and when it is stopped."""

import json
import shutil
from pathlib import Path

import pytest

from converters import regression
from converters.measured import Measured
from nearedge.errors import GateError, InputError
from nearedge.files import sha256_file
from nearedge.release import record
from nearedge.release.sections import Ratio, Regression

RECORD = record.read(Path(__file__).parents[1] / "delivery/data/release.json")
INPUTS = [one.name for one in RECORD.identity.ir.inputs]


@pytest.fixture
def earlier(digits_release, tmp_path):
    """A folder `old` in a workspace with an earlier release's files."""
    folder = tmp_path / "old"
    shutil.copytree(digits_release / "ir/f32", folder)
    hashes = {f"{kind}_sha256": sha256_file(folder / f"model.{kind}") for kind in ("xml", "bin")}
    ir = RECORD.identity.ir.model_copy(update=hashes)
    (folder / "release.json").write_text(record.dump(RECORD.identity.model_copy(update={"ir": ir})))
    return folder


@pytest.fixture
def previous(earlier):
    """The same as fetch-model brings it, beside the record in git; the workspace."""
    root = earlier.parent
    shutil.copytree(earlier, root / record.PREVIOUS_MODEL)
    identity = regression.read_identity(earlier / "release.json")
    (root / record.PREVIOUS).write_text(record.dump(RECORD.model_copy(update={"identity": identity})))
    return root


def measured(p50, noise=0.0):
    return Measured(1, 1, [[p50 * (1 + noise * (at % 3))] for at in range(15)], peak_mib=100 + p50)


def find(folder):
    return regression.find(folder.parent, "old", RECORD.identity.name, INPUTS)


@pytest.mark.parametrize("whole", [True, False])
def test_a_release_is_found_by_its_identity_or_whole_record(earlier, whole):
    if whole:
        document = json.loads((earlier / "release.json").read_text())
        (earlier / "release.json").write_text(json.dumps({"identity": document, "evidence": {}}))
    found = find(earlier)
    assert found.xml == (earlier / "model.xml").resolve() and found.identity.name == RECORD.identity.name


def other_name(folder):
    return regression.find(folder.parent, "old", "another", INPUTS)


def other_inputs(folder):
    return regression.find(folder.parent, "old", RECORD.identity.name, ["another"])


def outside(folder):
    return regression.find(folder, "../old/../..", RECORD.identity.name, INPUTS)


def without_record(folder):
    (folder / "release.json").unlink()
    return find(folder)


def no_json(folder):
    (folder / "release.json").write_text("{")
    return find(folder)


def a_list(folder):
    (folder / "release.json").write_text("[]")
    return find(folder)


def half_a_record(folder):
    (folder / "release.json").write_text("{}")
    return find(folder)


def changed(folder):
    (folder / "model.bin").write_bytes(b"x")
    return find(folder)


@pytest.mark.parametrize("fault,said", [
    (other_name, "is a release of"), (other_inputs, "cannot be compared"), (outside, "leads out of"),
    (without_record, "model.xml, model.bin and release.json"), (no_json, "is no release record"),
    (a_list, "is no release record"), (half_a_record, "Field required"), (changed, "its sha256 differs"),
])  # fmt: skip
def test_what_is_no_earlier_release_of_the_model_is_one_line(earlier, fault, said):
    with pytest.raises(InputError, match=said) as caught:
        fault(earlier)
    assert "\n" not in str(caught.value)


def deployed(root, inputs=INPUTS):
    return regression.deployed(root, RECORD.identity.name, inputs)


def test_the_deployed_release_is_found_where_its_model_was_brought(previous):
    found = deployed(previous)
    assert found.xml == (previous / record.PREVIOUS_MODEL / "model.xml").resolve()
    assert found.identity == record.read_previous(previous).identity and found.where == "previous/model"


def test_a_record_alone_or_a_first_release_has_no_model(previous):
    shutil.rmtree(previous / record.PREVIOUS_MODEL)
    assert deployed(previous) is None
    (previous / record.PREVIOUS).unlink()
    assert deployed(previous) is None


def without_weights(root):
    (root / record.PREVIOUS_MODEL / "model.bin").unlink()


def cut_short(root):
    (root / record.PREVIOUS_MODEL / "model.bin").write_bytes(b"x")


def of_another_release(root):
    (root / record.PREVIOUS).write_text(record.dump(RECORD))


@pytest.mark.parametrize("fault,said", [
    (without_weights, "model.bin: missing"), (cut_short, "its sha256 differs"),
    (of_another_release, "is not the release in previous/release.json"),
])  # fmt: skip
def test_a_deployed_model_that_is_not_the_records_stops_nothing(previous, capsys, fault, said):
    fault(previous)
    assert deployed(previous) is None
    line = capsys.readouterr().err
    assert said in line and "its recorded figures are taken" in line and line.count("\n") == 1


def test_a_deployed_model_with_other_inputs_stops_nothing(previous, capsys):
    assert deployed(previous, ["another"]) is None
    assert "cannot be compared; its recorded figures are taken" in capsys.readouterr().err


def test_surely_slower_than_is_allowed_stops(earlier):
    slow = regression.retimed(find(earlier), measured(1), measured(1.5, 0.01), 0.1)
    assert slow.memory_mib == pytest.approx(0.5) and slow.faster.high < 0.7
    with pytest.raises(GateError, match=r"regression: 1\.5 times as slow as version"):
        regression.gate(slow)


@pytest.mark.parametrize("ours,noise,allowed", [(1.0, 0.0, 0.1), (1.05, 0.0, 0.1), (1.2, 0.4, 0.1), (1.5, 0.0, 1.0)])
def test_what_is_not_surely_slower_goes_on(earlier, ours, noise, allowed):
    regression.gate(regression.retimed(find(earlier), measured(1, 0.4 if noise else 0), measured(ours), allowed))


def test_recorded_figures_are_shown_and_never_gated():
    deployed = next(one for one in RECORD.evidence.benchmark.timings if one.name == "deployed")
    slow = deployed.model_copy(update={"p50_ms": deployed.p50_ms * 10})
    found = regression.recorded(RECORD, slow, 100.0, 0.1)
    assert found.faster.value == pytest.approx(0.1) and found.faster.low < 0.1 < found.faster.high
    assert not found.retimed and "nothing is gated" in regression.said(found)
    regression.gate(found)
    empty = RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"benchmark": None})})
    assert regression.recorded(empty, slow, 100.0, 0.1) is None


def test_the_sentence_has_the_interval_and_the_memory():
    found = Regression(release="v1", faster=Ratio(value=2, low=1.9, high=2.1), memory_mib=-12.4, allowed=0.1)
    assert regression.said(found) == "2.0 times as fast as v1 (95 % interval 1.90 to 2.10), -12 MiB of memory"
