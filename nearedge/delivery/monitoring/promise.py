"""What a release promised, as far as rules can hold it to that: latency, memory, bytes to pull, availability."""

from dataclasses import dataclass

from nearedge.delivery.gitops import manifests
from nearedge.delivery.monitoring.catalogue import FINE
from nearedge.release.profile import Profile
from nearedge.release.record import Record
from nearedge.release.sections import BenchmarkSection

OBJECTIVE = 0.995
"""Share of time and requests that a model answers, over 30 days: 3 h 36 min may be lost. One pod on one node has no
spare, so that is for the node's updates and reboots and, where two pods do not fit, for each new release.
"""
TOLERATED = 2.0
"""Times the promised p99 at which an alert fires."""

LEAST_S = 0.001
"""No inference is called slow below that. Handing a request to a thread and back costs as much as a tiny model does:
the server took 0.20 ms on average and 0.47 ms at p99 for one that OpenVINO computes in 0.18 ms, on two busy cores.
"""


@dataclass(frozen=True)
class Promise:
    """Figures of one release: seconds, bytes, cores. `p99_s` and `slow_s` are None where nothing was measured."""

    model: str
    version: str
    digest: str
    p99_s: float | None
    slow_s: float | None
    memory_limit_bytes: int
    cpu_limit_cores: float
    pull_bytes: int
    watched: bool = False
    """Whether the release carries a drift reference."""


def of(record: Record, profile: Profile) -> Promise:
    """The promise of a release; without an image its digest is empty and nothing is pulled."""
    share = manifests.resources(record, profile)
    image = record.evidence.image
    p99_s = p99(record.evidence.benchmark)
    pull = 0 if image is None else image.size_bytes if image.upgrade_bytes is None else image.upgrade_bytes
    return Promise(
        model=record.identity.name,
        version=record.identity.version,
        digest=image.digest if image else "",
        p99_s=p99_s,
        slow_s=None if p99_s is None else slow(p99_s),
        memory_limit_bytes=share.memory_limit_mib * 2**20,
        cpu_limit_cores=share.cpu_limit_m / 1000,
        pull_bytes=pull,
        watched=bool(record.identity.drift),
    )


def p99(benchmark: BenchmarkSection | None) -> float | None:
    """The p99 in seconds that benchmark-model saw: of the deployed IR alone or, where it is longer, of the chosen
    runtime configuration under its clients, which have to wait for one another and for a batch to fill.
    """
    if benchmark is None:
        return None
    times = [one.p99_ms for one in benchmark.timings if one.name == "deployed"]
    times += [one.p99_ms for one in benchmark.trials if one.outcome.startswith("chosen")]
    return max(times) / 1000 if times else None


def slow(p99_s: float) -> float | None:
    """The bucket's bound in seconds that at most 1 % of requests may exceed.

    A histogram cannot tell where in a bucket a quantile lies, so a bound is compared and nothing is interpolated: the
    largest one below `TOLERATED` times the promise. Bounds are at most a factor of 1.5 apart, so it is at least 1.33
    times the promise. It is never below `LEAST_S`. None above 10 s, which no bucket can tell.
    """
    if p99_s > FINE[-1]:
        return None
    return max([LEAST_S, *(bound for bound in FINE if bound < TOLERATED * p99_s * (1 - 1e-9))])
