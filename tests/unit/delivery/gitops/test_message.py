"""The commit message: figures before and now, none made up."""

from pathlib import Path

from nearedge.delivery.gitops.figures import megabytes
from nearedge.delivery.gitops.message import compared, message
from nearedge.release import record as records
from nearedge.release.record import Evidence
from nearedge.release.sections import SiteTransfer

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
NOTHING = {name: None for name in Evidence.model_fields if name != "origin"}


def test_a_first_release_says_why_it_is_safe() -> None:
    lines = message(RECORD, None, ["edge-1", "edge-2"]).splitlines()
    assert lines[0] == "Release digits 1 (int8)"
    assert lines[1] == ""
    assert "First release, for edge-1, edge-2." in lines
    assert "- accuracy: 0.9852 (source 0.9870, drop 0.0018 of 0.01 allowed, 540 rows)" in lines
    assert "- parity with the source: largest difference 0.0021 of 0.05 allowed, top-1 agreement 0.9981" in lines
    assert "- deployed p50: 0.12 ms" in lines
    assert "- deployed p99: 0.24 ms" in lines
    assert "- memory limit: 192 MiB (peak 96 MiB)" in lines
    assert "- golden samples held: 8 of 8" in lines
    assert "Image: sha256:" + "d" * 64 in lines
    assert not any("Previous-image" in line or "pulls" in line for line in lines)


def test_an_upgrade_shows_both() -> None:
    benchmark, image = RECORD.evidence.benchmark, RECORD.evidence.image
    assert benchmark is not None
    assert image is not None
    evidence = RECORD.evidence.model_copy(
        update={
            "benchmark": benchmark.model_copy(update={"peak_rss_mib": 97}),
            "image": image.model_copy(update={"digest": "sha256:" + "9" * 64, "upgrade_bytes": 71_234}),
        }
    )
    lines = message(RECORD.model_copy(update={"evidence": evidence}), RECORD, []).splitlines()
    assert "Upgrade, for no site yet." in lines
    assert "- memory limit: 192 MiB (peak 96 MiB) -> 192 MiB (peak 97 MiB)" in lines
    assert "- deployed p50: 0.12 ms (as before)" in lines
    assert "- a site pulls: 71.2 kB" in lines
    assert lines[-1] == "Previous-image: sha256:" + "d" * 64


def test_sites_that_pull_the_same_are_one_line() -> None:
    def pulled(site: str, size: int) -> SiteTransfer:
        return SiteTransfer(
            site=site, bytes=size, partial_bytes=size, whole_bytes=size, link_mbit_s=10, against=[], at_most=size == 7
        )

    sizes = {"a": 7, "b": 5_000_000, "c": 5_000_000, "d": 0, "not-for": 1}
    found = {site: pulled(site, size) for site, size in sizes.items()}
    lines = message(RECORD, RECORD, ["a", "b", "c", "d", "e"], transfer=found).splitlines()
    start = lines.index("To pull, against what git says is there:")
    assert lines[start + 1 : start + 5] == [
        "- b, c: 5.0 MB, 4.0 s at 10 Mbit/s",
        "- a: at most 0.0 kB, 0.0 s at 10 Mbit/s",
        "- d: nothing: it runs this image",
        "",
    ]


def test_what_was_not_measured_is_left_out() -> None:
    bare = RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update=NOTHING)})
    assert [line for line in message(bare, bare, ["x"]).splitlines() if line.startswith("- ")] == []
    deployed = RECORD.evidence.verification_deployed
    assert deployed is not None
    output = deployed.outputs[0].model_copy(update={"top1_agreement": None})
    verified = deployed.model_copy(update={"metric": None, "outputs": [output]})
    partly = RECORD.evidence.model_copy(update={**NOTHING, "verification_deployed": verified})
    lines = message(RECORD.model_copy(update={"evidence": partly}), None, ["x"]).splitlines()
    assert [line for line in lines if line.startswith("- ")] == [
        "- parity with the source: largest difference 0.0021 of 0.05 allowed"
    ]


def test_made_up_samples_and_too_few_rows_are_said() -> None:
    deployed = RECORD.evidence.verification_deployed
    assert deployed is not None
    assert deployed.metric is not None
    unsure = deployed.metric.model_copy(update={"drop_low": -0.02, "drop_high": 0.03})
    verified = deployed.model_copy(update={"synthetic": True, "metric": unsure})
    evidence = RECORD.evidence.model_copy(update={"verification_deployed": verified})
    lines = message(RECORD.model_copy(update={"evidence": evidence}), None, ["x"]).splitlines()
    assert any(line.startswith("- parity with the source on synthetic samples: ") for line in lines)
    said = "of 0.01 allowed, 95 % interval -0.0200 to 0.0300, more or less than that: the rows are too few to tell"
    assert any(f"{said}, 540 rows)" in line for line in lines)


def test_small_words() -> None:
    assert compared("1", None) == "1"
    assert compared("1", "1") == "1 (as before)"
    assert compared("2", "1") == "1 -> 2"
    assert (megabytes(999_999), megabytes(1_000_000)) == ("1000.0 kB", "1.0 MB")
