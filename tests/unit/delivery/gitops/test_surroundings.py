"""What stands around the pod: nobody else gets in, nothing gets out, no drain waits; and the record in a ConfigMap."""

import json
from pathlib import Path

import pytest
import yaml

from nearedge.delivery.gitops import render, small_record, surroundings
from nearedge.errors import InputError
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record
from nearedge.release.sections import SiteTransfer, Trial

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
PROFILE = profiles.read("microshift-small")


def test_only_what_is_needed_gets_in_and_nothing_out() -> None:
    spec = surroundings.network_policy(RECORD, surroundings.of_deployment(RECORD))["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == []
    callers, routers = spec["ingress"]
    assert callers["from"][0] == {"podSelector": {}}
    assert {"namespaceSelector": {"matchLabels": {"nearedge.dev/calls-models": "true"}}} in callers["from"]
    assert [port["port"] for port in callers["ports"]] == ["http", "grpc"]
    assert [port["port"] for port in routers["ports"]] == ["http"], "neither router nor Prometheus speaks gRPC with it"
    assert all(peer.get("namespaceSelector", {}).get("matchLabels") for peer in routers["from"]), "none means all"


def test_the_account_brings_no_token() -> None:
    assert surroundings.service_account(RECORD)["automountServiceAccountToken"] is False


def test_no_drain_waits_for_the_pod() -> None:
    spec = surroundings.disruption_budget(RECORD, surroundings.of_deployment(RECORD))["spec"]
    assert spec["maxUnavailable"] == 1
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert "minAvailable" not in spec


def large(trials: int, runs: int = 1) -> Record:
    """The example's record with so many trials, and an origin of so many kB."""
    assert RECORD.evidence.benchmark is not None and RECORD.evidence.optimization is not None
    trial = Trial(
        runtime=RECORD.identity.runtime, clients=1, p50_ms=1, p99_ms=2, throughput_per_s=900, outcome="slower"
    )
    benchmark = RECORD.evidence.benchmark.model_copy(update={"trials": [trial] * trials})
    evidence = RECORD.evidence.model_copy(update={"benchmark": benchmark, "origin": "x" * 1000 * runs})
    return RECORD.model_copy(update={"evidence": evidence})


def test_a_record_too_large_for_a_config_map_is_thinned_there_alone() -> None:
    assert small_record.for_config_map(RECORD) == records.dump(RECORD)
    record = large(2000)
    tree = render.render(record, PROFILE, [])
    assert tree["models/digits/base/release.json"] == records.dump(record)
    small = tree["models/digits/base/release-small.json"]
    assert len(small.encode()) <= small_record.MOST_BYTES < len(records.dump(record).encode())
    assert json.loads(small)["evidence"]["benchmark"]["trials"] == []
    assert records.parse(small, "it").identity == record.identity
    (generator,) = yaml.safe_load(tree["models/digits/base/kustomization.yaml"])["configMapGenerator"]
    assert generator["files"] == ["release.json=release-small.json"]


def test_a_fleet_of_a_thousand_sites_fits() -> None:
    image = RECORD.evidence.image
    assert image is not None
    one = SiteTransfer(
        site="s" * 40, bytes=1, partial_bytes=1, whole_bytes=1, link_mbit_s=1, against=["sha256:" + "0" * 64]
    )
    image = image.model_copy(update={"sites": [one] * 1000})
    record = RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"image": image})})
    assert not small_record.fits(records.dump(record))
    small = records.parse(small_record.for_config_map(record), "it")
    assert small.evidence.image is not None and small.evidence.image.sites == []


def test_a_record_too_large_even_so() -> None:
    with pytest.raises(InputError, match=r"has \d{6} bytes, and a ConfigMap may hold 220000 of it"):
        render.render(large(0, runs=250), PROFILE, [])
