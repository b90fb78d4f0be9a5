"""Golden candidates under lesser instruction sets: what holds there, and a model that overflows without VNNI."""

import numpy as np
import pytest

from converters import execution, golden, held_to_less, instruction_set
from converters.golden import Candidate
from nearedge.release import sections
from nearedge.release.description import Golden
from nearedge.release.sections import GoldenSection, OptimizationSection, RuntimeConfiguration
from scripts import verify_model
from tests.unit.scripts.test_verify_model import deploy, verify

RUNTIME = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1)
CLASS = {"y": "class"}
HERE = instruction_set.here()


def overflowing(path):
    """Two classes of 64 values: products of 255 and 127 for the first, three quarters of their sum as the other's bias.

    Each two products added in 16 bits come to 32767 and not 64770, so that the second class wins there.
    """
    import openvino
    from openvino import opset13

    values = opset13.parameter([1, 64], np.float32, name="x")
    bounds = [opset13.constant(np.float32(one)) for one in (0, 255, 0, 255)]
    whole = opset13.fake_quantize(values, *bounds, levels=256)
    weights = opset13.constant(np.array([[127] * 64, [0] * 64], np.int8))
    scaled = opset13.multiply(opset13.convert(weights, "f32"), opset13.constant(np.full((2, 1), 1 / 127, np.float32)))
    sums = opset13.matmul(whole, scaled, transpose_a=False, transpose_b=True)
    scores = opset13.add(sums, opset13.constant(np.array([[0, 0.75 * 64 * 255]], np.float32)))
    scores.output(0).get_tensor().set_names({"y"})
    openvino.save_model(openvino.Model([scores], [values], "overflows"), path, compress_to_fp16=False)


@pytest.mark.skipif(not instruction_set.has(HERE, "avx512_vnni"), reason="this processor has no AVX512 with VNNI")
def test_a_model_that_overflows_without_vnni_is_said_to_be_for_sites_with_it(tmp_path, capsys):
    overflowing(tmp_path / "model.xml")
    feeds = [{"x": np.full((1, 64), 255, np.float32)}] * 4
    runner = execution.Runner(tmp_path / "model.xml", execution.properties(RUNTIME, 1))
    found = [Candidate(feed, runner.predict(feed), ()) for feed in feeds]
    assert [int(one.here["y"].argmax()) for one in found] == [0] * 4
    less = held_to_less.tried(tmp_path / "model.xml", RUNTIME, feeds, True)
    assert held_to_less.to_hold(found, less, CLASS, "int8-accuracy-aware", 0.95) is found
    said = capsys.readouterr().err
    assert "this release is for sites with VNNI: of 4 golden candidates" in said
    assert "without it: 0.0000 on avx2, 0.0000 on avx512, least allowed 0.95" in said


@pytest.mark.parametrize("less", ["avx2", "avx512"])
@pytest.mark.parametrize("turned,least,held", [(0, 0.95, True), (1, 0.95, True), (2, 0.95, False), (2, None, True)])
def test_a_sample_decided_otherwise_there_is_not_chosen_unless_too_many_are(less, turned, least, held, capsys):
    feed, ours, theirs = {"x": np.zeros((1, 2), "f4")}, np.array([[9.0, 0.0]]), np.array([[0.0, 9.0]])
    found = [Candidate(feed, {"y": ours}, ()) for _ in range(20)]
    answers = {"avx2": [{"y": ours}] * 20, "avx512": [{"y": ours}] * 20}
    answers[less] = [{"y": theirs}] * turned + [{"y": ours}] * (20 - turned)
    asked = held_to_less.to_hold(found, answers, CLASS, "int8-accuracy-aware", least)
    picked = golden.choose(asked, CLASS, Golden(rows=(0, 20), count=20), "int8-accuracy-aware")
    assert len(picked) == (20 - turned if held else 20)
    assert ("for sites with VNNI" in capsys.readouterr().err) is not held


def test_none_are_held_where_there_are_none():
    assert held_to_less.to_hold([], {"avx2": []}, CLASS, "int8-accuracy-aware", 0.95) == []


@pytest.mark.parametrize("precision,site,here,sets", [
    ("int8-accuracy-aware", "avx512_vnni", "amx", ["avx2", "avx512"]),
    ("int8-accuracy-aware", "avx2_vnni", "avx512_vnni", ["avx2", "avx512"]),
    ("int8-accuracy-aware", "avx512", "amx", ["avx2"]), ("int8-accuracy-aware", "avx2", "amx", ["avx2"]),
    ("int8-accuracy-aware", "amx", "avx2_vnni", ["avx2"]), ("int8", "amx", "amx", ["avx2"]),
    ("bf16", "amx", "amx", ["avx2"]), ("int8-accuracy-aware", "amx", "avx512", ["avx2"]),
])  # fmt: skip
def test_only_weights_of_all_eight_bits_are_tried_on_avx512(monkeypatch, tmp_path, precision, site, here, sets):
    monkeypatch.setattr(instruction_set, "here", lambda: here)
    monkeypatch.setattr(held_to_less, "answers", lambda *_: [])
    whole = held_to_less.whole_range(precision, site)
    assert list(held_to_less.tried(tmp_path, RUNTIME, [], whole)) == sets


@pytest.mark.parametrize("good", [True, False])
def test_verify_model_asks_for_it(release, edit_yaml, monkeypatch, capsys, good):
    edit_yaml(release, "microshift-small", "sno-medium")
    deploy(release)
    section = sections.read(release, OptimizationSection)
    sections.write(release, section.model_copy(update={"precision": "int8-accuracy-aware"}))

    def tried(xml, runtime, feeds, whole):
        assert whole
        runner = execution.Runner(xml, execution.properties(runtime, 1))
        plain = [runner.predict(feed) for feed in feeds]
        turned = [{name: np.roll(one, 1, -1) for name, one in answer.items()} for answer in plain]
        return {"avx2": plain, "avx512": plain if good else turned}

    monkeypatch.setattr(verify_model.held_to_less, "tried", tried)
    monkeypatch.setattr(instruction_set, "has_vnni", lambda _: True)
    assert verify(release, "deployed") == 0
    assert sections.read(release, GoldenSection).count == 8
    assert ("warning: this release is for sites with VNNI" in capsys.readouterr().err) is not good
