"""The figures of record as a person reads them, one table for the commit message and the pull request.

Figures that were not measured are not in it, never made up.
"""

from nearedge.release.record import Record
from nearedge.release.sections import BenchmarkSection, MetricResult, VerificationSection


def figures(record: Record) -> dict[str, str]:
    """The figures of a record, as a person reads them."""
    evidence = record.evidence
    found: dict[str, str] = {}
    verified = evidence.verification_deployed
    if verified is not None:
        made_up = " on synthetic samples" if verified.synthetic else ""
        found |= quality(verified.metric) | {f"parity with the source{made_up}": parity(verified)}
    if evidence.benchmark is not None:
        found |= speed(evidence.benchmark)
    if evidence.image is not None:
        found["image"] = megabytes(evidence.image.size_bytes)
        if evidence.image.sites:
            found["a site pulls"] = f"{megabytes(max(one.bytes for one in evidence.image.sites))} at most"
        elif evidence.image.upgrade_bytes is not None:
            found["a site pulls"] = megabytes(evidence.image.upgrade_bytes)
    if evidence.test is not None:
        found["golden samples held"] = f"{evidence.test.decisions_held} of {evidence.test.samples}"
    return found


def quality(metric: MetricResult | None) -> dict[str, str]:
    """The task's metric of what will run, beside the source's."""
    if metric is None:
        return {}
    sure = "" if metric.certain() is not False else ", more or less than that: the rows are too few to tell"
    between = ""
    if metric.drop_low is not None and metric.drop_high is not None:
        between = f", 95 % interval {metric.drop_low:.4f} to {metric.drop_high:.4f}"
    allowed = f"drop {metric.drop:.4f} of {metric.allowed_drop:g} allowed{between}"
    by = ", by a function of the user's own" if metric.own else ""
    return {
        metric.name: f"{metric.converted:.4f} (source {metric.source:.4f}, {allowed}{sure}, {metric.rows} rows{by})"
    }


def parity(section: VerificationSection) -> str:
    """How near the answers are to the source's: the worst output."""
    difference = max(output.max_relative for output in section.outputs)
    text = f"largest difference {difference:.2g} of {section.thresholds.max_relative:g} allowed"
    agreement = [output.top1_agreement for output in section.outputs if output.top1_agreement is not None]
    return f"{text}, top-1 agreement {min(agreement):.4f}" if agreement else text


def speed(benchmark: BenchmarkSection) -> dict[str, str]:
    """Latency and memory of what will run, in the profile's share of a node."""
    chosen: dict[str, str] = {}
    for timing in benchmark.timings:
        if timing.name == "deployed":
            chosen |= {"deployed p50": f"{timing.p50_ms:.3g} ms", "deployed p99": f"{timing.p99_ms:.3g} ms"}
    peak = benchmark.server_rss_mib or benchmark.peak_rss_mib
    return {**chosen, "memory limit": f"{benchmark.memory_limit_mib} MiB (peak {peak} MiB)"}


def megabytes(size: int) -> str:
    """Bytes as MB with one digit, small ones in kB."""
    return f"{size / 1e6:.1f} MB" if size >= 1_000_000 else f"{size / 1e3:.1f} kB"
