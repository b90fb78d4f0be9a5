"""The commit message of a release: what changes, and the figures that say why it is safe, before and now."""

from collections.abc import Sequence

from nearedge.release.record import Record
from nearedge.release.sections import BenchmarkSection, MetricResult, VerificationSection


def message(now: Record, before: Record | None, sites: Sequence[str]) -> str:
    """Subject and body. Figures that were not measured are left out, never made up."""
    identity = now.identity
    lines = [f"Release {identity.name} {identity.version} ({identity.precision})", ""]
    lines += [f"{'Upgrade' if before else 'First release'}, for {', '.join(sites) or 'no site yet'}.", ""]
    old = figures(before) if before else {}
    for what, value in figures(now).items():
        lines.append(f"- {what}: {compared(value, old.get(what))}")
    lines += ["", *(f"{key}: {value}" for key, value in trailers(now, before).items())]
    return "\n".join(lines) + "\n"


def compared(now: str, before: str | None) -> str:
    """One figure, with the earlier one where there is one and it differs."""
    if before is None:
        return now
    return f"{now} (as before)" if now == before else f"{before} -> {now}"


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
        if evidence.image.upgrade_bytes is not None:
            found["a site pulls"] = megabytes(evidence.image.upgrade_bytes)
    if evidence.test is not None:
        found["golden samples held"] = f"{evidence.test.decisions_held} of {evidence.test.samples}"
    return found


def quality(metric: MetricResult | None) -> dict[str, str]:
    """The task's metric of what will run, beside the source's."""
    if metric is None:
        return {}
    sure = "" if metric.certain() is not False else ", more or less than that: the rows are too few to tell"
    allowed = f"drop {metric.drop:.4f} of {metric.allowed_drop:g} allowed"
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
    found = {f"{timing.name} p50": f"{timing.p50_ms:.3g} ms" for timing in benchmark.timings}
    chosen = {key: value for key, value in found.items() if key.startswith("deployed")}
    peak = benchmark.server_rss_mib or benchmark.peak_rss_mib
    return {**chosen, "memory limit": f"{benchmark.memory_limit_mib} MiB (peak {peak} MiB)"}


def megabytes(size: int) -> str:
    """Bytes as MB with one digit, small ones in kB."""
    return f"{size / 1e6:.1f} MB" if size >= 1_000_000 else f"{size / 1e3:.1f} kB"


def trailers(now: Record, before: Record | None) -> dict[str, str]:
    """Lines that programs read: digests of the image and of the source."""
    found = {"Model-source": f"sha256:{now.identity.source.sha256}"}
    if now.evidence.image is not None:
        found["Image"] = now.evidence.image.digest
    if before is not None and before.evidence.image is not None:
        found["Previous-image"] = before.evidence.image.digest
    return found
