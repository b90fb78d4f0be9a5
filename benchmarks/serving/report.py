"""What was measured as Markdown, with the targets and whether they were reached."""

from typing import Any

Row = dict[str, Any]
BEGIN, END = "<!-- benchmarks/serving -->", "<!-- /benchmarks/serving -->"


def markdown(found: dict[str, Any]) -> str:
    """The whole section."""
    parts = [
        f"{found['machine']}, {found['cores']} cores; medians of {found['rounds']} runs of {found['seconds']:g} s."
    ]
    if "speed" in found:
        parts += [speed(found["speed"]), targets(checks(found["speed"]))]
    if "batching" in found:
        parts.append("Four dense layers of 100 MB, two threads:\n\n" + speed(found["batching"]))
    if "protocols" in found:
        parts.append(protocols(found["protocols"]))
    if "footprint" in found:
        parts.append(footprint(found["footprint"]))
    if "growth" in found:
        grown = found["growth"]
        parts.append(
            f"Over {grown['requests']} requests resident memory went from {grown['early_mb']:.1f} MB (after a fifth) "
            f"to {grown['late_mb']:.1f} MB."
        )
    if "sizes" in found:
        parts.append(sizes(*found["sizes"]))
    return "\n\n".join(parts) + "\n"


def speed(rows: list[Row]) -> str:
    """Requests a second, latencies and the server's CPU time."""
    lines = ["| model | body | connections | server | req/s | p50 ms | p99 ms | CPU us a request | failed |"]
    lines.append("|---|---|---:|---|---:|---:|---:|---:|---:|")
    for row in rows:
        figures = [f"{row['rate']:.0f}"]
        if "p50_ms" in row:
            figures += [f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['cpu_us']:.0f}", str(row["errors"])]
        else:
            figures += ["", "", "", ""]
        where = str(row["connections"] or "")
        lines.append(f"| {row['model']} | {row['kind']} | {where} | {row['server']} | {' | '.join(figures)} |")
    return "\n".join(lines)


def checks(rows: list[Row]) -> list[tuple[str, float, str, bool]]:
    """Target, figure, bound, whether it holds."""
    by = {(row["model"], row["kind"], row["connections"], row["server"]): row for row in rows}

    def ratio(case: tuple[str, str, int], other: tuple[Any, ...], figure: str = "rate") -> float:
        return float(by[(*case, "ours")][figure] / (by[other][figure] or float("nan")))

    found = []
    for connections, least in ((1, 3.5), (8, 4.5)):
        case = ("tiny", "json", connections)
        for peer in ("MLServer", "KServe"):
            found.append((f"tiny at {connections}, of {peer}", ratio(case, (*case, peer)), f">= {least}", least))
    case = ("cnn", "binary", 8)
    app = ("cnn", "benchmark_app", 0, "two streams")
    found.append(("CNN binary at 8, of benchmark_app with two streams", ratio(case, app), ">= 0.70", 0.7))
    case = ("cnn", "json", 8)
    found.append(("CNN JSON at 8, of MLServer", ratio(case, (*case, "MLServer")), ">= 1.5", 1.5))
    done = [(name, value, bound, value >= least) for name, value, bound, least in found]
    case = ("tiny", "json", 8)
    slower = ratio(case, (*case, "raw ASGI"), "p99_ms")
    return [*done, ("p99 of tiny at 8, of raw ASGI's", slower, "<= 1", slower <= 1)]


def targets(rows: list[tuple[str, float, str, bool]]) -> str:
    """Ratios inside this run, and their targets."""
    lines = ["| ratio | measured | target | |", "|---|---:|---:|---|"]
    lines += [f"| {name} | {value:.2f} | {bound} | {'yes' if held else 'no'} |" for name, value, bound, held in rows]
    return "\n".join(lines)


def protocols(found: dict[str, dict[str, float]]) -> str:
    """CPU time by protocol."""
    lines = ["| CPU us a request (tritonclient) | REST binary | gRPC | ratio (target <= 1.3) |", "|---|---:|---:|---:|"]
    for model, spent in found.items():
        rest, grpc = spent["rest"], spent["grpc"]
        lines.append(f"| {model} | {rest:.0f} | {grpc:.0f} | {grpc / rest:.2f} |")
    return "\n".join(lines)


def footprint(found: dict[str, float]) -> str:
    """Memory and start with the digits example."""
    memory, start = found["idle_mb"] / found["bare_mb"], found["start_s"] / found["bare_start_s"]
    return "\n".join(
        [
            "| digits | bare OpenVINO process | server | ratio | target |",
            "|---|---:|---:|---:|---:|",
            f"| idle, MB resident | {found['bare_mb']:.1f} | {found['idle_mb']:.1f} | {memory:.2f} | <= 1.3 |",
            f"| start to ready, s | {found['bare_start_s']:.2f} | {found['start_s']:.2f} | {start:.2f} | <= 3 |",
        ]
    )


def sizes(whole: float, rows: list[tuple[str, str, float]]) -> str:
    """What each megabyte of the base is."""
    lines = [f"The base without a model, gzip: {whole:.1f} MB (target <= 62).", "", "| layer | component | MB |"]
    lines.append("|---|---|---:|")
    lines += [f"| {layer} | {component} | {size:.1f} |" for layer, component, size in rows if size >= 0.05]
    return "\n".join(lines)
