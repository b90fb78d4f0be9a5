"""Memory with headroom, and the fit into a site's share."""

import pytest

from converters import benchmark
from converters.benchmark import Memory
from nearedge.release import profile
from nearedge.release.sections import OptimizationSection, RuntimeConfiguration


@pytest.mark.parametrize("mib,up", [(0.1, 64), (64, 64), (64.1, 128), (200, 256)])
def test_rounded_up_to_64(mib, up):
    assert benchmark.rounded(mib) == up


@pytest.mark.parametrize("peak,request_mib,limit", [(90, 192, 256), (500, 640, 768), (3000, 3392, 4288)])
def test_request_and_limit_leave_room_over_the_peak(peak, request_mib, limit):
    found = benchmark.memory(peak)
    assert found == Memory(request_mib, limit) and peak < found.request_mib <= found.limit_mib


def test_fit_says_why():
    site = profile.read("microshift-small")
    fits, because = benchmark.fit(site, Memory(192, 256))
    assert fits and "256 MiB leaves 512 of the 768 MiB that microshift-small has" in because
    fits, because = benchmark.fit(site, Memory(704, 832))
    assert not fits and "832 MiB is over the 768 MiB" in because
    assert benchmark.fit(site, Memory(704, 768))[0]


@pytest.mark.parametrize("precision,said", [
    ("int8", "OpenVINO, int8 weights and execution, the rest in f32"),
    ("int8-weights", "OpenVINO, int8 weights and f32 execution"),
    (
        "int8-accuracy-aware",
        "OpenVINO, int8 weights and execution where the accuracy bears it, the rest in f32",
    ),
    ("fp16", "OpenVINO, fp16 weights and f32 execution"),
])  # fmt: skip
def test_what_is_deployed_is_said_rightly(precision, said):
    runtime = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1)
    section = OptimizationSection(
        requested="auto", precision=precision, runtime=runtime, inputs=[], outputs=[], xml_sha256="", bin_sha256="",
        size_bytes=1, candidates=[], reused=False,
    )  # fmt: skip
    assert benchmark.executed(section) == said
