"""Turns of timed children: real processes on a real IR."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from converters import crowd, execution, timed_child, timed_process, timing, workspace
from converters.timing import Measured, Subject
from nearedge.errors import InputError, MachineError

CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


def feeds(count=3):
    images = np.random.default_rng(0).uniform(0, 16, (count, 1, 3, 8, 8)).astype("f4")
    return [{"image": one} for one in images]


def core():
    return [max(os.sched_getaffinity(0))]


def test_source_and_ir_are_timed_in_turns(digits_release, tmp_path):
    source = digits_release / "source"
    subjects = [
        Subject("source", "source", source / "model.onnx", feeds(), format="onnx", description=source / "model.yaml"),
        Subject("f32", "ir", digits_release / workspace.F32, feeds(), CONFIG),
    ]
    found = timing.interleaved(subjects, core(), 0.3, tmp_path, {})
    assert set(found) == {"source", "f32"}
    for one in found.values():
        assert len(one.repeats) == timing.REPEATS and all(len(repeat) >= 3 for repeat in one.repeats)
        assert one.load_ms > 0 and one.first_ms > 0 and 20 < one.peak_mib < 4000
    entry = found["f32"].timing("f32", "IR")
    assert 0 < entry.p50_ms <= entry.p99_ms <= entry.max_ms and entry.p90_ms <= entry.p99_ms
    assert entry.repeats == timing.REPEATS and entry.throughput_per_s > 0 and entry.spread >= 0
    assert found["f32"].compile_ms and found["f32"].compile_ms < found["f32"].load_ms
    assert found["source"].compile_ms is None


def test_answers_from_a_process_of_a_lesser_set(digits_release, tmp_path):
    xml = digits_release / workspace.F32
    least = timing.answers_held_to(
        Subject("least", "ir", xml, feeds(), CONFIG), core(), {"ONEDNN_MAX_CPU_ISA": "AVX2"}, tmp_path
    )
    here = execution.Runner(xml, CONFIG)
    for one, feed in zip(least, feeds(), strict=True):
        assert np.allclose(one["logits"], here.predict(feed)["logits"], atol=1e-4)


@pytest.mark.parametrize("subject,said", [
    (Subject("none", "ir", Path("/nowhere/model.xml"), feeds(), CONFIG), "timing none: "),
    (Subject("form", "source", Path("/nowhere/m.onnx"), feeds(), description=Path("/no.yaml")), "no.yaml"),
])  # fmt: skip
def test_what_cannot_be_loaded_is_one_line(subject, said, tmp_path):
    with pytest.raises(InputError, match=said) as fault:
        timing.interleaved([subject], core(), 0.1, tmp_path, {})
    assert "\n" not in str(fault.value)


def test_a_killed_child_may_need_memory(digits_release, tmp_path):
    subject = Subject("f32", "ir", digits_release / workspace.F32, feeds(), CONFIG)
    with timed_process.child(subject, core(), {}, tmp_path) as one:
        one.hear()
        one.process.kill()
        one.process.wait()
        with pytest.raises(MachineError, match="was killed; it may need more memory"):
            one.tell(do="time", seconds=1)


def test_figures():
    found = Measured(1.0, 2.0, [[1.0, 2.0, 3.0], [4.0, 4.0, 4.0], [3.0, 3.0, 9.0]])
    entry = found.timing("deployed", "x")
    assert (entry.p50_ms, entry.max_ms, entry.spread) == (3.0, 9.0, pytest.approx(2 / 3))
    assert entry.throughput_per_s == pytest.approx(1000 / (33 / 9))


def test_feeds_of_another_shape_are_left_out(tmp_path):
    odd = [*feeds(2), {"image": np.zeros((1, 3, 9, 9), "f4")}]
    timed_process.save_feeds(odd, tmp_path / "feeds.npz")
    assert len(timed_child.rows_of(str(tmp_path / "feeds.npz"))) == 2


def test_scalar_inputs_stay_arrays(tmp_path):
    timed_process.save_feeds([{"x": np.array(1.0)}, {"x": np.array(2.0)}], tmp_path / "feeds.npz")
    [first, second] = timed_child.rows_of(str(tmp_path / "feeds.npz"))
    assert isinstance(first["x"], np.ndarray) and first["x"].shape == () and second["x"] == 2.0


def test_threads_of_every_framework_are_limited():
    found = timed_process.environment(2, {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert found["OMP_NUM_THREADS"] == found["TF_NUM_INTRAOP_THREADS"] == "2"
    assert found["OMP_WAIT_POLICY"] == "PASSIVE" and found["ONEDNN_MAX_CPU_ISA"] == "AVX2"


def test_a_slice_ends_by_time_or_number():
    calls = []
    latencies, _ = crowd.timed(calls.extend, [1, 2], 1, 0.0, 0.0)
    assert len(latencies) == 3 and calls == [1, 2, 1]
    assert len(crowd.timed(lambda _: None, [1], 1, 0.0, 60.0)[0]) == crowd.MOST_LATENCIES


def test_the_childs_parts_in_this_process(digits_release, tmp_path):
    source = digits_release / "source"
    spec = {
        "model": str(source / "model.onnx"), "format": "onnx", "description": str(source / "model.yaml"), "threads": 1,
    }  # fmt: skip
    one = crowd.batched(timed_child.load_original(spec), 1)
    timed_child.answer(one, feeds(2), str(tmp_path / "answers.npz"))
    with np.load(tmp_path / "answers.npz") as arrays:
        assert arrays["logits"].shape == (2, 1, 10)
        source = arrays["logits"]
    spec = {"kind": "ir", "model": str(digits_release / workspace.F32), "config": CONFIG, "workers": 2, "feeds_kept": 1}
    workers, seconds = timed_child.load(spec)
    assert len(workers) == 2 and seconds > 0
    found = [predict(feed)["logits"] for predict, feed in zip(workers, feeds(2), strict=True)]
    assert np.allclose(found, source, atol=1e-3), "the source is fed what the IR is fed: raw values"
    ours = crowd.batched(workers[0], 4)(feeds(3))
    assert np.allclose(
        [answer["logits"] for answer in ours], [workers[0](feed)["logits"] for feed in feeds(3)], atol=1e-4
    )
    assert timed_child.peak_mib() > 20
    assert json.dumps(timed_child.peak_mib())
