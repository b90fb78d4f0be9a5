"""Which runtime configuration is chosen from what was measured, and the gate on the p99 that was asked for."""

from pathlib import Path

import numpy as np
import pytest

from converters import choice, configurations
from converters.measured import Measured
from nearedge.errors import GateError
from nearedge.release import record
from nearedge.release.description import Target
from nearedge.release.sections import OptimizationSection, RuntimeConfiguration, TensorSpec

BASE = RuntimeConfiguration(inference_precision="bf16", performance_hint="LATENCY", streams=1, threads=4)
RECORD = Path(__file__).parents[1] / "delivery/data/release.json"
AGREES = "".format


def section(**changes):
    benchmark = record.read(RECORD).evidence.benchmark
    return benchmark.model_copy(update=changes)


def optimization(first=-1):
    tensor = TensorSpec(name="x", datatype="FP32", shape=[first, 3])
    return OptimizationSection(
        requested="auto", precision="bf16", runtime=BASE, inputs=[tensor], outputs=[tensor], xml_sha256="",
        bin_sha256="", size_bytes=1, candidates=[], reused=False,
    )  # fmt: skip


def measured(p50, per_second, noise=0.01, tail=1.0):
    rng = np.random.default_rng(round(p50 * 1000))
    turns = [list(p50 * rng.lognormal(0, noise, 60)) + [p50 * tail] * 2 for _ in range(15)]
    return Measured(1, 1, turns, per_second=[per_second * factor for factor in rng.lognormal(0, noise, 15)])


def tried(target, threads=4, first=-1):
    return configurations.worth_trying(optimization(first), target, threads)


def test_one_thread_and_one_client_is_one_configuration():
    [only] = tried(Target(), threads=1)
    assert (only.streams, only.threads, only.max_batch, only.inference_precision) == (1, 1, 1, "bf16")


def test_latency_tries_threads_and_throughput_streams_and_batches():
    assert [one.threads for one in tried(Target())] == [1, 2, 4]
    found = tried(Target(goal="throughput", p99_ms=4))
    assert [(one.max_batch, one.streams) for one in found] == [(size, n) for size in (1, 4, 16) for n in (1, 2, 4)]
    assert {one.performance_hint for one in found if one.streams > 1} == {"THROUGHPUT"}
    assert [one.max_wait_ms for one in found] == [0.0] * 3 + [1.0] * 6
    assert {one.max_batch for one in tried(Target(goal="throughput"), first=1)} == {1}
    assert configurations.halves(6) == [1, 3, 6]


def test_the_fastest_is_chosen_and_the_others_say_why_not():
    every = [measured(4, 250), measured(2, 500), measured(1, 1000)]
    found = choice.judge(Target(), tried(Target()), every, AGREES)
    assert found.runtime.threads == 4 and found.goal_met
    assert [one.outcome.split(" (")[0] for one in found.trials] == [
        "4.00 times as slow as what is chosen", "2.00 times as slow as what is chosen", "chosen",
    ]  # fmt: skip


def test_noise_does_not_choose():
    every = [measured(1.001, 1, noise=0.5), measured(1.0, 1, noise=0.5), measured(0.999, 1, noise=0.5)]
    found = choice.judge(Target(), tried(Target()), every, AGREES)
    assert found.runtime.threads == 1 and "noise" in found.trials[2].outcome


def test_the_p99_asked_for_is_judged_by_its_interval_with_the_wait_for_a_batch():
    target = Target(goal="throughput", p99_ms=10)
    options = tried(target)
    slow = [measured(20, 9000) for _ in options[3:]]
    found = choice.judge(target, options, [measured(1, 100), measured(1, 300), measured(1, 200), *slow], AGREES)
    assert (found.runtime.streams, found.runtime.max_batch) == (2, 1)
    assert all("over the 10 ms asked for" in one.outcome for one in found.trials[3:])
    assert found.trials[3].p50_ms == pytest.approx(22, rel=0.02) and found.trials[3].clients == 4


def test_a_configuration_that_answers_otherwise_is_not_chosen():
    def unlike(runtime):
        return "output 'y' differs" if runtime.threads == 4 else ""

    found = choice.judge(Target(), tried(Target()), [measured(4, 1), measured(2, 1), measured(1, 1)], unlike)
    assert found.runtime.threads == 2 and found.trials[2].outcome == "output 'y' differs"


def test_a_p99_that_nothing_keeps_is_said_and_stops_only_where_it_is_sure():
    target = Target(p99_ms=0.5)
    found = choice.judge(target, tried(target), [measured(4, 1), measured(2, 1), measured(1, 1)], AGREES)
    assert not found.goal_met and found.runtime.threads == 4
    assert found.trials[2].outcome.startswith("chosen, and yet its p99 may be")
    with pytest.raises(GateError, match="p99_ms: 500 µs was asked for"):
        choice.gate(target, section(trials=found.trials))
    unsure = choice.judge(Target(p99_ms=2), tried(Target()), [measured(9, 1), measured(9, 1), measured(1, 1, tail=3)],
                          AGREES)  # fmt: skip
    choice.gate(Target(p99_ms=3.5), section(trials=unsure.trials))
