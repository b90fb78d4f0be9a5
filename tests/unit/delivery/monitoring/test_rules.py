"""Rules of several releases, judged by promtool: each alert fires on what it is for and on nothing else."""

import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any

import pytest
import yaml

from nearedge.delivery import monitoring
from nearedge.delivery.monitoring import alerts, catalogue, objects, promise, recording
from nearedge.delivery.monitoring.promise import Promise
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
PROFILE = profiles.read("microshift-small")
OTHER = "sha256:" + "9" * 64
MINUTES = 45
PER_MINUTE = 600.0


def with_p99(p99_ms: float | None, name: str = "digits") -> Record:
    """The record with another promise, None: never measured."""
    benchmark = RECORD.evidence.benchmark
    assert benchmark is not None
    timings = [one.model_copy(update={"p99_ms": p99_ms}) for one in benchmark.timings if one.name == "deployed"]
    measured = None if p99_ms is None else benchmark.model_copy(update={"timings": timings})
    identity = RECORD.identity.model_copy(update={"name": name})
    return Record(identity=identity, evidence=RECORD.evidence.model_copy(update={"benchmark": measured}))


RELEASES = {
    "digits": promise.of(with_p99(7.3), PROFILE),
    "tiny": promise.of(RECORD, PROFILE),
    "slow": promise.of(with_p99(730.0, "slow-one"), PROFILE),
    "unmeasured": promise.of(with_p99(None), PROFILE),
}


@dataclass
class Site:
    """What a site tells, minute by minute; the defaults are a healthy one."""

    release: Promise
    ready: str = f"1x{MINUTES}"
    self_test: str = f"1x{MINUTES}"
    digest: str = ""
    codes: dict[str, float] = field(default_factory=lambda: {"200": PER_MINUTE})
    slower: float = 1.0
    memory_share: float = 0.7
    there: bool = True
    site: str = "edge-1"

    def series(self) -> list[dict[str, str]]:
        """As promtool takes it."""
        model, release = self.release.model, self.release
        target = f'namespace="models",site="{self.site}",job="digits",instance="10.0.0.1:8080"'
        own = f'{target},model="{model}",version="1"'
        found = {
            f"{catalogue.READY.name}{{{own}}}": self.ready,
            f"{catalogue.SELF_TEST.name}{{{own}}}": self.self_test,
            f'{catalogue.MODEL_INFO.name}{{{own},digest="{self.digest or release.digest}"}}': f"1x{MINUTES}",
            f"{catalogue.MEMORY.name}{{{target}}}": f"{self.memory_share * release.memory_limit_bytes}x{MINUTES}",
            f"{catalogue.CPU.name}{{{target}}}": f"0+6x{MINUTES}",
        }
        for code, rate in self.codes.items():
            found[f'{catalogue.REQUESTS.name}{{{own},protocol="rest",code="{code}"}}'] = f"0+{rate}x{MINUTES}"
        inference = catalogue.INFERENCE_SECONDS.name
        for bound in catalogue.FINE:
            share = PER_MINUTE * self.spread().cdf(log(bound))
            found[f'{inference}_bucket{{{own},le="{bound}"}}'] = f"0+{share}x{MINUTES}"
        found[f"{inference}_count{{{own}}}"] = f"0+{PER_MINUTE}x{MINUTES}"
        return [{"series": name, "values": values} for name, values in found.items()] if self.there else []

    def spread(self) -> statistics.NormalDist:
        """Of the times' logarithms: log-normal, its p99 what was promised, times `slower`."""
        sigma = 0.3
        p99 = statistics.NormalDist().inv_cdf(0.99) * sigma
        return statistics.NormalDist(log((self.release.p99_s or 0.01) * self.slower) - p99, sigma)


def scenarios(release: Promise) -> dict[str, tuple[Site, set[str]]]:
    """What happens, and which alerts fire of it (a burn with its window) after `MINUTES`."""
    burns = {f"NearedgeErrorBudgetBurn {window}" for window in ("1h", "6h", "3d")}
    down = f"0x{MINUTES}"
    slow = {"NearedgeSlowerThanPromised"} if release.slow_s else set()
    found: dict[str, tuple[Site, set[str]]] = {
        "healthy": (Site(release), set()),
        "absent": (Site(release, there=False), {"NearedgeModelMissing"}),
        "gone": (Site(release, ready="1x9 stale", self_test="1x9 stale"), {"NearedgeModelMissing", *burns}),
        "not ready": (Site(release, ready=down), {"NearedgeModelNotReady", *burns}),
        "self-test": (
            Site(release, ready=down, self_test=down), {"NearedgeModelNotReady", "NearedgeSelfTestFailed", *burns}
        ),
        "another image": (Site(release, digest=OTHER), {"NearedgeVersionDiffers"}),
        "clients' faults": (Site(release, codes={"200": PER_MINUTE, "400": 300, "RESOURCE_EXHAUSTED": 9}), set()),
        "10 % fail": (Site(release, codes={"200": 540, "500": 40, "INTERNAL": 20}), burns),
        "5 % fail": (Site(release, codes={"200": 570, "500": 30}), burns - {"NearedgeErrorBudgetBurn 1h"}),
        "1 % fails": (Site(release, codes={"200": 594, "504": 6}), {"NearedgeErrorBudgetBurn 3d"}),
        "0.4 % fails": (Site(release, codes={"200": 597.6, "500": 2.4}), set()),
        "queue full": (Site(release, codes={"200": 599, "503": 1}), {"NearedgeQueueFull"}),
        "queue full by gRPC": (Site(release, codes={"OK": 599, "UNAVAILABLE": 1}), {"NearedgeQueueFull"}),
        "memory": (Site(release, memory_share=0.95), {"NearedgeMemoryNearLimit"}),
        "1.2 times as slow": (Site(release, slower=1.2), set()),
        "twice as slow": (Site(release, slower=2.0), slow if (release.p99_s or 0) > 0.0005 else set()),
        "ten times as slow": (Site(release, slower=10.0), slow),
    }  # fmt: skip
    return found


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """What promtool says of a release's rules, or of tests of them."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    folder = tmp_path_factory.mktemp("rules")

    def run(release: Promise, tests: list[dict[str, Any]]) -> str:
        (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": objects.groups(release)}))
        groups = [group["name"] for group in objects.groups(release)]
        document = {
            "rule_files": ["rules.yaml"],
            "evaluation_interval": "1m",
            "group_eval_order": groups,
            "tests": tests,
        }
        (folder / "tests.yaml").write_text(yaml.safe_dump(document))
        command = ["test", "rules", "tests.yaml"] if tests else ["check", "rules", "--lint=all", "rules.yaml"]
        done = subprocess.run(["promtool", *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def samples(expected: set[str]) -> list[dict[str, Any]]:
    """The alerts as promtool compares them."""
    found = []
    for alert in expected:
        name, _, window = alert.partition(" ")
        labels = f'alertname="{name}"' + (f',window="{window}"' if window else "")
        found.append({"labels": f"{{{labels}}}", "value": 1})
    return found


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_rules_are_clean(release: Promise, judge: Callable[..., str]) -> None:
    count = sum(len(group["rules"]) for group in objects.groups(release))
    assert f"{count} rules found" in judge(release, [])


def cases(release: Promise, names: Iterable[str]) -> list[dict[str, Any]]:
    """Some of the scenarios as promtool takes them."""
    firing = 'group by (alertname, window) (ALERTS{alertstate="firing"})'
    return [
        {
            "name": name,
            "interval": "1m",
            "input_series": site.series(),
            "promql_expr_test": [{"expr": firing, "eval_time": f"{MINUTES}m", "exp_samples": samples(expected)}],
        }
        for name, (site, expected) in scenarios(release).items()
        if name in names
    ]


def test_each_alert_fires_when_it_should_and_then_only(judge: Callable[..., str]) -> None:
    release = RELEASES["digits"]
    judge(release, cases(release, scenarios(release)))
    fired = {name.partition(" ")[0] for _, expected in scenarios(release).values() for name in expected}
    assert fired == {one.name for one in alerts.rules(release)}


@pytest.mark.parametrize("name", [name for name in RELEASES if name != "digits"])
def test_alerts_that_follow_from_the_record(name: str, judge: Callable[..., str]) -> None:
    of_figures = ("healthy", "another image", "memory", "1.2 times as slow", "twice as slow", "ten times as slow")
    judge(RELEASES[name], cases(RELEASES[name], of_figures))


def test_sites_are_told_apart_where_one_prometheus_has_them_all(judge: Callable[..., str]) -> None:
    release = RELEASES["digits"]
    well, gone = Site(release), Site(release, site="edge-2", ready="1x9 stale", self_test="1x9 stale")
    firing = 'group by (alertname, site) (ALERTS{alertstate="firing",alertname!="NearedgeErrorBudgetBurn"})'
    expected = {"labels": '{alertname="NearedgeModelMissing",site="edge-2"}', "value": 1}
    used = [{"labels": f'{{site="{site}"}}', "value": 0.1} for site in ("edge-1",)]
    tests = [
        {"expr": firing, "eval_time": f"{MINUTES}m", "exp_samples": [expected]},
        {"expr": f"round(max by (site) ({recording.CPU}), 0.1)", "eval_time": f"{MINUTES}m", "exp_samples": used},
    ]
    both = [*well.series(), *gone.series()]
    judge(release, [{"interval": "1m", "input_series": both, "promql_expr_test": tests}])


def test_what_is_recorded_of_a_site(judge: Callable[..., str]) -> None:
    release = RELEASES["digits"]
    labels = 'namespace="models",site="edge-1",model="digits"'
    site = Site(release, ready="1x29 0x15", codes={"200": 540, "500": 60})
    expected = {
        f"{recording.READY}": 0.0,
        f"{recording.REQUESTS}": 10.0,
        f"{recording.FAILURES}": 1.0,
        recording.success_over("5m"): 0.9,
        recording.ready_over("5m"): 0.0,
        recording.available_over("5m"): 0.0,
        recording.MEMORY_LIMIT: 192.0 * 2**20,
        recording.CPU: 0.1,
        recording.CPU_LIMIT: 1.0,
        recording.PROMISED: 0.0073,
    }
    same = [{"labels": f"{{{labels}}}", "value": 1}]
    tests: list[dict[str, Any]] = [
        {"expr": f"abs({name} - {value}) < bool 1e-9", "eval_time": "45m", "exp_samples": same}
        for name, value in expected.items()
    ]
    pulled = {"labels": f'{{{labels},digest="{release.digest}"}}', "value": 61000000}
    tests.append({"expr": f"max without () ({recording.PULLED})", "eval_time": "45m", "exp_samples": [pulled]})
    judge(release, [{"interval": "1m", "input_series": site.series(), "promql_expr_test": tests}])


@pytest.mark.parametrize("p99_ms", [0.51, 0.7, 1.0, 7.3, 50.0, 999.0, 4999.0])
def test_the_bound_lies_between_the_promise_and_twice_as_much(p99_ms: float) -> None:
    slow = promise.slow(p99_ms / 1000)
    assert slow is not None and 1.32 <= slow * 1000 / p99_ms < 2


def test_what_no_bucket_can_tell() -> None:
    assert promise.slow(0.00002) == promise.LEAST_S == 0.001
    assert promise.slow(10.5) is None
    release = promise.of(with_p99(10_500.0), PROFILE)
    assert "NearedgeSlowerThanPromised" not in {one.name for one in alerts.rules(release)}


def test_the_promise_counts_waiting_for_one_another() -> None:
    benchmark = RECORD.evidence.benchmark
    assert benchmark is not None
    trial = {"runtime": RECORD.identity.runtime, "clients": 8, "p50_ms": 3.0, "p99_ms": 9.0, "throughput_per_s": 1.0}
    trials = [{**trial, "outcome": "chosen"}, {**trial, "p99_ms": 99.0, "outcome": "too slow"}]
    tried = benchmark.model_validate({**benchmark.model_dump(), "trials": trials})
    assert (promise.p99(benchmark), promise.p99(tried)) == (pytest.approx(0.00024), 0.009)


def test_an_alert_says_what_to_do_and_names_its_runbook() -> None:
    book = (Path(__file__).parents[4] / alerts.RUNBOOK).read_text()
    for release in RELEASES.values():
        for rule in (one.rule() for one in alerts.rules(release)):
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert rule["annotations"]["summary"] and rule["annotations"]["description"].endswith((".", "?"))
            file, _, anchor = rule["annotations"]["runbook"].partition("#")
            assert file == alerts.RUNBOOK and f"\n## {rule['alert']}\n" in book and anchor == rule["alert"].lower()


def test_the_objects_of_the_component() -> None:
    found = monitoring.component(RECORD, PROFILE)
    assert {file: body["kind"] for file, body in found.items()} == {
        "dashboard.yaml": "ConfigMap",
        "prometheus-rule.yaml": "PrometheusRule",
        "service-monitor.yaml": "ServiceMonitor",
    }
    assert found == monitoring.component(RECORD.model_copy(deep=True), PROFILE)
    assert all(body["metadata"]["labels"]["app.kubernetes.io/name"] == "digits" for body in found.values())
    spec = found["service-monitor.yaml"]["spec"]
    assert spec["endpoints"][0]["honorLabels"] is False and spec["sampleLimit"] > 0
    assert spec["endpoints"][0]["relabelings"][0]["targetLabel"] == "site"


def test_a_selector_names_labels_that_there_are() -> None:
    assert catalogue.at(catalogue.READY, model="a") == 'nearedge_model_ready{model="a"}'
    with pytest.raises(ValueError, match="nearedge_model_ready has no label code"):
        catalogue.at(catalogue.READY, code="200")
