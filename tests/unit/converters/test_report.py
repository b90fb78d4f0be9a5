"""The report: the figures of the sections, in Markdown and in one HTML file that loads nothing."""

from html.parser import HTMLParser

import pytest

from converters import report
from converters.report import Findings
from nearedge.release import description, profile
from nearedge.release.sections import (
    BenchmarkSection,
    Candidate,
    ConversionSection,
    GoldenSection,
    Histogram,
    Machine,
    MetricResult,
    OptimizationSection,
    OutputParity,
    Ratio,
    Regression,
    RuntimeConfiguration,
    SiteFit,
    SourceSection,
    Thresholds,
    Timing,
    Trial,
    VerificationDeployedSection,
    VerificationF32Section,
)

HOSTILE = "<script>alert(1)</script>|`x`"
LIMITS = Thresholds(max_relative=0.35, min_cosine=0.9, min_top1_agreement=0.95)


def verification(kind, **changes):
    parity = OutputParity(
        name=HOSTILE, max_abs=2.5, mean_abs=0.1, max_relative=0.119, cosine=0.987, top1_agreement=None
    )
    metric = MetricResult(name="accuracy", source=0.9722, converted=0.9667, drop=0.0055, allowed_drop=0.01, rows=360)
    body = {
        "precision": "int8", "instruction_set": "avx512_vnni", "samples": 360, "synthetic": False, "outputs": [parity],
        "thresholds": LIMITS, "metric": metric,
    }  # fmt: skip
    return kind(**(body | changes))


def timing(name, p50):
    return Timing(
        name=name, detail=f"as {name}", p50_ms=p50, p90_ms=p50 * 2, p99_ms=p50 * 3, max_ms=p50 * 4,
        throughput_per_s=1000 / p50, repeats=15, spread=0.07,
    )  # fmt: skip


def benchmark(**changes):
    body = {
        "profile": "microshift-small", "threads": 1, "load_ms": 81.0, "first_inference_ms": 5.5, "peak_rss_mib": 91,
        "timings": [timing("source", 5.0), timing("f32", 0.5), timing("deployed", 0.25)], "speedup_f32": 10.0,
        "speedup_deployed": 20.0, "memory_request_mib": 192, "memory_limit_mib": 256, "fits": True,
        "fits_because": "the memory limit fits",
        "machine": Machine(cpu="A CPU", instruction_set="amx", cores=2, memory_mib=4096, limited_by="affinity"),
    }  # fmt: skip
    return BenchmarkSection(**(body | changes))


def findings(**changes):
    described = description.Description.model_validate({
        "schema": 1, "name": "digits", "description": f"Digits {HOSTILE}", "source": {"path": "m"},
        "inputs": [{"name": "x", "shape": [1], "dtype": "FP32"}], "outputs": [{"name": "y"}],
    })  # fmt: skip
    tensors = {"inputs": [], "outputs": [], "xml_sha256": "a" * 64, "bin_sha256": "b" * 64}
    rows = [
        Candidate(precision="int8", metric=0.9667, drop=0.0055, top1_agreement=0.99, max_relative=0.119, p50_ms=0.25,
                  size_bytes=1_500_000, outcome="chosen: holds"),
        Candidate(precision="fp16", metric=0.9722, drop=0.0, top1_agreement=1.0, max_relative=0.001, p50_ms=0.5,
                  size_bytes=3_000_000, outcome="holds, and int8 is 2.00 times as fast"),
        Candidate(precision="f32", metric=0.9722, drop=0.0, top1_agreement=1.0, max_relative=0.0, p50_ms=0.5,
                  size_bytes=6_000_000, outcome="holds, but"),
        Candidate(precision="int8-weights", metric=0.5, drop=0.4722, top1_agreement=0.5, max_relative=0.5, p50_ms=0.6,
                  size_bytes=1_600_000, outcome="does not hold: accuracy drops"),
        Candidate(precision="bf16", metric=None, drop=None, top1_agreement=None, max_relative=None, p50_ms=None,
                  size_bytes=None, outcome="not possible: no bf16"),
    ]  # fmt: skip
    runtime = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1)
    body = {
        "description": described, "profile": profile.read("microshift-small"),
        "source": SourceSection(name="digits", version="3", format="pt2", framework="pytorch", sha256="c" * 64,
                                size_bytes=4_000_000, description_sha256="", data_sha256="", origin="x"),
        "conversion": ConversionSection(openvino="2026.4.1", size_bytes=6_000_000, seconds=1, **tensors),
        "f32": verification(VerificationF32Section, precision="f32"),
        "deployed": verification(VerificationDeployedSection),
        "optimization": OptimizationSection(requested="auto", precision="int8", runtime=runtime, size_bytes=1_500_000,
                                            candidates=rows, reused=False, **tensors),
        "golden": GoldenSection(sha256="", count=8, size_bytes=1, instruction_set="amx", tolerances=[]),
        "benchmark": benchmark(),
    }  # fmt: skip
    return Findings(**(body | changes))


FIGURES = [
    "0.9722 → 0.9667", "0.0055", "allowed 0.01", "250 µs", "5 ms", "20.0 times as fast", "1.5 MB", "6.0 MB", "256 MiB",
    "91 MiB", "81 ms", "5.5 ms", "0.119", "99.00%", "not possible: no bf16", "A CPU", "LATENCY, 1 stream, 1 thread",
    "0.9722", "3.0 MB", "Pareto", "2026.4.1", "b" * 64, "4,000", "7%", "The memory limit fits.", "360 samples",
]  # fmt: skip


@pytest.mark.parametrize("figure", FIGURES)
def test_both_forms_hold_the_figures(figure):
    assert figure in report.markdown(findings()) and figure in report.html(findings())


def everything():
    """A record with every part that a later nearedge added."""
    spread = Histogram(edges_ms=[0.0, 0.2, 0.4, 0.8], counts=[0, 90, 10])
    ratio = Ratio(value=20.0, low=19.5, high=20.5)
    runtime = RuntimeConfiguration(
        inference_precision="bf16", performance_hint="THROUGHPUT", streams=2, threads=2, max_batch=8, max_wait_ms=2
    )
    trial = Trial(
        runtime=runtime, clients=4, p50_ms=0.7, p99_ms=1.5, p99_low_ms=1.25, p99_high_ms=1.75, throughput_per_s=5714,
        outcome="chosen",
    )  # fmt: skip
    times = [timing("source", 5.0), timing("onnxruntime", 0.9), timing("f32", 0.5), timing("deployed", 0.25)]
    times[3] = times[3].model_copy(update={"histogram": spread, "faster": ratio})
    full = site("shop-2", True, "1148 MiB are free beside faces")
    return findings(
        benchmark=benchmark(
            timings=times, trials=[trial], goal="throughput", goal_met=False, onnxruntime="timed as it is",
            compile_ms=61.0, server_rss_mib=141, cpu_request_m=333, cpu_limit_m=1001, runtime=runtime,
            sites=[site("shop-1", False, "148 MiB are free beside faces"), full],
            against=Regression(release="version 2, int8", faster=ratio, memory_mib=-3.0, allowed=0.1),
        )
    )  # fmt: skip


def site(name, fits, because):
    return SiteFit(site=name, others=["faces", HOSTILE], used_mib=900, free_mib=148, fits=fits, because=because)


LATER = {
    "ONNX Runtime: timed as it is.": True, "20.00 (19.50 to 20.50)": True, "61 ms": True, "141 MiB": True,
    "333m, 1001m": True, "2 streams, 2 threads, batches of up to 8 within 2 ms": True, "shop-1": True,
    "148 MiB are free beside faces": True, "does not fit": True, "version 2, int8": True, "-3 MiB": True,
    "Goal: throughput. No configuration met it.": False, "1.5 ms (1.25 ms to 1.75 ms)": False,
    "100 measured, from 200 µs to 800 µs": False,
}  # fmt: skip
"""What the page says of such a record, and whether the summary says it too."""


@pytest.mark.parametrize("words", LATER)
def test_what_later_records_hold_is_shown_and_older_ones_do_without(words):
    assert words in report.html(everything()) and (words in report.markdown(everything())) == LATER[words]
    assert words not in report.html(findings()).replace("does not fit", "")


def test_the_summary_is_short_until_it_is_unfolded():
    opened, folded = [], False
    for line in report.markdown(everything()).splitlines():
        folded = line.startswith("<details>") or (folded and line != "</details>")
        if line and not folded:
            opened.append(line)
    assert len(opened) <= 40 and report.markdown(everything()).count("<details>") == 4
    unfit = report.markdown(findings(benchmark=benchmark(fits=False)))
    assert "## On microshift-small" in unfit and "<summary>On microshift-small" not in unfit


def test_a_histogram_has_a_title_and_its_figures_in_words():
    walker = walked(everything())
    identities = [value for _, name, value in walker.attributes if name == "id"]
    told = {part for _, name, value in walker.attributes if name == "aria-labelledby" for part in value.split()}
    assert len(identities) == len(set(identities)) and told <= set(identities)
    drawn = [value for tag, name, value in walker.attributes if (tag, name) == ("path", "class")]
    assert drawn.count("counts") == drawn.count("median") == drawn.count("p99") == 1


def test_all_latencies_in_one_bar_are_drawn():
    one = timing("deployed", 0.25).model_copy(update={"histogram": Histogram(edges_ms=[0.25, 0.25], counts=[7])})
    same = one.model_copy(update={"p99_ms": 0.25})
    drawn = report.html(findings(benchmark=benchmark(timings=[timing("source", 5), timing("f32", 0.5), same])))
    assert "7 measured, from 250 µs to 250 µs" in drawn


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (everything, ["latency.png", "pareto.png", "parity.png"]),
        (lambda: findings(f32=None, deployed=None, golden=None), ["latency.png", "pareto.png"]),
        (lambda: findings(description=judged()), ["latency.png", "pareto.png", "parity.png"]),
    ],
)
def test_what_is_written(tmp_path, found, names):
    report.write(tmp_path / "one", found())
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [*names, "report.html", "report.md"]
    for name in names:
        content = (tmp_path / "one" / name).read_bytes()
        assert content.startswith(PNG) and b"Software" not in content and b"tIME" not in content


def test_plots_are_the_same_for_the_same_record_whatever_the_user_likes(tmp_path, monkeypatch):
    report.write(tmp_path / "one", everything())
    (tmp_path / "matplotlibrc").write_text("axes.facecolor: red\nfont.size: 30\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "matplotlibrc"))
    report.write(tmp_path / "two", everything())
    assert [path.read_bytes() for path in sorted((tmp_path / "one").iterdir())] == [
        path.read_bytes() for path in sorted((tmp_path / "two").iterdir())
    ]


def judged():
    """The description with a metric, whose allowed drop is a line in the plot."""
    return findings().description.model_copy(update={"metric": description.Metric(name="f1", allowed_drop=0.01)})


class Walker(HTMLParser):
    """Collects tags and checks that every one that opens is closed in order."""

    VOID = frozenset({"meta", "rect", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def walked(found):
    walker = Walker()
    walker.feed(report.html(found))
    assert not walker.open
    return walker


def test_the_page_loads_nothing_and_runs_nothing():
    walker = walked(findings())
    assert not {"script", "img", "link", "iframe"} & set(walker.tags)
    assert not [one for one in walker.attributes if one[1] in ("src", "href") or one[1].startswith("on")]
    assert "http://" not in report.html(findings()) and "https://" not in report.html(findings())
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in walker.attributes


def test_the_page_is_accessible():
    walker = walked(findings())
    assert ("html", "lang", "en") in walker.attributes and walker.tags.count("h1") == walker.tags.count("main") == 1
    assert walker.tags.count("caption") == walker.tags.count("table")
    heads = walker.tags.count("th")
    assert heads == sum(1 for tag, name, _ in walker.attributes if tag == "th" and name == "scope")
    hidden = [one for one in walker.attributes if one == ("svg", "aria-hidden", "true")]
    told = [value for tag, name, value in walker.attributes if (tag, name) == ("svg", "aria-labelledby")]
    identities = {value for _, name, value in walker.attributes if name == "id"}
    assert len(hidden) == 3 and walker.tags.count("svg") == 4 and set(told[0].split()) <= identities
    assert ("svg", "role", "img") in walker.attributes and walker.tags.count("desc") == 1
    assert "prefers-color-scheme: dark" in report.html(findings())


def test_the_plot_has_every_candidate_that_was_timed():
    walker = walked(findings())
    marks = [value for tag, name, value in walker.attributes if (tag, name) == ("circle", "class")]
    assert marks == ["chosen", "held", "held", "refused"]
    assert "int8: 0.0055, 250 µs, 1.5 MB; fp16: 0.0000, 500 µs, 3.0 MB" in report.html(findings())
    assert "Accuracy against latency" not in report.markdown(findings())


def test_the_allowed_drop_is_a_line_in_the_plot():
    assert report.html(findings()).count('class="limit"') == 0
    drawn = report.html(findings(description=judged()))
    assert drawn.count('class="limit"') == 1 and "allowed drop 0.01" in drawn and "Drop of f1" in drawn


def test_one_candidate_is_no_plot():
    section = findings().optimization
    alone = section.model_copy(update={"candidates": section.candidates[:1]})
    assert "<circle" not in report.html(findings(optimization=alone))


def test_synthetic_calibration_is_said_beside_the_candidates():
    section = findings().optimization
    said = "INT8 is calibrated with made-up samples."
    for made_up in (True, False):
        found = findings(optimization=section.model_copy(update={"synthetic_calibration": made_up}))
        assert (said in report.markdown(found)) is (said in report.html(found)) is made_up


def test_the_front_is_in_the_table():
    rows = [line for line in report.markdown(findings()).splitlines() if line.endswith(("| yes |", "| no |"))]
    assert [(line.split("|")[1].strip(), line.split("|")[-2].strip()) for line in rows] == [
        ("**int8**", "yes"), ("fp16", "yes"), ("f32", "no"), ("int8-weights", "no"),
    ]  # fmt: skip


def test_hostile_names_mean_nothing():
    assert "<script>" not in report.html(findings()) and "&lt;script&gt;" in report.html(findings())
    marked = report.markdown(findings())
    assert "<script>" not in marked.replace("\\<", "") and "\\|\\`x\\`" in marked


def test_bars_are_to_scale():
    widths = [float(value) for tag, name, value in walked(findings()).attributes if (tag, name) == ("rect", "width")]
    assert widths == [100.0, 10.0, 5.0]


def test_what_was_not_measured_is_not_made_up():
    found = findings(f32=None, deployed=None, golden=None)
    text = report.markdown(found)
    assert "no labels were given" in text and "Parity" not in text and "| Golden samples in the image | none |" in text


def test_a_bad_fit_and_a_drop_are_marked():
    metric = MetricResult(name="f1", source=0.9, converted=0.5, drop=0.4, allowed_drop=0.1, rows=3)
    found = findings(
        benchmark=benchmark(fits=False),
        deployed=verification(VerificationDeployedSection, metric=metric, synthetic=True),
    )
    page = report.html(found)
    assert page.count('class="value bad"') == 2 and "does not fit microshift-small" in page
    assert "F1" in page and "synthetic samples" in page


def test_a_metric_of_the_user_s_own_is_said_to_be_theirs():
    metric = MetricResult(name="judge:score", own=True, source=0.9, converted=0.9, drop=0, allowed_drop=0.1, rows=3)
    text = report.markdown(findings(deployed=verification(VerificationDeployedSection, metric=metric)))
    assert "judge:score" in text and "the user's own function, not nearedge's" in text


def test_without_a_metric_parity_is_the_headline():
    found = findings(deployed=verification(VerificationDeployedSection, metric=None))
    assert "only parity was proven" in report.markdown(found)


def test_the_same_findings_give_the_same_page():
    assert report.html(findings()) == report.html(findings())
    assert report.markdown(findings()) == report.markdown(findings())
