"""Whether a model fits beside what a site runs already."""

import pytest

from converters import site_fit
from converters.site_fit import Needs
from nearedge.release import profile
from nearedge.release.usage import Running, Usage

SMALL = profile.read("microshift-small")  # 2048 MiB and 1500m are left for models
NEEDS = Needs(memory_limit_mib=256, cpu_request_m=250)


def running(name, request, limit=None, cpu=250):
    told = "unknown" if request is None else "record"
    return Running(
        name=name, memory_request_mib=request, memory_limit_mib=limit, cpu_request_m=cpu, cpu_limit_m=None, told_by=told
    )


CASES = {
    "a site that is not in git": ([], NEEDS, True, 2048, "2048 MiB and 1500m CPU are free with no other model in git"),
    "room for two": ([running("a", 1536)], NEEDS, True, 512, "two of them while a release follows another"),
    "room for one alone": ([running("a", 1600)], NEEDS, True, 448, "no answers while one follows the other"),
    "no room": ([running("a", 1800), running("b", 100)], NEEDS, False, 148, "beside a, b; a pod takes 256 MiB"),
    "more than there is": ([running("a", 4000)], NEEDS, False, -1952, "0 MiB and"),
    "one that is large is replaced, not doubled": ([running("a", 600)], Needs(1400, 250), True, 1448, "no answers"),
    "no CPU left to ask for": ([running("a", 64, cpu=1400)], NEEDS, False, 1984, "100m CPU are free"),
    "CPU for one alone": ([running("a", 64, cpu=1200)], NEEDS, True, 1984, "no answers while one follows the other"),
    "one that says nothing": ([running("a", None, cpu=None)], NEEDS, True, 2048, "what a takes is unknown"),
    "limits beyond the node": (
        [running("a", 500, 1900)], NEEDS, True, 1548, "all at their limits would take 2156 MiB of 2048"
    ),
    "many": ([running(f"m{n}", 10, cpu=1) for n in range(9)], NEEDS, True, 1958, "m5 and 3 more"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_fit_beside_the_others(case):
    others, needs, expected, free, words = CASES[case]
    found = site_fit.fit("s", others, needs, SMALL)
    assert (found.fits, found.free_mib, found.used_mib) == (expected, free, 2048 - free)
    assert words in found.because and found.others == [one.name for one in others]


def test_the_model_itself_is_no_other():
    usage = Usage(sites={"a": [running("digits", 1900)], "b": [running("faces", 1900)]})
    found = site_fit.fits(dict.fromkeys(["a", "b", "new"], SMALL), "digits", usage, NEEDS)
    assert [(one.site, one.fits, one.others) for one in found] == [
        ("a", True, []), ("b", False, ["faces"]), ("new", True, []),
    ]  # fmt: skip


def test_a_site_is_judged_by_its_own_node():
    large = profile.read("sno-small")
    usage = Usage(sites={site: [running("faces", 1900)] for site in ("a", "b")})
    found = site_fit.fits({"a": SMALL, "b": large}, "digits", usage, NEEDS)
    assert [(one.fits, one.free_mib, one.used_cpu_m) for one in found] == [(False, 148, 250), (True, 4244, 250)]
