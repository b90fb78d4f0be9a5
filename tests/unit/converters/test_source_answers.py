"""The source's answers are used again only where nothing changed, and asked for anew where anything did."""

import shutil

import numpy as np
import pytest

from converters import source_answers, sources
from nearedge.release import sections
from nearedge.release.sections import VerificationDeployedSection, VerificationF32Section
from scripts import optimize_model, verify_model


@pytest.fixture(scope="module")
def proven(digits_release, tmp_path_factory):
    """A workspace after verify-conversion and optimize-model; not to be changed."""
    from converters import study

    root = shutil.copytree(digits_release, tmp_path_factory.mktemp("proven") / "release")
    text = (root / "source/model.yaml").read_text()
    (root / "source/model.yaml").write_text("\n".join(line for line in text.splitlines() if "golden:" not in line))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "SECONDS", 0.1)
        assert verify_model.main([f"--workspace={root}", "--stage=f32"]) == 0
        assert optimize_model.main([f"--workspace={root}", "--precision=fp16"]) == 0
    return root


@pytest.fixture
def release(proven, tmp_path):
    return shutil.copytree(proven, tmp_path / "release")


def deployed(root):
    assert verify_model.main([f"--workspace={root}", "--stage=deployed"]) == 0
    return sections.read(root, VerificationDeployedSection)


def test_the_model_is_not_asked_twice(release, monkeypatch, capsys):
    anew = shutil.copytree(release, release.parent / "anew")
    shutil.rmtree(anew / "answers")
    expected = deployed(anew)
    assert "are those of stage f32" not in capsys.readouterr().err
    monkeypatch.setattr(sources, "load_source", lambda *_, **__: pytest.fail("the source was loaded"))
    assert deployed(release) == expected
    said = capsys.readouterr().err
    assert "the answers of ONNX Runtime" in said and "fp16 IR against ONNX Runtime" in said


def rewrite(path, change):
    with np.load(path) as found:
        arrays = dict(found)
    np.savez(path, **{name: change(array) for name, array in arrays.items()})


@pytest.mark.parametrize("change", ["answers", "yaml", "data", "model", "section", "older section"])
def test_whatever_changed_is_asked_anew(release, change, capsys):
    if change == "answers":
        rewrite(release / source_answers.FILE, lambda array: array * 0)
    elif change == "yaml":
        (release / "source/model.yaml").write_text((release / "source/model.yaml").read_text() + "# seen\n")
    elif change == "data":
        rewrite(release / "source/data.npz", lambda array: array[:1499])
        (release / "source/model.yaml").write_text(
            (release / "source/model.yaml").read_text().replace("1500]", "1499]")
        )
    elif change == "model":
        (release / "source/companion").write_bytes(b"weights")
    elif change == "section":
        sections.clear(release, VerificationF32Section)
    else:
        found = sections.read(release, VerificationF32Section)
        sections.write(release, found.model_copy(update={"answers": None}))
    section = deployed(release)
    assert "are those of stage f32" not in capsys.readouterr().err
    assert section.outputs[0].top1_agreement == 1.0 and section.metric.source > 0.95


def answer(value, size=2):
    return {"y": np.full((1, size), value, np.float32)}


def kept(tmp_path, answers):
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    listened = source_answers.Keeping(lambda feed: answers[int(feed["x"][0])])
    for number in range(len(answers)):
        assert listened.predict({"x": np.array([number])}) is answers[number]
    return source, listened.write(tmp_path, source, "a framework")


def test_what_was_kept_comes_back_in_order(tmp_path):
    answers = [answer(number) for number in range(3)]
    source, section = kept(tmp_path, answers)
    found = source_answers.read(tmp_path, source, section, 3)
    assert found.framework == "a framework"
    for wanted in answers:
        np.testing.assert_array_equal(found.predict({})["y"], wanted["y"])
    assert source_answers.read(tmp_path, source, section, 4) is None


@pytest.mark.parametrize("answers,most", [
    ([], 100), ([answer(0), answer(1, 3)], 100), ([answer(0), answer(1)], 15),
])  # fmt: skip
def test_what_is_not_kept(tmp_path, monkeypatch, answers, most):
    monkeypatch.setattr(source_answers, "MOST_BYTES", most)
    assert kept(tmp_path, answers)[1] is None
    assert not (tmp_path / source_answers.FILE).exists()
