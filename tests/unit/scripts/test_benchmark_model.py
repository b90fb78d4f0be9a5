"""benchmark-model: a real measurement, its section, its report."""

import re
import shutil

import pytest

from nearedge.release import record, sections, usage
from nearedge.release.sections import BenchmarkSection, OptimizationSection
from nearedge.release.usage import Running, Usage
from scripts import benchmark_model, optimize_model, verify_model


@pytest.fixture(scope="module")
def optimized_once(digits_release, tmp_path_factory):
    """A workspace after optimize-model and verify-model; not to be changed."""
    workspace = shutil.copytree(digits_release, tmp_path_factory.mktemp("optimized") / "release")
    assert optimize_model.main([f"--workspace={workspace}", "--precision=fp16"]) == 0
    assert verify_model.main([f"--workspace={workspace}", "--stage=deployed"]) == 0
    return workspace


@pytest.fixture
def optimized(optimized_once, tmp_path):
    """A copy of it."""
    return shutil.copytree(optimized_once, tmp_path / "optimized")


def bench(release, *more):
    return benchmark_model.main([f"--workspace={release}", "--seconds=0.3", *more])


def test_everything_is_measured_and_reported(optimized, tmp_path, capsys):
    results = [f"--result-{name}={tmp_path / name}" for name in ("p50-ms", "speedup")]
    other = Running(
        name="faces", memory_request_mib=2000, memory_limit_mib=2048, cpu_request_m=9, cpu_limit_m=9, told_by="record"
    )
    usage.write(optimized, Usage(sites={"full": [other]}))
    assert bench(optimized, *results, "--", "full", "new") == 0
    section = sections.read(optimized, BenchmarkSection)
    assert [(one.site, one.fits, one.others) for one in section.sites] == [
        ("full", False, ["faces"]), ("new", True, []),
    ]  # fmt: skip
    assert [one.name for one in section.timings] == ["source", "f32", "deployed"]
    assert [one.detail for one in section.timings] == [
        "ONNX Runtime, preprocessing in numpy before it",
        "OpenVINO, f32 weights and f32 execution", "OpenVINO, fp16 weights and f32 execution",
    ]  # fmt: skip
    times = {one.name: one.p50_ms for one in section.timings}
    faster = {one.name: one.faster.value for one in section.timings if one.faster}
    assert section.speedup_f32 == faster["f32"]
    assert section.speedup_deployed == faster["deployed"]
    assert float((tmp_path / "p50-ms").read_text()) == pytest.approx(times["deployed"], rel=1e-4)
    assert float((tmp_path / "speedup").read_text()) == pytest.approx(section.speedup_deployed, rel=1e-3)
    assert section.threads == 1 and section.profile == "microshift-small" and section.fits
    assert section.peak_rss_mib < section.memory_request_mib <= section.memory_limit_mib
    assert section.memory_limit_mib % 64 == section.memory_request_mib % 64 == 0
    assert section.load_ms > 0 and section.first_inference_ms > 0
    said = capsys.readouterr().err
    assert re.search("times as (fast|slow) as the source", said)
    assert "full: does not fit: 48 MiB and 1491m CPU are free beside faces" in said and "new: fits: " in said
    assert (optimized / "report" / "latency.png").stat().st_size > 10_000
    assert section.server_rss_mib >= 60 and section.server_rss_mib <= section.memory_request_mib
    assert section.cpu_request_m <= section.cpu_limit_m == 1000
    assert section.runtime.threads == 1 and not section.trials and not section.reused and section.goal_met
    assert section.onnxruntime == "ONNX Runtime runs the source itself"
    source, f32, deployed = section.timings
    assert source.faster is None and deployed.faster.low <= deployed.faster.value <= deployed.faster.high
    assert all(sum(one.histogram.counts) >= one.repeats * 3 for one in (source, f32, deployed))
    for name in ("report.md", "report.html"):
        assert "Latency" in (optimized / "report" / name).read_text(encoding="utf-8")


def test_a_site_with_too_little_memory_does_not_fit(optimized, edit_yaml):
    tiny = (
        "name: tiny\ndescription: x\nnode: {cpu: 1, memory_mib: 512}\nplatform: {cpu: 0.5, memory_mib: 400}\n"
        "model: {cpu: 0.5, memory_mib: 150}\ninstruction_set: amx\ndisk_gib: 1\nlink_mbit_s: 1\n"
    )
    (optimized / "source" / "tiny.yaml").write_text(tiny)
    edit_yaml(optimized, "microshift-small", "tiny.yaml")
    assert bench(optimized) == 0
    section = sections.read(optimized, BenchmarkSection)
    assert not section.fits and "is over the 150 MiB that tiny leaves" in section.fits_because


def test_half_a_core_and_too_little_memory_for_the_model(optimized, edit_yaml, capsys):
    site = (
        "name: half\ndescription: x\nnode: {cpu: 1, memory_mib: 512}\nplatform: {cpu: 0.5, memory_mib: 400}\n"
        "model: {cpu: 0.5, memory_mib: 40}\ninstruction_set: avx2\ndisk_gib: 1\nlink_mbit_s: 1\n"
    )
    (optimized / "source" / "half.yaml").write_text(site)
    edit_yaml(optimized, "microshift-small", "half.yaml")
    assert bench(optimized) == 3
    said = capsys.readouterr().err
    assert "the deployed model does not fit: it takes more than the 40 MiB" in said
    assert "a quota of 0.5 CPU by a control group" in said or "the share of 0.5 CPU could not be held" in said
    assert sections.read_optional(optimized, BenchmarkSection) is None


def test_a_search_a_kept_choice_and_an_earlier_release(optimized, edit_yaml, capsys):
    edit_yaml(optimized, "profile: microshift-small", "profile: microshift-small, goal: throughput, p99_ms: 60000")
    assert bench(optimized, "--against=previous") == 0
    found = sections.read(optimized, BenchmarkSection)
    assert found.goal_met and len(found.trials) > 1 and not found.reused and found.against is None
    [chosen] = [one for one in found.trials if one.outcome == "chosen"]
    assert chosen.runtime == found.runtime and chosen.p99_low_ms <= chosen.p99_high_ms
    assert "nothing to compare with" in capsys.readouterr().err
    whole = record.assemble(optimized, "microshift-small")
    assert whole.identity.runtime == found.runtime

    (optimized / "previous").mkdir()
    (optimized / "previous/release.json").write_text(record.dump(whole))
    old = shutil.copytree(optimized / "ir/deployed", optimized / "old")
    (old / "release.json").write_text(record.dump(whole.identity))
    assert bench(optimized, "--against=old", "--allowed-slowdown=100") == 0
    again = sections.read(optimized, BenchmarkSection)
    assert again.reused and again.runtime == found.runtime and len(again.trials) == 1
    assert again.against.retimed and again.against.faster.low <= again.against.faster.high


def test_a_latency_that_cannot_be_kept_stops_after_the_report(optimized, edit_yaml, capsys):
    edit_yaml(optimized, "profile: microshift-small", "profile: microshift-small, p99_ms: 0.0001")
    assert bench(optimized) == 3
    assert "target.p99_ms: 0.1 µs was asked for, and no runtime configuration keeps it" in capsys.readouterr().err
    assert not sections.read(optimized, BenchmarkSection).goal_met and (optimized / "report/report.md").is_file()


def test_nothing_to_benchmark_is_one_line(release, capsys):
    assert bench(release) == 1
    assert "optimization.json: missing; the Task that writes it has to run first" in capsys.readouterr().err


def test_an_exchanged_ir_is_refused_and_leaves_no_old_figures(optimized, capsys):
    (optimized / "report").mkdir()
    weights = optimized / "ir/deployed/model.bin"
    weights.write_bytes(weights.read_bytes()[:-4])
    assert bench(optimized) == 1
    assert "is not what optimize-model wrote" in capsys.readouterr().err
    assert sections.read_optional(optimized, BenchmarkSection) is None and not (optimized / "report").exists()
    assert sections.read_optional(optimized, OptimizationSection) is not None


@pytest.mark.parametrize("value", ["-1", "much", "nan", "1e9"])
def test_a_slowdown_that_is_none_is_wrong_usage(value):
    with pytest.raises(SystemExit) as stop:
        benchmark_model.main(["--workspace=/nowhere", f"--allowed-slowdown={value}"])
    assert stop.value.code == 2


@pytest.mark.parametrize("value", ["0", "-1", "long", "nan", "1e9"])
def test_a_budget_that_is_none_is_wrong_usage(value):
    with pytest.raises(SystemExit) as stop:
        benchmark_model.main(["--workspace=/nowhere", f"--seconds={value}"])
    assert stop.value.code == 2
