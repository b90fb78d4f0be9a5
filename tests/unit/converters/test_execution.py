"""An IR that is missing, cut short, exchanged or fed wrongly is said in one line."""

import numpy as np
import pytest

from converters import execution, workspace
from nearedge.errors import InputError
from nearedge.files import sha256_file
from nearedge.release.sections import RuntimeConfiguration

PLAIN = {"INFERENCE_PRECISION_HINT": "f32"}


def test_every_property_is_said():
    runtime = RuntimeConfiguration(inference_precision="bf16", performance_hint="LATENCY", streams=1, threads=4)
    said = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    assert execution.properties(runtime) == {**said, "INFERENCE_NUM_THREADS": 4}
    assert execution.properties(runtime, 2) == {**said, "INFERENCE_NUM_THREADS": 2}


def test_answers_by_output_name(digits_release):
    runner = execution.Runner(digits_release / workspace.F32, PLAIN)
    found = runner.predict({"image": np.zeros((1, 3, 8, 8), "f4")})
    assert {name: array.shape for name, array in found.items()} == {"logits": (1, 10), "probabilities": (1, 10)}
    again = runner.predict({"image": np.ones((1, 3, 8, 8), "f4")})
    assert not np.array_equal(found["logits"], again["logits"])


def test_a_feed_that_does_not_fit_is_refused(digits_release):
    runner = execution.Runner(digits_release / workspace.F32, PLAIN)
    with pytest.raises(InputError, match="does not take the sample"):
        runner.predict({"image": np.zeros((1, 4, 8, 8), "f4")})


@pytest.mark.parametrize("damage", ["no xml", "no bin", "truncated bin", "empty bin", "truncated xml", "text"])
def test_a_damaged_ir_is_refused_in_one_line(release, damage):
    xml = release / workspace.F32
    file = xml if "xml" in damage or damage == "text" else xml.with_suffix(".bin")
    if damage.startswith("no"):
        file.unlink()
    elif damage == "text":
        file.write_text("<net>")
    else:
        file.write_bytes(file.read_bytes()[: 0 if "empty" in damage else file.stat().st_size // 2])
    with pytest.raises(InputError) as fault:
        execution.Runner(xml, PLAIN)
    assert "model." in str(fault.value) and "\n" not in str(fault.value)


def test_a_property_that_is_none_is_refused(digits_release):
    with pytest.raises(InputError, match="cannot compile it"):
        execution.Runner(digits_release / workspace.F32, {"NO_SUCH_PROPERTY": "1"})


def test_hashes_tell_what_was_exchanged(release):
    xml = release / workspace.F32
    hashes = sha256_file(xml), sha256_file(xml.with_suffix(".bin"))
    execution.check_hashes(xml, *hashes, "convert-model")
    weights = xml.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"model\.bin: is not what convert-model wrote .* run convert-model again"):
        execution.check_hashes(xml, *hashes, "convert-model")
    weights.unlink()
    with pytest.raises(InputError, match=r"model\.bin: missing"):
        execution.check_hashes(xml, *hashes, "convert-model")
