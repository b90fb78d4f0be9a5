"""The choice: the fastest that holds, unless a simpler one is as fast, with a sentence for each."""

from pathlib import Path

import pytest

from converters import choose
from converters.candidates import Made
from converters.timing import Measured
from nearedge.errors import GateError
from nearedge.release.sections import OutputParity


def made(precision, *faults):
    parity = OutputParity(name="y", max_abs=1, mean_abs=1, max_relative=0.2, cosine=1, top1_agreement=0.99)
    return Made(precision, Path("x"), 2_000_000, [parity], 0.97, 0.001, list(faults))


def measured(**p50_ms):
    return {name: Measured(1.0, 1.0, [[ms], [ms * 2], [ms * 3]], 55.5) for name, ms in p50_ms.items()}


@pytest.mark.parametrize("times,precision", [
    ({"f32": 1.0, "fp16": 1.0, "bf16": 1.0, "int8": 1.0}, "fp16"),
    ({"f32": 1.0, "fp16": 1.0, "bf16": 1.0, "int8": 0.96}, "fp16"),
    ({"f32": 1.0, "fp16": 1.0, "bf16": 1.0, "int8": 0.9}, "int8"),
    ({"f32": 1.0, "fp16": 1.0, "bf16": 0.5, "int8": 0.49}, "bf16"),
    ({"f32": 1.0, "fp16": 1.0, "bf16": 0.5, "int8": 0.4}, "int8"),
    ({"f32": 0.9, "fp16": 1.0, "int8": 1.5}, "fp16"),
    ({"f32": 0.5, "fp16": 1.0, "int8": 0.6}, "f32"),
    ({"f32": 1.0}, "f32"),
])  # fmt: skip
def test_a_dearer_one_must_be_worth_it(times, precision):
    found = choose.fastest([made(name) for name in times], measured(**times))
    assert found.precision == precision and set(found.outcomes) == set(times)
    assert found.outcomes[precision].startswith("chosen: holds, drop 0.001, median")
    assert all(("chosen" in said) == (name == precision) for name, said in found.outcomes.items())


@pytest.mark.parametrize("int8,said", [
    (0.5, "gains nothing over bf16: 1.00 times as fast, 1.05 would make it worth it"),
    (0.6, "gains nothing over bf16: 0.83 times as fast, 1.05 would make it worth it"),
    (0.49, "gains too little over bf16: 1.02 times as fast, 1.05 would make it worth it"),
])  # fmt: skip
def test_int8_that_gains_nothing_over_bf16_is_told_so_and_not_picked(int8, said):
    times = {"f32": 1.0, "fp16": 1.0, "bf16": 0.5, "int8": int8}
    found = choose.fastest([made(name) for name in times], measured(**times))
    assert found.precision == "bf16" and found.outcomes["int8"] == f"holds, but {said}"


def test_a_note_is_added_to_those_it_is_about():
    found = choose.Choice("fp16", {"fp16": "chosen: a", "int8": "b"}).noting("; c", ("int8", "int8-accuracy-aware"))
    assert found == choose.Choice("fp16", {"fp16": "chosen: a", "int8": "b; c"})


def test_what_does_not_hold_is_never_chosen():
    found = choose.fastest(
        [made("f32"), made("fp16", "output 'y': cosine"), made("int8", "accuracy drops")], measured(f32=1.0)
    )
    assert found.precision == "f32"
    assert found.outcomes["int8"] == "does not hold: accuracy drops"


def test_none_that_holds_is_a_gate():
    with pytest.raises(GateError, match="no candidate holds; f32: does not hold: NaN"):
        choose.fastest([made("f32", "NaN")], {})


def test_gain_is_judged_turn_by_turn():
    noisy = Measured(1.0, 1.0, [[10.0], [1.0], [1.0], [50.0]])
    other = Measured(1.0, 1.0, [[5.0], [0.5], [0.5], [25.0]])
    assert choose.gain(noisy, other) == 2.0


def test_what_else_ran_on_the_machine_does_not_count():
    calm, disturbed = [1.0] * 20, [1.0] * 8 + [40.0] * 12
    simpler = Measured(1.0, 1.0, [calm, calm, disturbed])
    dearer = Measured(1.0, 1.0, [disturbed, disturbed, calm])
    assert choose.gain(simpler, dearer) == 1.0 and simpler.p50_ms() < dearer.p50_ms()


def test_the_table_has_every_candidate():
    rows = choose.table(
        [made("f32"), made("fp16", "bad")], measured(f32=1.0), {"bf16": "not possible: no"}, {"f32": "a", "fp16": "b"}
    )
    assert [(one.precision, one.outcome) for one in rows] == [("f32", "a"), ("fp16", "b"), ("bf16", "not possible: no")]
    assert rows[0].p50_ms == 2.0 and rows[1].p50_ms is None and rows[2].size_bytes is None
    assert (rows[0].max_relative, rows[0].top1_agreement, rows[0].drop) == (0.2, 0.99, 0.001)
    assert rows[0].p99_ms == pytest.approx(2.98) and rows[0].peak_rss_mib == 55.5 and rows[1].p99_ms is None
    nothing = Made("int8", Path("x"), 1, [], None, None, ["NaN"])
    assert (nothing.max_relative(), nothing.top1_agreement()) == (0.0, None)
    assert choose.table([nothing], {}, {}, {"int8": "c"})[0].max_relative is None
    assert choose.praise("int8", nothing, {}) == "holds, not timed, 0.0 kB"


def test_a_gain_that_may_be_noise_is_not_taken():
    turns = [1.0, 1.3, 0.8, 1.1, 0.9, 1.2]
    steady = Measured(1.0, 1.0, [[1.15]] * 6, 55.5)
    noisy = Measured(1.0, 1.0, [[one] for one in turns], 55.5)
    found = choose.fastest([made("fp16"), made("int8")], {"fp16": steady, "int8": noisy})
    assert choose.gain(steady, noisy) > 1.05 > choose.sure_gain(steady, noisy)
    assert found.precision == "fp16"
    assert "over fp16 may be noise: 1.10 times as fast, for sure" in found.outcomes["int8"]
