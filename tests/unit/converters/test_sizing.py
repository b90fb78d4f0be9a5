"""Memory and CPU with headroom, and the fit into a site's share."""

import pytest

from converters import sizing
from converters.sizing import Cpu, Memory
from nearedge.release import profile


@pytest.mark.parametrize("mib,up", [(0.1, 64), (64, 64), (64.1, 128), (200, 256)])
def test_rounded_up_to_64(mib, up):
    assert sizing.rounded(mib, 64) == up


@pytest.mark.parametrize("peak,request_mib,limit", [(100, 128, 192), (500, 576, 704), (3000, 3328, 4224)])
def test_request_and_limit_leave_room_over_the_peak(peak, request_mib, limit):
    found = sizing.memory(peak)
    assert found == Memory(request_mib, limit) and peak < found.request_mib <= found.limit_mib


def test_fit_says_why():
    site = profile.read("microshift-small")
    fits, because = sizing.fit(site, Memory(192, 256))
    assert fits and "256 MiB leaves 512 of the 768 MiB that microshift-small has" in because
    fits, because = sizing.fit(site, Memory(704, 832))
    assert not fits and "832 MiB is over the 768 MiB" in because
    assert sizing.fit(site, Memory(704, 768))[0]


@pytest.mark.parametrize("site,busy,goal,wanted", [
    ("microshift-small", 1, "latency", Cpu(250, 1000)), ("microshift-small", 1, "throughput", Cpu(1000, 1000)),
    ("sno-small", 1, "latency", Cpu(250, 1250)), ("sno-medium", 4, "throughput", Cpu(4000, 4000)),
])  # fmt: skip
def test_cpu_leaves_room_beside_inference_within_the_share(site, busy, goal, wanted):
    assert sizing.cpu(busy, profile.read(site), goal) == wanted
