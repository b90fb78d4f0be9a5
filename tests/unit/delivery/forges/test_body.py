"""What a pull request says: all a reviewer asks, the same each time, and hostile names stay text."""

import dataclasses
import re
from pathlib import Path

import pytest

from nearedge.delivery.forges import body as bodies
from nearedge.delivery.forges.body import Material, body, checked_address, title
from nearedge.delivery.forges.markdown import code, document, plain
from nearedge.delivery.sbom_changes import Changed, Changes, Part
from nearedge.errors import UsageError
from nearedge.release import record as records
from nearedge.release.record import Evidence, Record
from nearedge.release.sections import SiteFit, SiteTransfer

PULLED = SiteTransfer(
    site="edge-1", bytes=71_234, partial_bytes=71_234, whole_bytes=200_000, link_mbit_s=10, against=["sha256:0"]
)
RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")


def changed(record: Record, **evidence: object) -> Record:
    return record.model_copy(update={"evidence": record.evidence.model_copy(update=evidence)})


def upgrade() -> Record:
    benchmark, image = RECORD.evidence.benchmark, RECORD.evidence.image
    assert benchmark is not None
    assert image is not None
    fits = [
        SiteFit(site="edge-1", others=["magika"], used_mib=300, free_mib=900, fits=True, because="192 of 900 MiB"),
        SiteFit(site="edge-2", others=[], used_mib=0, free_mib=100, fits=False, because="192 MiB | 100 MiB are free"),
    ]
    timings = [one.model_copy(update={"p99_ms": 0.5}) for one in benchmark.timings]
    benchmark = benchmark.model_copy(update={"sites": fits, "timings": timings})
    return changed(RECORD, benchmark=benchmark, image=image.model_copy(update={"digest": "sha256:" + "9" * 64}))


def test_an_upgrade_says_all_a_reviewer_asks() -> None:
    parts = Changes(
        (Part("library", "attrs", "26.1"),),
        (Part("library", "six", "1.17"),),
        (Changed("library", "numpy", "2.3", "2.4"),),
    )
    material = Material(
        upgrade(),
        RECORD,
        ["edge-1", "edge-2", "edge-3"],
        {"edge-1": PULLED},
        parts,
        report_url="https://ci.example/r/1",
    )
    lines = body(material).splitlines()
    assert lines[0] == "Upgrade of `digits` `1` (int8) for `edge-1`, `edge-2`, `edge-3`."
    assert "| deployed p99 | 0.24 ms | 0.5 ms |" in lines
    assert any(line.startswith("| accuracy | 0.9852 ") and "drop 0.0018" in line for line in lines)
    assert any(line.startswith("| parity with the source | largest difference") for line in lines)
    assert any(line.startswith("| memory limit | 192 MiB") for line in lines)
    assert "| `edge-1` | 71.2 kB, 0.1 s at 10 Mbit/s | yes | 192 of 900 MiB |" in lines
    assert "| `edge-2` | not known | **no** | 192 MiB \\| 100 MiB are free |" in lines
    assert "| `edge-3` | not known | not known | what the site runs beside it was not looked at |" in lines
    assert "| added | `attrs` | | `26.1` |" in lines
    assert "| removed | `six` | `1.17` | |" in lines
    assert "| changed | `numpy` | `2.3` | `2.4` |" in lines
    assert any(line.startswith("- deployed now: `") and line.endswith(f"@sha256:{'d' * 64}`") for line in lines)
    assert "[The benchmark's report](<https://ci.example/r/1>)" in lines
    assert body(material) == body(dataclasses.replace(material))


def test_a_first_release_and_what_is_not_known() -> None:
    nothing = {name: None for name in Evidence.model_fields if name != "origin"}
    text = body(Material(changed(RECORD, **nothing), None, []))
    assert "First release of `digits`" in text
    assert "Not measured in this release: parity with the source, the task's metric, latency and memory, golden" in text
    assert "No site is named." in text
    assert "this is the first release" in text
    assert "- this release: not known" in text
    assert "Link to the report: not known." in text
    text = body(Material(RECORD, changed(RECORD, **nothing), ["x"], changes_unknown="status 404; *gone*"))
    assert "Changes of the SBOM: not known (status 404; \\*gone\\*)." in text
    assert "| deployed p99 | not measured | 0.24 ms |" in text
    assert "Profile `" in text
    same = Changes(changed=(Changed("machine-learning-model", "digits", "1", "1"),))
    assert "| other files | `digits` | `1` | `1` |" in body(Material(RECORD, RECORD, ["x"], changes=same))
    assert "No change: both images list the same" in body(Material(RECORD, RECORD, ["x"], changes=Changes()))


def test_the_report_is_shown_where_there_is_room() -> None:
    material = Material(RECORD, None, ["x"], report="# Report\n\n/merge\n  /close\nby @ada, Fixes #3\n")
    text = body(material)
    assert "<details><summary>The benchmark's report</summary>\n\n# Report\n" in text
    assert "\n\\/merge\n  \\/close\n" in text
    assert "@ada" not in text
    assert "#3" not in text
    text = body(dataclasses.replace(material, report="x" * bodies.LONGEST))
    assert "It is too long to be shown here" in text
    many = Changes(tuple(Part("library", f"package-{number}", "1") for number in range(9000)))
    text = body(Material(RECORD, RECORD, ["x"], changes=many, report="short"))
    assert "And 8800 more." in text
    assert len(text.encode()) < 65536


HOSTILE = "a|b`c``d*e_f[g](h)<img src=x>\n/merge @ada #12 !3 GH-4 http://x.example www.x.example \x1b[31m\u202ez"


def test_hostile_text_stays_text() -> None:
    shown = code(HOSTILE)
    assert shown.startswith("```")
    assert shown.endswith("```")
    assert "\n" not in shown
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    assert "\\|" in shown
    assert code("`x`") == "`` `x` ``"
    assert code("\n") == "(empty)"
    text = plain(HOSTILE)
    for live in ("@ada", "#12", "!3", "GH-4", "http://", "www.x", "\n"):
        assert live not in text
    assert not re.search(r"(?<!\\)[|`*_\[\]()<>]", text)
    assert plain("registry.example/a@sha256:12, 3 % of 4") == "registry.example/a@sha256:12, 3 % of 4"
    assert document("see http://x.example, @ada") == "see http\u200b://x.example, @\u200bada"


def test_hostile_names_make_no_row_and_no_command() -> None:
    name = "x`|\n/merge"
    record = upgrade()
    benchmark = record.evidence.benchmark
    assert benchmark is not None
    fit = benchmark.sites[0].model_copy(update={"site": name, "because": HOSTILE})
    record = changed(record, benchmark=benchmark.model_copy(update={"sites": [fit]}))
    parts = Changes(added=(Part("library", HOSTILE, HOSTILE),))
    text = body(Material(record, RECORD, [name], {}, parts, HOSTILE, report=HOSTILE))
    assert not any(line.lstrip().startswith("/") for line in text.splitlines())
    assert "@ada" not in text.replace(code(HOSTILE), "")
    rows = [line for line in text.splitlines() if line.startswith("| ``")]
    assert len(rows) == 1
    assert title(record, [name]).count("\n") == 0


def test_titles_and_addresses() -> None:
    assert title(RECORD, ["a", "b"]) == "Release digits 1 (int8) for a, b"
    assert title(RECORD, ["a"] * 4) == "Release digits 1 (int8) for 4 sites"
    assert title(RECORD, []) == "Release digits 1 (int8) for no site yet"
    assert checked_address("") == ""
    for wrong in ("javascript:x", "https://x)[y](z", "https://x>y", "https://x y", "x"):
        with pytest.raises(UsageError, match="report-url"):
            checked_address(wrong)
