"""Requests and limits of the pod come from the record's benchmark."""

from pathlib import Path

import pytest

from nearedge.delivery.gitops import manifests
from nearedge.delivery.gitops.manifests import Resources
from nearedge.release import profile, record

RECORD = record.read(Path(__file__).parents[1] / "data/release.json")
SITE = profile.read("sno-small")


@pytest.mark.parametrize("changes,wanted", [
    ({"cpu_request_m": 300, "cpu_limit_m": 1250}, (300, 1250)),
    ({"cpu_request_m": None, "cpu_limit_m": None}, (SITE.cpu_request_m, 2000)),
])  # fmt: skip
def test_cpu_as_measured_or_the_profiles_share(changes, wanted):
    benchmark = RECORD.evidence.benchmark.model_copy(update=changes)
    measured = RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"benchmark": benchmark})})
    found = manifests.resources(measured, SITE)
    assert found == Resources(*wanted, benchmark.memory_request_mib, benchmark.memory_limit_mib)


def test_nothing_measured_is_the_profiles_share():
    bare = RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"benchmark": None})})
    assert manifests.resources(bare, SITE) == Resources(SITE.cpu_request_m, 2000, 2048, 2048)
