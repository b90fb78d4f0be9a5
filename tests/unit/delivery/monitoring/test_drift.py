"""The drift rules, by promtool: silent on rows like the reference's, and how many shifted rows it takes."""

import math
import random
import shutil
import subprocess

import pytest
import yaml

from nearedge.delivery.monitoring import drift, objects, promise
from nearedge.release import profile, record
from tests.unit.delivery.monitoring.test_rules import RECORD

BINS = 10
EXPECTED = [1 / BINS] * BINS
LABELS = 'namespace="models",site="edge-1",model="digits",version="1",tensor="image",of="input"'


def watched() -> record.Record:
    reference = record.DriftReference(
        tensor="image", of="input", summary="mean", batched=True, edges=[float(at) for at in range(1, BINS)],
        expected=EXPECTED, rows=1000,
    )  # fmt: skip
    return RECORD.model_copy(update={"identity": RECORD.identity.model_copy(update={"drift": [reference]})})


def drawn(minutes: int, per_minute: int, shift: float, since: int = 0, seed: int = 1) -> list[list[int]]:
    """Counts of each bin, minute by minute, of uniform values that are `shift` bins higher from minute `since` on."""
    rng, counts = random.Random(seed), [[0] * BINS]
    for minute in range(minutes):
        row = list(counts[-1])
        for _ in range(per_minute):
            row[min(BINS - 1, int(rng.random() * BINS + (shift if minute >= since else 0)))] += 1
        counts.append(row)
    return counts


def fires_at(folder, counts: list[list[int]]) -> int | None:
    """The first minute at which the alert fires, None where it never does."""
    release = promise.of(watched(), profile.read("microshift-small"))
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": objects.groups(release)}))
    rows = {f'rows_total{{{LABELS},bin="{at}"}}': " ".join(str(row[at]) for row in counts) for at in range(BINS)}
    shares = {f'expected_ratio{{{LABELS},bin="{at}"}}': f"{EXPECTED[at]}x{len(counts)}" for at in range(BINS)}
    series = [{"series": f"nearedge_drift_{name}", "values": values} for name, values in (rows | shares).items()]
    quiet = [{"eval_time": f"{at}m", "alertname": "NearedgeDrift", "exp_alerts": []} for at in range(len(counts))]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": quiet}
    names = [group["name"] for group in objects.groups(release)]
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "group_eval_order": names, "tests": [test]}
    (folder / "tests.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"], cwd=folder, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    found = [line for line in said.splitlines() if "time:" in line]
    assert done.returncode == (1 if found else 0), said
    return None if not found else minutes_of(found[0].partition("time: ")[2].partition(",")[0])


def minutes_of(text: str) -> int:
    """Minutes of promtool's `1h5m` or `20m`."""
    hours, _, rest = text.rpartition("h")
    return 60 * int(hours or 0) + int(rest.rstrip("s0").rstrip("m") or 0) if "m" in text else 60 * int(hours or 0)


pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


@pytest.mark.parametrize(("per_minute", "seed"), [(5, 1), (5, 2), (10, 3), (60, 4), (600, 5)])
def test_rows_like_the_reference_are_silent(tmp_path, per_minute, seed):
    assert fires_at(tmp_path, drawn(90, per_minute, 0.0, seed=seed)) is None


@pytest.mark.parametrize(("per_minute", "shift"), [(10, 2.0), (60, 1.0)])
def test_a_shift_fires_with_the_two_hundredth_row(tmp_path, per_minute, shift):
    minute = fires_at(tmp_path, drawn(60, per_minute, shift))
    assert minute is not None
    assert drift.LEAST_ROWS <= minute * per_minute <= drift.LEAST_ROWS + 3 * per_minute


def test_a_shift_in_the_middle_of_traffic_is_seen_within_the_hour(tmp_path):
    minute = fires_at(tmp_path, drawn(180, 20, 2.0, since=90))
    assert minute is not None and 90 < minute <= 135


def test_few_requests_are_judged_by_the_day(tmp_path):
    minute = fires_at(tmp_path, drawn(300, 2, 3.0))
    assert minute is not None and 99 <= minute <= 110


def test_the_index_is_the_formulas():
    text = drift.index("digits", "1h")
    assert text.count("ln(") == 1 and math.isclose(drift.SHIFTED, 0.25) and 'model="digits"' in text
    assert "[1h]" in text and f">= {drift.LEAST_ROWS}" in text
