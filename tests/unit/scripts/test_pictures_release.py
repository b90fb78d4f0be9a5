"""A release whose data are PNG files is calibrated and proven as one of arrays is."""

import numpy as np
import pytest
from PIL import Image

from converters import study
from nearedge.release import sections
from nearedge.release.sections import OptimizationSection, VerificationDeployedSection, VerificationF32Section
from scripts import optimize_model, verify_model

ROWS, CALIBRATION = 200, 40


@pytest.fixture
def picture_release(release, edit_yaml):
    """The digits' last rows as coloured PNG files, listed with names of classes."""
    with np.load(release / "source" / "data.npz") as data:
        images, labels = data["image"][-ROWS:], data["label"][-ROWS:]
    (release / "source" / "data.npz").unlink()
    folder = release / "source" / "pictures"
    folder.mkdir()
    lines = ["file,label"]
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(np.rint(image).astype(np.uint8).transpose(1, 2, 0)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,digit {label}")
    (folder / "labels.csv").write_text("\n".join(lines))
    edit_yaml(
        release, "data: {path: data.npz, labels: label, calibration: [0, 1200], evaluation: [1200, 1500]}",
        f"data: {{path: pictures, labels: labels.csv, calibration: [0, {CALIBRATION}], "
        f"classes: [{', '.join(f'digit {number}' for number in range(10))}]}}",
    )  # fmt: skip
    edit_yaml(release, "golden: {rows: [1200, 1500]", f"golden: {{rows: [{CALIBRATION}, {ROWS}]")
    edit_yaml(release, "allowed_drop: 0.01", "allowed_drop: 0.02")  # of 160 rows, one is 0.006
    return release


def test_pictures_go_all_the_way(picture_release, monkeypatch):
    monkeypatch.setattr(study, "SECONDS", 0.1)
    assert verify_model.main([f"--workspace={picture_release}", "--stage=f32"]) == 0
    proven = sections.read(picture_release, VerificationF32Section)
    assert proven.samples == ROWS - CALIBRATION and not proven.synthetic and proven.metric.source > 0.9
    assert optimize_model.main([f"--workspace={picture_release}", "--precision=int8"]) == 0
    assert sections.read(picture_release, OptimizationSection).precision == "int8"
    assert verify_model.main([f"--workspace={picture_release}", "--stage=deployed"]) == 0
    assert sections.read(picture_release, VerificationDeployedSection).metric.converted > 0.9
    assert (picture_release / "golden" / "golden.npz").is_file()


def test_a_damaged_picture_stops_the_step_in_one_line(picture_release, capsys):
    (picture_release / "source" / "pictures" / "77.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert verify_model.main([f"--workspace={picture_release}", "--stage=f32"]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert "77.png: damaged, or neither PNG nor JPEG" in said[-1] and "Traceback" not in "".join(said)
    assert not (picture_release / "release" / "verification-f32.json").exists()
